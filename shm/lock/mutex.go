package lock

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/sluice-ipc/sluice/internal/mem"
	"github.com/sluice-ipc/sluice/internal/place"
	"github.com/sluice-ipc/sluice/shm"
)

// Mutex is a lock that one goroutine of all processes holds at a time.
//
// It is held by the participant whose handle took it: any goroutine may unlock
// it through the same handle, and nobody else may. It is not recursive; see
// [Mutex.Owner]. Nobody is overtaken for long: who has waited for a millisecond
// is let in before those who come later.
//
// When the owner dies, or leaves with the lock held, the next Lock gets it
// together with [ErrOwnerDied].
type Mutex struct {
	spot   place.Spot
	l      word
	holder atomic.Pointer[Owner] // who of this process holds it recursively
}

// Where the words of a mutex lie.
const (
	mutexWord  = 8
	mutexEvent = 16
	mutexSize  = mem.FalseShare
)

func (*Mutex) kind() string { return "mutex" }

func (*Mutex) size(*Options, int) (int64, error) { return mutexSize, nil }

func (m *Mutex) attach(p place.Spot, _ *Options) error {
	m.spot = p
	m.l = newWord(p, mutexWord, mutexEvent)
	return nil
}

// Lock takes the mutex. [ErrOwnerDied] comes with the lock held; all other
// errors without it: [ErrNotRecoverable], an error of the context, and
// [ErrClosed]. A context that is done already gets one attempt.
//
// From then on until Unlock, Close takes no effect.
func (m *Mutex) Lock(ctx context.Context) error {
	if err := m.spot.Seg.Retain(); err != nil {
		return wrap("lock", m.spot.Name(), err)
	}
	if m.l.quick() {
		return nil
	}
	err := m.l.lock(ctx)
	return m.taken(err)
}

// taken passes on what a word said of an attempt.
func (m *Mutex) taken(err error) error {
	if err == nil {
		return nil
	}
	if !errors.Is(err, ErrOwnerDied) {
		m.spot.Seg.Release()
	}
	return wrap("lock", m.spot.Name(), err)
}

// TryLock takes the mutex if that is possible at once, and says whether it did.
// The errors are those of Lock: with [ErrOwnerDied] it is true. It does not give
// way to those who have waited for long.
func (m *Mutex) TryLock() (bool, error) {
	if err := m.spot.Seg.Retain(); err != nil {
		return false, wrap("lock", m.spot.Name(), err)
	}
	m.l.probe()
	ok, err := m.l.try(true)
	if !ok && err == nil {
		m.spot.Seg.Release()
	}
	return ok, m.taken(err)
}

// Unlock gives the mutex up. What this handle does not hold stays as it is:
// [ErrNotLocked], [ErrNotOwner].
func (m *Mutex) Unlock() error {
	if m.holder.Load() != nil && m.Held() {
		return wrap("unlock", m.spot.Name(), ErrNotOwner)
	}
	return m.unlock(false)
}

func (m *Mutex) unlock(abandon bool) error {
	if err := m.l.unlock(abandon); err != nil {
		return wrap("unlock", m.spot.Name(), err)
	}
	m.spot.Seg.Release()
	return nil
}

// MarkConsistent says that what the lock protects is as it should be again,
// after [ErrOwnerDied]. Only the owner can say that: [ErrNotLocked],
// [ErrNotOwner].
func (m *Mutex) MarkConsistent() error {
	if m.holder.Load() != nil && m.Held() {
		return wrap("mark", m.spot.Name(), ErrNotOwner)
	}
	return m.mark()
}

func (m *Mutex) mark() error {
	err := m.l.mark()
	runtime.KeepAlive(m)
	return wrap("mark", m.spot.Name(), err)
}

func (m *Mutex) revive() { m.l.revive() }

// Held reports whether some goroutine holds the mutex through this handle.
func (m *Mutex) Held() bool {
	held := m.l.w.Load()&ownerBits == m.l.me
	runtime.KeepAlive(m)
	return held
}

// Holder returns who holds the mutex, dead or alive, and 0 if nobody does.
func (m *Mutex) Holder() shm.ID {
	v := m.l.w.Load()
	runtime.KeepAlive(m)
	return shm.ID(v & ownerBits)
}

// With calls f with the mutex held. It does not call it when Lock returns an
// error, [ErrOwnerDied] included, which leaves things to the next one: see Lock.
func (m *Mutex) With(ctx context.Context, f func() error) (err error) {
	if err := m.Lock(ctx); err != nil {
		if errors.Is(err, ErrOwnerDied) {
			m.unlock(true)
		}
		return err
	}
	defer func() { err = errors.Join(err, m.Unlock()) }()
	return f()
}

// Locker returns the mutex as a sync.Locker. Where Lock would return
// [ErrOwnerDied], its Lock calls repair and marks the lock consistent; repair
// may be nil where a half-done change does no harm. A lock that is
// [ErrNotRecoverable] is taken over in the same way. It panics where it cannot
// lock or unlock: with an error of repair, [ErrClosed], or on an Unlock of what
// is not held.
func (m *Mutex) Locker(repair func() error) sync.Locker { return &locker{m, repair} }

// robust is a lock that a locker repairs.
type robust interface {
	Lock(ctx context.Context) error
	Unlock() error
	MarkConsistent() error
	unlock(abandon bool) error
	revive()
}

type locker struct {
	m      robust
	repair func() error
}

func (l *locker) Lock() {
	err := l.m.Lock(context.Background())
	for errors.Is(err, ErrNotRecoverable) {
		l.m.revive()
		err = l.m.Lock(context.Background())
	}
	if errors.Is(err, ErrOwnerDied) {
		err = l.mend()
	}
	if err != nil {
		panic(err)
	}
}

// mend repairs what a dead owner left, and keeps the lock. If repair fails or
// panics the lock is given up, and the next one is told in turn.
func (l *locker) mend() (err error) {
	mended := false
	defer func() {
		if !mended {
			l.m.unlock(true)
		}
	}()
	if l.repair != nil {
		if err := l.repair(); err != nil {
			return err
		}
	}
	err = l.m.MarkConsistent()
	mended = err == nil
	return err
}

func (l *locker) Unlock() {
	if err := l.m.Unlock(); err != nil {
		panic(err)
	}
}

// String says who holds the mutex.
func (m *Mutex) String() string {
	return fmt.Sprintf("lock.Mutex(%s, %s)", m.spot.Name(), describe(m.spot.Seg, m.Holder()))
}

// describe says who a participant is.
func describe(s *shm.Segment, id shm.ID) string {
	if id == 0 {
		return "free"
	}
	for _, p := range s.Participants() {
		if p.ID == id {
			return fmt.Sprintf("held by process %d, %s", p.PID, p.Label)
		}
	}
	if s.Usable() {
		return fmt.Sprintf("held by %v, who is gone", id)
	}
	return fmt.Sprintf("held by %v", id) // nobody looks any more
}

// Segment returns the segment in which the mutex lies.
func (m *Mutex) Segment() *shm.Segment { return m.spot.Seg }

// Close gives up this handle. Waiting calls return [ErrClosed]; a mutex that is
// held through the handle stays so until it is unlocked. Closing a handle that
// came from At does nothing.
func (m *Mutex) Close() error { return m.spot.Close() }

// Handover implements shm.Handle: the child gets a handle of its own, with
// [Inherited], and not the lock.
func (m *Mutex) Handover() (shm.Handover, error) { return m.spot.Handover() }
