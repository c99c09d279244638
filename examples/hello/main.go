// Command hello has a child send an object through a pipe.
//
//	go run ./examples/hello
package main

import (
	"context"
	"fmt"
	"log"

	"github.com/sluice-ipc/sluice/conn"
	"github.com/sluice-ipc/sluice/shm/proc"
)

func init() { proc.Register("hello", hello) }

func main() {
	proc.Main() // in a child, runs its function and exits
	ctx := context.Background()
	parent, child, err := conn.Pipe(nil)
	check(err)
	p, err := proc.Start("hello", child)
	check(err)
	v, err := parent.Recv(ctx)
	check(err)
	fmt.Println(v)
	check(p.Wait(ctx))
}

func hello(ctx context.Context, c *conn.Conn) error {
	return c.Send(ctx, []any{42, nil, "hello"})
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
