//go:build linux

package lock_test

import (
	"context"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/sluice-ipc/sluice/internal/mem"
	"github.com/sluice-ipc/sluice/internal/shmtest"
	"github.com/sluice-ipc/sluice/internal/sys"
	"github.com/sluice-ipc/sluice/shm"
	"github.com/sluice-ipc/sluice/shm/lock"
)

// eight are options for a segment with few slots.
func eight() *lock.Options {
	return &lock.Options{Segment: shm.Options{MaxParticipants: 8}}
}

// word returns the first word of the i-th 128 bytes of a segment.
func word(s *shm.Segment, i int) *atomic.Uint64 { return mem.Uint64(s.Data(), 128*i) }

// done is a context that is done.
func done() context.Context {
	ctx, cancel := context.WithCancel(bg)
	cancel()
	return ctx
}

// marked is a context that tells when a call has looked at the state and is about
// to sleep: from then on it has begun to wait.
type marked struct {
	context.Context
	mark func()
}

func (m marked) Err() error {
	m.mark()
	return m.Context.Err()
}

// begin calls f in a goroutine, and returns when that has begun to wait on what
// does not spin, or has ended. What f returns comes through the channel.
func begin(t testing.TB, ctx context.Context, f func(context.Context) error) <-chan error {
	t.Helper()
	var begun atomic.Bool
	out := make(chan error, 1)
	go func() {
		out <- f(marked{ctx, func() { begun.Store(true) }})
		begun.Store(true)
	}()
	shortly(t, begun.Load, "a call begins to wait")
	return out
}

// shortly is shmtest.Eventually for what will be in a moment, often.
func shortly(t testing.TB, cond func() bool, what ...any) {
	t.Helper()
	for i := range 2000 {
		if cond() {
			return
		}
		runtime.Gosched()
		if i > 100 {
			sys.Yield()
		}
	}
	shmtest.Eventually(t, cond, what...)
}

// nudge calls f again and again until the function that it returns is called.
func nudge(f func()) (stop func()) {
	quit, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		until(quit, func() bool { f(); return false })
	}()
	return func() {
		close(quit)
		<-ended
	}
}
