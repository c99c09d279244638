package lock

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/sluice-ipc/sluice/internal/mem"
	"github.com/sluice-ipc/sluice/internal/wait"
)

// The bits of a mutex's word, for tests that write what no participant would.
const (
	Inconsistent = inconsistent
	Lost         = lost
	Starving     = starving
)

// Word returns the word that says who holds the mutex.
func (m *Mutex) Word() *atomic.Uint64 { return m.l.w }

// EventWord returns the word that its waiters sleep on.
func (m *Mutex) EventWord() *atomic.Uint32 { return mem.Uint32(m.spot.Data, mutexEvent) }

// NoSpin makes waiters of this handle sleep at once: how long others spin
// differs from run to run.
func (m *Mutex) NoSpin() { m.l.room.spin = wait.NewSpinner(wait.Never) }

// TryAsNewcomer takes the lock as Lock does in its first attempt.
func (m *Mutex) TryAsNewcomer() (bool, error) { return m.l.try(false) }

// The calls that single-stepping goes through, without the words of their errors,
// which are thousands of instructions that touch no shared memory.

// RawLock is Lock.
func (m *Mutex) RawLock(ctx context.Context) error {
	if m.spot.Seg.Retain() != nil {
		return ErrClosed
	}
	if m.l.quick() {
		return nil
	}
	err := m.l.lock(ctx)
	if err != nil && !errors.Is(err, ErrOwnerDied) {
		m.spot.Seg.Release()
	}
	return err
}

// RawTry is TryLock where the lock can be had.
func (m *Mutex) RawTry() error {
	m.spot.Seg.Retain()
	m.l.probe()
	_, err := m.l.try(true)
	return err
}

// Abandon is how With, and a Locker that cannot repair, give up a lock that came
// with ErrOwnerDied.
func (m *Mutex) Abandon() error { return m.unlock(true) }

// Revive is how a Locker begins with a lock that is lost.
func (m *Mutex) Revive() { m.revive() }
