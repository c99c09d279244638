package lock

import (
	"sync/atomic"

	"github.com/sluice-ipc/sluice/internal/wait"
)

// NoSpin is [Mutex.NoSpin] for an event.
func (e *Event) NoSpin() { e.room.spin = wait.NewSpinner(wait.Never) }

// NoSpin is [Mutex.NoSpin] for a condition.
func (c *Cond) NoSpin() { c.room.spin = wait.NewSpinner(wait.Never) }

// NoSpin is [Mutex.NoSpin] for a barrier.
func (b *Barrier) NoSpin() { b.room.spin = wait.NewSpinner(wait.Never) }

// Waiters returns how many wait, as far as is known.
func (c *Cond) Waiters() uint64 { return c.waiting() }

// Cells returns the words that say who waits.
func (c *Cond) Cells() []atomic.Uint64 { return c.cells }

// Cells returns the words that say who is a party.
func (b *Barrier) Cells() []atomic.Uint64 { return b.cells }

// State returns the word that counts changes.
func (e *Event) State() *atomic.Uint64 { return e.state }

// State returns the word that says how the round stands.
func (b *Barrier) State() *atomic.Uint64 { return b.state }

// Grants returns how many waiters may go on that have not done so yet.
func (c *Cond) Grants() uint64 { return c.grants.Load() }
