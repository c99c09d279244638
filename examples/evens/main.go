// Command evens has one process put even numbers into a queue, then another print them.
//
//	go run ./examples/evens
package main

import (
	"context"
	"fmt"
	"log"

	"github.com/sluice-ipc/sluice/ring"
	"github.com/sluice-ipc/sluice/shm/proc"
)

func init() { proc.Register("putEvens", putEvens) }
func init() { proc.Register("printAll", printAll) }

func main() {
	proc.Main() // in a child, runs its function and exits
	numbers, err := ring.AnonymousQueue[int]("numbers", nil)
	check(err)
	for _, f := range []string{"putEvens", "printAll"} {
		p, err := proc.Start(f, numbers)
		check(err)
		check(p.Wait(context.Background()))
	}
}

func putEvens(ctx context.Context, q *ring.Queue[int]) error {
	for n := 0; n < 10; n += 2 {
		check(q.Put(ctx, n))
	}
	return q.CloseSend() // nobody puts any more, in any process
}

func printAll(ctx context.Context, q *ring.Queue[int]) error {
	for n, err := range q.All(ctx) { // until everything has been taken
		check(err)
		fmt.Println(n)
	}
	return nil
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
