package value

import (
	"context"
	"errors"

	"github.com/sluice-ipc/sluice/internal/place"
	"github.com/sluice-ipc/sluice/shm"
	"github.com/sluice-ipc/sluice/shm/lock"
)

// A guard is the lock under which an object changes: its own, or one that its
// users share among several objects.
type guard struct {
	m      *lock.Mutex
	seg    *shm.Segment // the object's, which need not be that of a shared lock
	shared bool
}

// newGuard returns the lock of the object at p, which has room for one of its own
// at byte at.
//
// Preconditions: the caller holds a Retain.
func newGuard(p *place.Spot, at int, shared *lock.Mutex) (guard, error) {
	if err := claimLock(p, shared); err != nil {
		return guard{}, err
	}
	if shared != nil {
		return guard{shared, p.Seg, true}, nil
	}
	m, err := lock.At[lock.Mutex](p.Seg, p.Off+int64(at), nil)
	return guard{m, p.Seg, false}, err
}

// do calls f under the lock, whatever becomes of f. Its error is never f's.
//
// When the last owner has died, f is not called, and the error says so. Of an
// object's own lock it is ErrOwnerDied, once: nothing is half done that anybody
// would have to put right, or the caller of do sees to it. Of a shared lock it is
// ErrInconsistent, until somebody who knows the other objects has locked it and
// marked it consistent.
func (g *guard) do(ctx context.Context, f func()) error {
	if g.shared {
		return g.doShared(ctx, f)
	}
	err := g.m.Lock(ctx)
	if errors.Is(err, lock.ErrOwnerDied) {
		return errors.Join(err, g.hand())
	}
	if err != nil {
		return err
	}
	return g.held(f)
}

// hand gives the lock up, with nothing to be told of it any more.
func (g *guard) hand() error {
	return errors.Join(g.m.MarkConsistent(), g.m.Unlock())
}

// held calls f and unlocks.
func (g *guard) held(f func()) (err error) {
	defer func() { err = g.m.Unlock() }()
	f()
	return nil
}

func (g *guard) doShared(ctx context.Context, f func()) error {
	if err := g.seg.Retain(); err != nil {
		return err
	}
	defer g.seg.Release()
	called := false
	err := g.m.With(ctx, func() error {
		called = true
		f()
		return nil
	})
	if !called && errors.Is(err, lock.ErrOwnerDied) {
		return lock.ErrInconsistent
	}
	return err
}

// apply calls f for who holds the lock.
func (g *guard) apply(f func()) error {
	if err := g.seg.Retain(); err != nil {
		return err
	}
	defer g.seg.Release()
	if !g.m.Held() {
		return lock.ErrNotLocked
	}
	f()
	return nil
}
