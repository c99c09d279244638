package ring

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
)

// Errors that callers act on. What a call returns names the ring and wraps one
// of these, but for the ErrFull, ErrEmpty and ErrBusy of Try calls and io.EOF,
// which are returned as they are.
var (
	// ErrFull means that there is no room for the message now.
	ErrFull = errors.New("ring: full")

	// ErrEmpty means that there is no message now.
	ErrEmpty = errors.New("ring: empty")

	// ErrBusy means that a live process holds this end, or, from a Try
	// call, that another goroutine is using it.
	ErrBusy = errors.New("ring: end is in use")

	// ErrTooLarge means that a message can never fit: it is larger than
	// MaxMessage, a reservation is larger than MaxFrame, or what is staged
	// does not fit an empty ring.
	ErrTooLarge = errors.New("ring: message too large")

	// ErrNotReserved means a Commit, Stage or Abort without a reservation,
	// or with more bytes than were reserved.
	ErrNotReserved = errors.New("ring: not reserved")

	// ErrNotPeeked means a Release or More without a message on loan.
	ErrNotPeeked = errors.New("ring: nothing peeked")

	// ErrNoSegment means that a ring in memory of the caller's own was to be
	// passed to another process.
	ErrNoSegment = errors.New("ring: not in a segment")

	// ErrCorrupt means that the other process wrote something that is not a
	// ring. The end stays unusable.
	ErrCorrupt = errors.New("ring: corrupt")

	// ErrClosed means that this end has been closed here.
	// It satisfies errors.Is(err, os.ErrClosed).
	ErrClosed = fmt.Errorf("ring: end is closed: %w", os.ErrClosed)

	// ErrBrokenPipe means that the reader has closed or died.
	// It satisfies errors.Is(err, syscall.EPIPE).
	ErrBrokenPipe = fmt.Errorf("ring: no reader: %w", syscall.EPIPE)

	// ErrMessageLost means that a message sent in pieces did not arrive
	// whole, because a process died in the middle of it. It is reported
	// once; the next call goes on with the next message.
	// It satisfies errors.Is(err, io.ErrUnexpectedEOF).
	ErrMessageLost = fmt.Errorf("ring: message lost: %w", io.ErrUnexpectedEOF)
)

// A FormatError reports memory that does not hold a ring this version can use.
type FormatError struct {
	Ring      string // name of the segment
	Field     string
	Got, Want uint64
}

func (e *FormatError) Error() string {
	return fmt.Sprintf("ring: %s: %s is %#x, want %#x", e.Ring, e.Field, e.Got, e.Want)
}

// A CorruptError says what was found where. It satisfies
// errors.Is(err, ErrCorrupt).
type CorruptError struct {
	Ring     string // name of the segment
	Field    string // what was read
	Position uint64 // where in the ring
	Value    uint64
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("ring: %s: corrupt: %s at position %d is %#x", e.Ring, e.Field, e.Position, e.Value)
}

// Is reports whether target is ErrCorrupt.
func (e *CorruptError) Is(target error) bool { return target == ErrCorrupt }

// A ShortBufferError says that the next message is larger than the caller
// allows. The message has not been consumed. It satisfies
// errors.Is(err, io.ErrShortBuffer).
type ShortBufferError struct {
	Ring string // name of the segment
	Size int    // bytes of the message
	Room int    // bytes allowed
}

func (e *ShortBufferError) Error() string {
	return fmt.Sprintf("ring: %s: message of %d bytes, room for %d", e.Ring, e.Size, e.Room)
}

// Is reports whether target is io.ErrShortBuffer.
func (e *ShortBufferError) Is(target error) bool { return target == io.ErrShortBuffer }

// wrap names the ring and the operation.
func (r *Ring) wrap(op string, err error) error { return wrapAs(op, r.name, err) }

func wrapAs(op, name string, err error) error {
	return fmt.Errorf("ring: %s %s: %w", op, name, err)
}

// tooLarge reports a message of n bytes where max are possible.
func (r *Ring) tooLarge(n, max int) error { return tooLargeFor(r.name, n, max) }

func tooLargeFor(name string, n, max int) error {
	return fmt.Errorf("ring: %s: %w: %d bytes, at most %d", name, ErrTooLarge, n, max)
}

// A waitError is a wait that ended before its condition held. It satisfies
// errors.Is for both the condition (ErrFull, ErrEmpty) and the context's error.
type waitError struct {
	op, ring  string
	cond, ctx error
}

func (e *waitError) Error() string {
	return fmt.Sprintf("ring: %s %s: %v: %v", e.op, e.ring, e.cond, e.ctx)
}

func (e *waitError) Unwrap() []error { return []error{e.cond, e.ctx} }

// waited describes why a wait for cond ended with err.
func (r *Ring) waited(op string, cond, err error) error {
	return waitedFor(op, r.name, cond, err)
}

func waitedFor(op, name string, cond, err error) error {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return &waitError{op, name, cond, err}
	}
	return wrapAs(op, name, err)
}

// A DecodeError is a message that was taken and could not be decoded.
type DecodeError struct {
	Queue   string // name of the segment
	Message []byte
	Err     error // the codec's
}

func (e *DecodeError) Error() string {
	return fmt.Sprintf("ring: %s: decode a message of %d bytes: %v", e.Queue, len(e.Message), e.Err)
}

func (e *DecodeError) Unwrap() error { return e.Err }
