package conn

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// deadline is a point in time that may be moved to and fro, also under calls
// that are waiting for it.
type deadline struct {
	now atomic.Pointer[moment] // what calls wait for at present; nil: not asked for yet

	mu    sync.Mutex
	at    time.Time // zero: never
	timer *time.Timer
	over  bool // nobody waits any more, nor will
}

// A moment is a context that is done once a deadline has passed. As long as it
// has not, the deadline can be moved; a later one is another moment.
type moment struct {
	over atomic.Bool
	done chan struct{}

	mu    sync.Mutex
	funcs map[*func()]struct{} // to be called when it is done
}

var _ context.Context = (*moment)(nil)

// context returns what a call that begins now waits for.
func (d *deadline) context() *moment {
	if m := d.now.Load(); m != nil {
		return m
	}
	d.now.CompareAndSwap(nil, &moment{done: make(chan struct{})})
	return d.now.Load()
}

// set moves the deadline; zero is none. It reports false when it is too late to
// set any.
func (d *deadline) set(t time.Time) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.over {
		return false
	}
	d.at = t
	if d.context().Err() != nil {
		// Whoever waited has been told.
		d.now.Store(&moment{done: make(chan struct{})})
	}
	left := time.Until(t)
	switch {
	case t.IsZero():
		if d.timer != nil {
			d.timer.Stop()
		}
	case left <= 0:
		d.context().expire()
	case d.timer == nil:
		d.timer = time.AfterFunc(left, d.fire)
	default:
		d.timer.Reset(left)
	}
	return true
}

// fire is called when the deadline may have passed: it may also have been moved
// while the call was under way.
func (d *deadline) fire() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.at.IsZero() {
		return
	}
	if left := time.Until(d.at); left > 0 {
		d.timer.Reset(left)
		return
	}
	d.context().expire()
}

// end says that nobody waits any more, and that it is not for the deadline that
// calls fail from now on. A timer would keep everything alive until it fires.
func (d *deadline) end() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.over, d.at = true, time.Time{}
	if d.context().Err() != nil {
		d.now.Store(&moment{done: make(chan struct{})})
	}
	if d.timer != nil {
		d.timer.Stop()
	}
}

// expire makes the moment come.
func (m *moment) expire() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.over.Load() {
		return
	}
	m.over.Store(true)
	close(m.done)
	for f := range m.funcs {
		go (*f)()
	}
	m.funcs = nil
}

// Done implements context.Context.
func (m *moment) Done() <-chan struct{} { return m.done }

// Err implements context.Context.
func (m *moment) Err() error {
	if m.over.Load() {
		return context.DeadlineExceeded
	}
	return nil
}

// Deadline implements context.Context: it may move, so there is none to go by.
func (m *moment) Deadline() (time.Time, bool) { return time.Time{}, false }

// Value implements context.Context.
func (m *moment) Value(any) any { return nil }

// AfterFunc is what context.AfterFunc calls, and spares it a goroutine.
func (m *moment) AfterFunc(f func()) (stop func() bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.over.Load() {
		go f()
		return func() bool { return false }
	}
	if m.funcs == nil {
		m.funcs = make(map[*func()]struct{})
	}
	m.funcs[&f] = struct{}{}
	return func() bool {
		m.mu.Lock()
		defer m.mu.Unlock()
		_, waiting := m.funcs[&f]
		delete(m.funcs, &f)
		return waiting
	}
}
