package wait

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/sluice-ipc/sluice/internal/mem"
	"github.com/sluice-ipc/sluice/internal/sys"
)

// waiter is one goroutine asleep on an event.
type waiter struct {
	e         *Event
	c         Cond
	armed     bool          // the context can be cancelled
	awake     bool          // it spins: there is nobody to wake
	cancelled atomic.Uint32 // private futex word: not 0 once the context is done

	// Of a goroutine that is parked, guarded by mux.
	entry  *entry        // nil once it was told to look
	index  int           // in entry.waiters
	unpark chan struct{} // tells it to look
}

var waiterPool = sync.Pool{New: func() any { return &waiter{unpark: make(chan struct{}, 1)} }}

func newWaiter(e *Event, c Cond) *waiter {
	w := waiterPool.Get().(*waiter)
	w.e, w.c = e, c
	return w
}

// free gives w back, which nobody else uses any more.
func (w *waiter) free() {
	w.e, w.c, w.armed, w.awake = nil, nil, false, false
	w.cancelled.Store(0)
	waiterPool.Put(w)
}

// arm makes the end of ctx wake w. What it returns is for disarm.
func (w *waiter) arm(ctx context.Context) (stop func() bool) {
	if ctx.Done() == nil {
		return nil
	}
	w.armed = true
	w.cancelled.Store(0) // it may have been armed before
	return context.AfterFunc(ctx, w.cancel)
}

// disarm sees to it that cancel is not running and will not run: it touches
// memory that may be gone once the wait is over.
func (w *waiter) disarm(stop func() bool) {
	if stop == nil || stop() {
		return
	}
	for w.cancelled.Load() != cancelDone {
		runtime.Gosched() // it needs no more than a system call
	}
}

// The values of waiter.cancelled.
const (
	cancelBegun = 1
	cancelDone  = 2
)

// cancel wakes w because its context is done.
func (w *waiter) cancel() {
	w.cancelled.Store(cancelBegun)
	w.rouse()
	w.cancelled.Store(cancelDone)
}

func (w *waiter) rouse() {
	if sys.HaveWaitv() {
		sys.FutexWakePrivate(mem.Raw(&w.cancelled), 1)
		if sys.HaveWaitv() {
			return
		}
	}
	// Without futex_waitv the waiter sleeps on the shared word alone. Change
	// that word, so that a waiter on its way to sleep does not, and wake
	// everybody; the others find their condition unchanged and sleep again.
	w.e.flushIfThere()
}

// Tick implements Sleeper. When looking faults, the waiter finds the same if it is
// parked, where nothing else would ever end its sleep, and the fault goes on.
func (w *waiter) Tick() {
	if w.awake {
		return
	}
	looked := false
	defer func() {
		if !looked {
			w.again()
		}
	}()
	ready := w.c.Ready()
	looked = true
	if ready && !w.again() {
		w.e.flush()
	}
}

// again has the thread of a parked waiter look, which also sees whether the word is
// still there: if not, nobody can be woken through it. It reports whether the waiter
// is parked.
func (w *waiter) again() bool {
	mux.Lock()
	defer mux.Unlock()
	if w.entry == nil {
		return false
	}
	w.entry.again()
	return true
}
