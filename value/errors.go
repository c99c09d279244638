package value

import (
	"errors"
	"fmt"
	"os"
)

// ErrClosed means that this handle has been closed.
// It satisfies errors.Is(err, os.ErrClosed).
//
// What a call returns names the object and wraps this, an error of package shm
// or lock ([lock.ErrOwnerDied], [lock.ErrInconsistent], [lock.ErrNotLocked]),
// that of the context, or is one of the types below.
var ErrClosed = fmt.Errorf("closed: %w", os.ErrClosed)

// An OptionError reports an argument or option that makes no sense.
type OptionError struct {
	Field string
	Value any
	Want  string
}

func (e *OptionError) Error() string {
	return fmt.Sprintf("value: %s is %v, want %s", e.Field, e.Value, e.Want)
}

// A RangeError reports elements that an array does not have: the call has
// changed nothing.
type RangeError struct {
	Array    string // its name
	From, To int    // To is behind the last one
	Len      int
}

func (e *RangeError) Error() string {
	return fmt.Sprintf("value: %s: elements [%d:%d] of an array of %d", e.Array, e.From, e.To, e.Len)
}

// both returns the error of the caller's own function as it is, unless there is
// another one as well.
func both(own, ours error) error {
	switch {
	case ours == nil:
		return own
	case own == nil:
		return ours
	}
	return errors.Join(own, ours)
}

// wrap says which object an error is about.
func wrap(verb, name string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, os.ErrClosed) && !errors.Is(err, ErrClosed):
		err = ErrClosed
	}
	return fmt.Errorf("value: %s %s: %w", verb, name, err)
}
