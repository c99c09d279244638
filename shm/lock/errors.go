package lock

import (
	"errors"
	"fmt"
	"os"

	"github.com/sluice-ipc/sluice/shm"
)

// Errors that callers act on. What a call returns names the lock and wraps one
// of these, an error of package shm, or that of the context.
var (
	// ErrOwnerDied means that the previous owner died, or left, with the
	// lock held: what the lock protects may be half changed. The caller has
	// got the lock, and is the only one who is told. It puts things right,
	// calls MarkConsistent and unlocks; without that call, Unlock makes the
	// lock [ErrNotRecoverable].
	ErrOwnerDied = errors.New("previous owner died")

	// ErrInconsistent means that a previous owner died, and nobody has put
	// right what it left. The caller has not got the lock; Lock gives it,
	// with ErrOwnerDied.
	ErrInconsistent = errors.New("owner died, and nobody has locked and marked it consistent")

	// ErrNotRecoverable means that somebody who was told ErrOwnerDied
	// unlocked without MarkConsistent. Nobody gets the lock any more.
	ErrNotRecoverable = errors.New("not recoverable")

	// ErrNotLocked means that nobody holds what was to be unlocked.
	ErrNotLocked = errors.New("not locked")

	// ErrNotOwner means that somebody else holds it.
	ErrNotOwner = errors.New("held by another")

	// ErrOverRelease means that a semaphore has all its permits already.
	ErrOverRelease = errors.New("released too often")

	// ErrBarrierBroken means that a barrier was aborted or reset, that the
	// context of one of the parties ended, or its action failed. If it was
	// the death of a party, the error is ErrOwnerDied as well.
	ErrBarrierBroken = errors.New("barrier is broken")

	// ErrClosed means that this handle has been closed.
	// It satisfies errors.Is(err, os.ErrClosed).
	ErrClosed = fmt.Errorf("closed: %w", os.ErrClosed)
)

// An OptionError reports a value in the options that makes no sense.
type OptionError struct {
	Field string
	Value any
	Want  string
}

func (e *OptionError) Error() string {
	return fmt.Sprintf("lock: %s is %v, want %s", e.Field, e.Value, e.Want)
}

// wrap says which lock an error is about.
func wrap(verb, name string, err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, shm.ErrClosed) {
		err = ErrClosed // of the handle that the caller knows
	}
	return fmt.Errorf("lock: %s %s: %w", verb, name, err)
}
