package lock

import (
	"context"
	"sync/atomic"

	"github.com/sluice-ipc/sluice/internal/mem"
	"github.com/sluice-ipc/sluice/internal/wait"
	"github.com/sluice-ipc/sluice/shm"
)

// Entering is the bit of a writer that waits for readers.
const Entering = entering

// Word returns the word that says who holds the lock for writing.
func (m *RWMutex) Word() *atomic.Uint64 { return m.l.w }

// Cell returns the word that counts the read locks of a participant.
func (m *RWMutex) Cell(id shm.ID) *atomic.Uint64 { return &m.cells[id.Slot()].n }

// Asked returns the word by which readers ask writers to wait.
func (m *RWMutex) Asked() *atomic.Uint32 { return m.l.asked }

// Bytes returns the memory of the lock.
func (m *RWMutex) Bytes() []byte { return m.spot.Data }

// NoSpin makes waiters of this handle sleep at once.
func (m *RWMutex) NoSpin() {
	for _, r := range []*room{&m.l.room, &m.drain, &m.enter} {
		r.spin = wait.NewSpinner(wait.Never)
	}
}

// Cell returns the word of a permit.
func (s *Semaphore) Cell(i int) *atomic.Uint64 { return &s.cells[i] }

// Asked returns the word by which waiters ask others to wait.
func (s *Semaphore) Asked() *atomic.Uint32 { return s.asked }

// Bytes returns the memory of the semaphore.
func (s *Semaphore) Bytes() []byte { return s.spot.Data }

// NoSpin makes waiters of this handle sleep at once.
func (s *Semaphore) NoSpin() { s.room.spin = wait.NewSpinner(wait.Never) }

// RawLock is Lock without naming its error, which takes another way each time.
func (m *RWMutex) RawLock(ctx context.Context) error { return m.raw(m.lock(ctx)) }

// RawRLock is RLock in the same way.
func (m *RWMutex) RawRLock(ctx context.Context) error {
	ok, err := m.tryRead()
	if !ok && err == nil {
		err = m.waitToRead(ctx)
	}
	return m.raw(err)
}

func (m *RWMutex) raw(err error) error {
	if err == nil || err == ErrOwnerDied {
		m.spot.Seg.Retain()
	}
	return err
}

// Drain returns the word that a writer sleeps on who waits for readers.
func (m *RWMutex) Drain() *atomic.Uint32 { return mem.Uint32(m.spot.Data, rwDrain) }

// Events returns the words that writers sleep on who wait for each other, and
// readers.
func (m *RWMutex) Events() (writers, readers *atomic.Uint32) {
	return mem.Uint32(m.spot.Data, rwEvent), mem.Uint32(m.spot.Data, rwEnter)
}

// RawAcquire is Acquire without naming its error.
func (s *Semaphore) RawAcquire(ctx context.Context) error {
	err := s.wait(ctx, s.me)
	if err == nil {
		err = s.spot.Seg.Retain()
		s.held.Add(1)
	}
	return err
}

// LookFrom makes the next look begin at that permit.
func (s *Semaphore) LookFrom(i int) { s.hint.Store(int32(i)) }

// Event returns the word that waiters sleep on.
func (s *Semaphore) Event() *atomic.Uint32 { return mem.Uint32(s.spot.Data, semEvent) }

// LookOnce is TryAcquire without a second attempt after a look for the dead.
func (s *Semaphore) LookOnce() bool {
	if !s.take(s.me) {
		return false
	}
	s.held.Add(1)
	return s.spot.Seg.Retain() == nil
}
