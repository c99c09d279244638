package conn

import (
	"context"
	"sync"
	"time"
)

// deadline is a context that is done while a point in time lies in the past,
// which may be moved to and fro, also under calls that are waiting for it. It
// can be done and then not be any more.
type deadline struct {
	mu    sync.Mutex
	timer *time.Timer
	turn  int // which setting the timer belongs to
	done  chan struct{}
	funcs map[*func()]struct{} // to be called when it is done
}

var _ context.Context = (*deadline)(nil)

// set moves the deadline; zero is none.
func (d *deadline) set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.turn++
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	if d.expired() {
		d.done = nil // whoever waits has been told
	}
	if t.IsZero() {
		return
	}
	left := time.Until(t)
	if left <= 0 {
		d.expire()
		return
	}
	turn := d.turn
	d.timer = time.AfterFunc(left, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.turn == turn {
			d.expire()
		}
	})
}

// channel returns the channel that is closed when the deadline passes.
func (d *deadline) channel() chan struct{} {
	if d.done == nil {
		d.done = make(chan struct{})
	}
	return d.done
}

func (d *deadline) expired() bool {
	select {
	case <-d.channel():
		return true
	default:
		return false
	}
}

// expire tells everybody.
func (d *deadline) expire() {
	if d.expired() {
		return
	}
	close(d.done)
	for f := range d.funcs {
		go (*f)()
	}
	d.funcs = nil
}

// Done implements context.Context.
func (d *deadline) Done() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.channel()
}

// Err implements context.Context.
func (d *deadline) Err() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.expired() {
		return context.DeadlineExceeded
	}
	return nil
}

// Deadline implements context.Context: it may change, so there is none to go by.
func (d *deadline) Deadline() (time.Time, bool) { return time.Time{}, false }

// Value implements context.Context.
func (d *deadline) Value(any) any { return nil }

// AfterFunc is what context.AfterFunc calls, and spares it a goroutine.
func (d *deadline) AfterFunc(f func()) (stop func() bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.expired() {
		go f()
		return func() bool { return false }
	}
	if d.funcs == nil {
		d.funcs = make(map[*func()]struct{})
	}
	d.funcs[&f] = struct{}{}
	return func() bool {
		d.mu.Lock()
		defer d.mu.Unlock()
		_, waiting := d.funcs[&f]
		delete(d.funcs, &f)
		return waiting
	}
}
