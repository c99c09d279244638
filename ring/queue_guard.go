package ring

import (
	"context"

	"github.com/sluice-ipc/sluice/shm"
)

// guard runs f, a call that uses lanes, so that a fault on the queue's memory is
// an error. Lanes that such a call had stay in use for ever: nobody gets one any
// more, and Close does not wait for them.
func (q *queue) guard(f func() error) error {
	if err := q.poisoned(); err != nil {
		return err
	}
	for { // the call keeps the memory, since its lane may not
		n := q.refs.Load()
		if n == 0 {
			return ErrClosed
		}
		if q.refs.CompareAndSwap(n, n+1) {
			break
		}
	}
	defer q.unref()
	err := shm.Guard(f)
	fault := q.poisoned()
	if fault == nil {
		return err
	}
	q.held.abandon()
	for i := range q.lanes { // others may be waiting for one
		q.lanes[i].gate.Close(func() {}, func() {})
	}
	if err == nil {
		return nil // it was done before: what it has got is the caller's
	}
	return fault
}

// guardAway runs f, which gives something back, if need be so that a fault is an
// error. It uses no lane but the desk, which f gives up in any case.
func (q *queue) guardAway(f func() error) error {
	if q == nil || !q.opts.Guard {
		return f()
	}
	return shm.Guard(f)
}

// look runs f, which looks at the memory of an open queue without a lane, and
// reports whether it could.
func (q *queue) look(f func()) bool {
	if q.retain() != nil {
		return false
	}
	defer q.release()
	if !q.opts.Guard {
		f()
		return true
	}
	return shm.Guard(func() error { f(); return nil }) == nil
}

// guarded is guard for calls that return something.
func guarded[R any](q *queue, f func() (R, error)) (r R, err error) {
	err = q.guard(func() (err error) {
		r, err = f()
		return err
	})
	return r, err
}

// guardedGet is get under guard.
func (q *Queue[T]) guardedGet(ctx context.Context, block bool) (v T, err error) {
	return guarded(q.q, func() (T, error) { return q.get(ctx, block) })
}
