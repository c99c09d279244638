// Command objects has a child put an object into a queue.
//
//	go run ./examples/objects
package main

import (
	"context"
	"fmt"
	"log"

	"github.com/sluice-ipc/sluice/ring"
	"github.com/sluice-ipc/sluice/shm/proc"
)

func init() { proc.Register("put", put) }

func main() {
	proc.Main() // in a child, runs its function and exits
	ctx := context.Background()
	q, err := ring.AnonymousQueue[[]any]("objects", nil)
	check(err)
	p, err := proc.Start("put", q)
	check(err)
	v, err := q.Get(ctx)
	check(err)
	fmt.Println(v)
	check(p.Wait(ctx))
}

func put(ctx context.Context, q *ring.Queue[[]any]) error {
	return q.Put(ctx, []any{42, nil, "hello"})
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
