// Command bytes sends an object one way through a pipe, and bytes the other.
//
//	go run ./examples/bytes
package main

import (
	"context"
	"fmt"
	"log"

	"github.com/sluice-ipc/sluice/conn"
	"github.com/sluice-ipc/sluice/shm/proc"
)

func init() { proc.Register("thank", thank) }

func main() {
	proc.Main() // in a child, runs its function and exits
	ctx := context.Background()
	a, b, err := conn.Pipe(nil)
	check(err)
	p, err := proc.Start("thank", b)
	check(err)
	check(a.Send(ctx, []any{1, "hello", nil}))
	thanks, err := a.RecvBytes(ctx)
	check(err)
	fmt.Printf("%s\n", thanks)
	check(p.Wait(ctx))
}

func thank(ctx context.Context, b *conn.Conn) error {
	v, err := b.Recv(ctx)
	check(err)
	fmt.Println(v)
	return b.SendBytes(ctx, []byte("thank you"))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
