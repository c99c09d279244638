// Command pingpong starts itself as a child process and plays ping-pong with it
// through shared memory.
//
//	go run ./examples/pingpong
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"os/exec"

	"github.com/sluice-ipc/sluice/conn"
	"github.com/sluice-ipc/sluice/shm"
)

func main() {
	ctx := context.Background()
	if len(os.Args) > 1 && os.Args[1] == "child" {
		child(ctx)
	} else {
		parent(ctx)
	}
}

func parent(ctx context.Context) {
	here, there, err := conn.Pipe(nil)
	check(err)
	cmd := exec.Command(os.Args[0], "child")
	check(shm.Pass(cmd, "table", there)) // moves: that end is the child's now
	check(shm.Start(cmd))
	for i := range 3 {
		check(here.Send(ctx, []any{"ping", i}))
		v, err := here.Recv(ctx) // io.EOF when the child has died
		check(err)
		fmt.Println(v)
	}
	check(here.Close()) // ends the child's loop
	check(cmd.Wait())
}

func child(ctx context.Context) {
	c, err := conn.Inherited("table", nil)
	check(err)
	for v, err := range c.All(ctx) { // until the parent closes, or dies
		check(err)
		check(c.Send(ctx, []any{"pong", v}))
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
