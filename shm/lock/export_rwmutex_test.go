package lock

import (
	"sync/atomic"

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
