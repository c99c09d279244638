package lock

import (
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
