package value

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/sluice-ipc/sluice/internal/wait"
	"github.com/sluice-ipc/sluice/shm"
)

// A watch is where the goroutines of this process wait for an object to change.
type watch struct {
	ev   *wait.Event
	seg  *shm.Segment
	spin *wait.Spinner
	busy atomic.Bool // one of them is spinning, which is enough
}

// asleep makes waiters sleep at once.
var asleep = sync.OnceValue(func() *wait.Spinner { return wait.NewSpinner(wait.Never) })

func newWatch(ev *atomic.Uint32, s *shm.Segment) watch {
	return watch{ev: wait.NewEvent(ev, s), seg: s, spin: wait.NewSpinner(wait.Adaptive)}
}

// wake wakes everybody, after the change has been published.
func (w *watch) wake() { w.ev.WakeAll() }

// wait waits until c is ready, or returns the error of the context, or of the
// segment when that has been closed or has failed. c includes that the segment is
// no longer usable.
//
// Preconditions: the caller holds a Retain.
func (w *watch) wait(ctx context.Context, c wait.Cond) error {
	if err := w.until(ctx, c); err != nil {
		return err
	}
	if !w.seg.Usable() {
		return unusable(w.seg)
	}
	return nil
}

func (w *watch) until(ctx context.Context, c wait.Cond) error {
	if w.busy.CompareAndSwap(false, true) {
		ok := w.spin.Spin(c)
		w.busy.Store(false)
		if ok {
			return nil
		}
	}
	return w.ev.Sleep(ctx, c, asleep())
}

// unusable says why a segment cannot be used any more.
func unusable(s *shm.Segment) error {
	if err := s.Retain(); err != nil {
		return err
	}
	s.Release()
	return shm.ErrClosed
}

// over reports whether that participant is known to have left or to have died.
// It tests nothing and is cheap.
func over(s *shm.Segment, id shm.ID) bool {
	if id.Slot() >= s.Slots() {
		return true // no participant ever had that
	}
	st, cur := s.Slot(id.Slot())
	return cur != id || st != shm.Active
}
