// Command arrays receives an array of five numbers into one of ten.
//
//	go run ./examples/arrays
package main

import (
	"context"
	"fmt"
	"log"

	"github.com/sluice-ipc/sluice/conn"
	"github.com/sluice-ipc/sluice/shm/proc"
)

func init() { proc.Register("send", send) }

func main() {
	proc.Main() // in a child, runs its function and exits
	ctx := context.Background()
	a, b, err := conn.Pipe(nil)
	check(err)
	p, err := proc.Start("send", a)
	check(err)
	arr := make([]int32, 10)
	n, err := conn.RecvSliceInto(ctx, b, arr)
	check(err)
	if n != 5 { // elements
		log.Fatalf("%d numbers arrived", n)
	}
	fmt.Println(arr)
	check(p.Wait(ctx))
}

func send(ctx context.Context, a *conn.Conn) error {
	return conn.SendSlice(ctx, a, []int32{0, 1, 2, 3, 4})
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
