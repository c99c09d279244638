// Command values has a child change a number and an array that it shares with
// its parent.
//
//	go run ./examples/values
package main

import (
	"context"
	"fmt"
	"log"

	"github.com/sluice-ipc/sluice/shm/proc"
	"github.com/sluice-ipc/sluice/value"
)

func init() { proc.Register("change", change) }

func main() {
	proc.Main() // in a child, runs its function and exits
	ctx := context.Background()
	num, err := value.Anonymous("num", 0.0, nil)
	check(err)
	arr, err := value.AnonymousArrayFrom("arr", []int32{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, nil)
	check(err)
	p, err := proc.Start("change", num, arr)
	check(err)
	check(p.Wait(ctx))
	fmt.Println(num.Load())
	all, err := arr.Snapshot(ctx, 0, arr.Len())
	check(err)
	fmt.Println(all)
}

func change(n *value.Value[float64], a *value.Array[int32]) {
	n.Store(3.1415927)
	for i := range a.Len() {
		a.Set(i, -a.At(i))
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
