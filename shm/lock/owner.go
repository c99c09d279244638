package lock

import (
	"context"
	"errors"
)

// Owner takes a mutex recursively: it is a token, since goroutines have no
// identity, and who has it is the owner. It must not be used by two goroutines
// at a time, and may wander from one to another.
//
// Owners of one mutex, in one process or in several, exclude each other and
// everybody who takes the mutex itself.
type Owner struct {
	m     *Mutex
	depth int // how often it holds the mutex
}

// Owner returns a new token for the mutex.
func (m *Mutex) Owner() *Owner { return &Owner{m: m} }

// Lock takes the mutex, or holds it once more. The errors are those of
// [Mutex.Lock].
func (o *Owner) Lock(ctx context.Context) error {
	if o.depth > 0 {
		o.depth++
		return nil
	}
	return o.got(o.m.Lock(ctx))
}

// TryLock is Lock without waiting, see [Mutex.TryLock].
func (o *Owner) TryLock() (bool, error) {
	if o.depth > 0 {
		o.depth++
		return true, nil
	}
	ok, err := o.m.TryLock()
	if ok {
		o.got(err)
	}
	return ok, err
}

// got notes that the mutex is ours, if it is.
func (o *Owner) got(err error) error {
	if err == nil || errors.Is(err, ErrOwnerDied) {
		o.depth = 1
		o.m.holder.Store(o)
	}
	return err
}

// Unlock undoes one Lock; the last one gives the mutex up. [ErrNotOwner]: this
// token does not hold it.
func (o *Owner) Unlock() error {
	switch {
	case o.depth == 0:
		return wrap("unlock", o.m.spot.Name(), ErrNotOwner)
	case o.depth > 1:
		o.depth--
		return nil
	}
	o.depth = 0
	o.m.holder.Store(nil)
	return o.m.Unlock()
}

// Depth returns how often the token holds the mutex.
func (o *Owner) Depth() int { return o.depth }

// MarkConsistent is that of the mutex, see [Mutex.MarkConsistent].
func (o *Owner) MarkConsistent() error {
	if o.depth == 0 {
		return wrap("mark", o.m.spot.Name(), ErrNotOwner)
	}
	return o.m.mark()
}
