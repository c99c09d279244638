// Command greetings sends greetings from one process to another, until STOP.
//
//	go run ./examples/greetings
package main

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/sluice-ipc/sluice/conn"
	"github.com/sluice-ipc/sluice/shm/proc"
)

func init() { proc.Register("sender", sender) }
func init() { proc.Register("recipient", recipient) }

func sender(ctx context.Context, c *conn.Conn, greets []string) error {
	for _, greet := range greets {
		check(c.Send(ctx, greet))
	}
	return c.Close()
}

func recipient(ctx context.Context, c *conn.Conn) {
	for greet, err := c.Recv(ctx); greet != "STOP"; greet, err = c.Recv(ctx) {
		check(err)
		fmt.Println(greet)
	}
}

func main() {
	proc.Main()
	ctx := context.Background()
	sending, receiving, err := conn.Pipe(nil)
	check(err)
	p1, err := proc.Start("sender", sending, []string{"Hello", "Hola", "Guten Tag", "STOP"})
	check(err)
	p2, err := proc.Start("recipient", receiving)
	check(err)
	check(errors.Join(p1.Wait(ctx), p2.Wait(ctx)))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
