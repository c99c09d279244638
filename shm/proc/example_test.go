//go:build linux && amd64

// An emulator for another processor would not find its way into the child.

package proc_test

import (
	"context"
	"fmt"

	"github.com/sluice-ipc/sluice/ring"
	"github.com/sluice-ipc/sluice/shm/proc"
)

func init() { proc.Register("square", square) }

func square(ctx context.Context, in, out *ring.Queue[int64]) error {
	for v, err := range in.All(ctx) {
		if err != nil {
			return err
		}
		if err := out.Put(ctx, v*v); err != nil {
			return err
		}
	}
	return out.CloseSend()
}

// In main, or here in TestMain, the first call is proc.Main().
func Example() {
	ctx := context.Background()
	in, err := ring.AnonymousQueue[int64]("in", nil)
	check(err)
	defer in.Close()
	out, err := ring.AnonymousQueue[int64]("out", nil)
	check(err)
	defer out.Close()

	p, err := proc.Start("square", in, out)
	check(err)
	for v := range int64(4) {
		check(in.Put(ctx, v))
	}
	check(in.CloseSend())
	for v, err := range out.All(ctx) {
		check(err)
		fmt.Println(v)
	}
	check(p.Wait(ctx))
	// Output:
	// 0
	// 1
	// 4
	// 9
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
