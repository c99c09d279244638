// Command evens starts itself twice: one process puts the even numbers below ten
// into a queue, and another, when the first is done, prints them.
//
//	go run ./examples/evens
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"os/exec"

	"github.com/sluice-ipc/sluice/ring"
	"github.com/sluice-ipc/sluice/shm"
)

func main() {
	if len(os.Args) < 2 {
		numbers, err := ring.AnonymousQueue[int]("numbers", nil)
		check(err)
		run("put", numbers)
		run("print", numbers)
		return
	}
	q, err := ring.InheritedQueue[int]("numbers", nil)
	check(err)
	if os.Args[1] == "put" {
		putEvens(context.Background(), q)
	} else {
		printAll(context.Background(), q)
	}
}

func putEvens(ctx context.Context, q *ring.Queue[int]) {
	for n := 0; n < 10; n += 2 {
		check(q.Put(ctx, n))
	}
	check(q.CloseSend()) // nobody puts any more, in any process
}

func printAll(ctx context.Context, q *ring.Queue[int]) {
	for n, err := range q.All(ctx) { // until everything has been taken
		check(err)
		fmt.Println(n)
	}
}

// run runs this program as a child that has the queue, and waits for its end.
func run(role string, numbers *ring.Queue[int]) {
	cmd := exec.Command(os.Args[0], role)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	check(shm.Pass(cmd, "numbers", numbers))
	check(shm.Start(cmd))
	check(cmd.Wait())
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
