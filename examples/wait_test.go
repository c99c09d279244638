//go:build linux && (amd64 || arm64)

package examples_test

import (
	"context"
	"os"
	"slices"
	"testing"

	"github.com/sluice-ipc/sluice/conn"
	"github.com/sluice-ipc/sluice/ring"
	"github.com/sluice-ipc/sluice/shm/lock"
	"github.com/sluice-ipc/sluice/shm/proc"
)

func init() {
	proc.Register("settle", func(ctx context.Context, e *lock.Event, q *ring.Queue[int], c *conn.Conn) error {
		if _, err := c.Recv(ctx); err != nil {
			return err
		}
		if err := e.Set(); err != nil {
			return err
		}
		if _, err := c.Recv(ctx); err != nil {
			return err
		}
		if err := q.Put(ctx, 1); err != nil {
			return err
		}
		_, err := c.Recv(ctx)
		return err
	})
}

func TestMain(m *testing.M) {
	proc.Main()
	os.Exit(m.Run())
}

// An event, a queue and a process are waited for together, as what happens in a
// child makes each ready.
func TestWaitForEventQueueAndProcess(t *testing.T) {
	if os.Getenv("SLUICE_EMULATED") == "1" {
		t.Skip("missing: children that run under the emulator too")
	}
	ctx := context.Background()
	e := must(lock.Anonymous[lock.Event]("event", nil))(t)
	defer e.Close()
	q := must(ring.AnonymousQueue[int]("queue", nil))(t)
	defer q.Close()
	ours, theirs, err := conn.Pipe(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	p := must(proc.Start("settle", e, q, theirs))(t)
	wait := func(want ...conn.Waitable) {
		t.Helper()
		if got := must(conn.Wait(ctx, e, q, p))(t); !slices.Equal(got, want) {
			t.Fatalf("ready: %v, want %v", got, want)
		}
	}
	if none := must(conn.TryWait(e, q, p))(t); len(none) != 0 {
		t.Fatal(none)
	}
	ours.Send(ctx, "set")
	wait(e)
	e.Clear()
	ours.Send(ctx, "put")
	wait(q)
	must(q.Get(ctx))(t)
	ours.Send(ctx, "end")
	wait(p)
	if err := p.Wait(ctx); err != nil {
		t.Error(err)
	}
}

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}
