// Command greetings sends greetings through a pipe from one process to another,
// until STOP.
//
//	go run ./examples/greetings
package main

import (
	"context"
	"fmt"
	"log"

	"github.com/sluice-ipc/sluice/conn"
	"github.com/sluice-ipc/sluice/shm/proc"
)

func init() {
	proc.Register("sender", sender)
	proc.Register("recipient", recipient)
}

func sender(ctx context.Context, c *conn.Conn, greets []string) error {
	for _, greet := range greets {
		if err := c.Send(ctx, greet); err != nil {
			return err
		}
	}
	return c.Close()
}

func recipient(ctx context.Context, c *conn.Conn) error {
	for greet, err := range c.All(ctx) {
		if err != nil || greet == "STOP" {
			return err
		}
		fmt.Println(greet)
	}
	return nil
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
	check(p1.Wait(ctx))
	check(p2.Wait(ctx))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
