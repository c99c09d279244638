package conn

import (
	"context"
	"sync"
	"time"
)

// deadline is a point in time that may be moved to and fro, also under calls
// that are waiting for it.
type deadline struct {
	mu    sync.Mutex
	now   *moment // what calls wait for at present
	timer *time.Timer
}

// A moment is a context that is done once a deadline has passed. As long as it
// has not, the deadline can be moved; a later one is another moment.
type moment struct {
	mu    sync.Mutex
	done  chan struct{}
	over  bool
	funcs map[*func()]struct{} // to be called when it is done
}

var _ context.Context = (*moment)(nil)

// context returns what a call that begins now waits for.
func (d *deadline) context() *moment {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.current()
}

// current is context with mu held.
func (d *deadline) current() *moment {
	if d.now == nil {
		d.now = &moment{done: make(chan struct{})}
	}
	return d.now
}

// set moves the deadline; zero is none.
func (d *deadline) set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	if d.current().Err() != nil {
		d.now = nil // whoever waited has been told
	}
	if t.IsZero() {
		return
	}
	m := d.current()
	left := time.Until(t)
	if left <= 0 {
		m.expire()
		return
	}
	var timer *time.Timer
	timer = time.AfterFunc(left, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.timer == timer { // and not moved meanwhile
			m.expire()
		}
	})
	d.timer = timer
}

// expire makes the moment come.
func (m *moment) expire() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.over {
		return
	}
	m.over = true
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
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.over {
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
	if m.over {
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
