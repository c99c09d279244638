package conn

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"strings"
)

// Errors that callers act on. What a blocking call returns names the end and
// wraps one of these. The end of the stream is io.EOF itself.
var (
	// ErrFull means that there is no room for the message now.
	ErrFull error = &sentinel{"conn: full", nil}

	// ErrEmpty means that there is no message now.
	ErrEmpty error = &sentinel{"conn: empty", nil}

	// ErrBusy means that another goroutine is using this end in the same
	// direction, or that something is on loan from it; or, of Dial and Listen,
	// that too many others want the same.
	ErrBusy error = &sentinel{"conn: end is in use", nil}

	// ErrTooLarge means that a message can never be sent or received: it is
	// above MaxMessage, or above what the operation can do.
	ErrTooLarge error = &sentinel{"conn: message too large", nil}

	// ErrNotReserved means a Commit or Abort without a reservation, or with
	// more bytes than were reserved.
	ErrNotReserved error = &sentinel{"conn: not reserved", nil}

	// ErrNotPeeked means a Release or More without a message on loan.
	ErrNotPeeked error = &sentinel{"conn: nothing peeked", nil}

	// ErrDirection means that the end that was inherited cannot do what was
	// asked for: it only receives, only sends, or does both.
	ErrDirection error = &sentinel{"conn: end has another direction", nil}

	// ErrCorrupt means that the other process wrote something that is not a
	// ring. The direction stays unusable.
	ErrCorrupt error = &sentinel{"conn: corrupt", nil}

	// ErrClosed means that this end has been closed in this process.
	// It satisfies errors.Is(err, os.ErrClosed).
	ErrClosed error = &sentinel{"conn: end is closed", os.ErrClosed}

	// ErrMoved means that this end was passed to another process.
	// It satisfies errors.Is(err, ErrClosed).
	ErrMoved error = &sentinel{"conn: end was passed to another process", ErrClosed}

	// ErrBrokenPipe means that the other end has closed, or its process has
	// died. It satisfies errors.Is(err, syscall.EPIPE).
	ErrBrokenPipe error = &sentinel{"conn: no receiver", errPipe}

	// ErrMessageLost means that a message sent in pieces did not arrive
	// whole, because its sender gave up or died. It is reported once; the
	// next call goes on with the next message.
	// It satisfies errors.Is(err, io.ErrUnexpectedEOF).
	ErrMessageLost error = &sentinel{"conn: message lost", io.ErrUnexpectedEOF}
)

// Errors of strangers who meet. What a call returns names the address.
var (
	// ErrAddressInUse means that a live listener has the address.
	// It satisfies errors.Is(err, fs.ErrExist), and is syscall.EADDRINUSE.
	ErrAddressInUse error = &sentinel{"conn: address in use", errors.Join(fs.ErrExist, errInUse)}

	// ErrListenerClosed means that the listener has been closed here.
	// It satisfies errors.Is(err, os.ErrClosed), and net.ErrClosed.
	ErrListenerClosed error = &sentinel{"conn: listener is closed", errors.Join(os.ErrClosed, net.ErrClosed)}

	// ErrAuth means that the two sides do not have the same key.
	ErrAuth error = &sentinel{"conn: authentication failed", nil}

	// ErrNotAllowed means that the listener does not let this user in.
	// It satisfies errors.Is(err, fs.ErrPermission).
	ErrNotAllowed error = &sentinel{"conn: not allowed", fs.ErrPermission}

	// ErrProtocol means that the other side does not speak this protocol, or
	// another version of it.
	ErrProtocol error = &sentinel{"conn: not the same protocol", nil}

	// ErrRefused means that the listener refused for another reason, which
	// the text gives.
	ErrRefused error = &sentinel{"conn: refused", nil}

	// ErrHungUp means that the other side ended the handshake without a word,
	// because it closed, or died. It satisfies errors.Is(err, ErrRefused), and
	// io.ErrUnexpectedEOF.
	ErrHungUp error = &sentinel{"conn: the other side hung up", errors.Join(ErrRefused, io.ErrUnexpectedEOF)}

	// ErrNoSocket means that descriptors cannot be sent over a connection
	// that was not made by Dial and Listen, or was passed to another process.
	ErrNoSocket error = &sentinel{"conn: no socket to send descriptors over", errors.ErrUnsupported}
)

// sentinel is an error that is also another one.
type sentinel struct {
	text string
	is   error
}

func (e *sentinel) Error() string { return e.text }
func (e *sentinel) Unwrap() error { return e.is }

// A MessageTooLongError says that a message is longer than is allowed. A
// message that was to be sent has not been sent; one that was to be received
// has not been consumed: receive it with a larger limit, or Skip it. It
// satisfies errors.Is(err, ErrTooLarge).
type MessageTooLongError struct {
	Conn string // name of the end
	Size int    // bytes of the message
	Max  int    // bytes allowed
}

func (e *MessageTooLongError) Error() string {
	return fmt.Sprintf("conn: %s: message of %d bytes, at most %d allowed", e.Conn, e.Size, e.Max)
}

// Is reports whether target is ErrTooLarge.
func (e *MessageTooLongError) Is(target error) bool { return target == ErrTooLarge }

// A BufferTooShortError carries a message that did not fit the caller's buffer,
// which has not been touched. The message has been consumed. It satisfies
// errors.Is(err, io.ErrShortBuffer).
type BufferTooShortError struct {
	Conn    string // name of the end
	Message []byte // all of the message; the caller's
	Room    int    // bytes of the buffer
}

func (e *BufferTooShortError) Error() string {
	return fmt.Sprintf("conn: %s: message of %d bytes, room for %d", e.Conn, len(e.Message), e.Room)
}

// Is reports whether target is io.ErrShortBuffer.
func (e *BufferTooShortError) Is(target error) bool { return target == io.ErrShortBuffer }

// An ElementSizeError carries a message that is not a whole number of elements.
// The message has been consumed.
type ElementSizeError struct {
	Conn    string // name of the end
	Message []byte // all of the message; the caller's
	Size    int    // bytes of one element
}

func (e *ElementSizeError) Error() string {
	return fmt.Sprintf("conn: %s: message of %d bytes is not a whole number of %d-byte elements",
		e.Conn, len(e.Message), e.Size)
}

// A DecodeError carries a message that the codec could not decode. The message
// has been consumed, and the connection goes on with the next one. It never
// satisfies errors.Is(err, io.EOF), whatever the codec returned.
type DecodeError struct {
	Conn string // name of the end
	Data []byte // all of the message; the caller's
	Err  error  // what the codec said
}

func (e *DecodeError) Error() string {
	return fmt.Sprintf("conn: %s: decode message of %d bytes: %v", e.Conn, len(e.Data), e.Err)
}

// Unwrap returns the codec's error, unless that means the end of something.
func (e *DecodeError) Unwrap() error {
	if errors.Is(e.Err, io.EOF) || errors.Is(e.Err, io.ErrUnexpectedEOF) {
		return nil
	}
	return e.Err
}

// An opError says what was being done on which end, what kind of failure it
// was, and what lies behind that. One of the two may be nil.
type opError struct {
	op, conn string
	kind     error // one of the errors above
	cause    error
}

func (e *opError) Error() string {
	text := fmt.Sprintf("conn: %s %s", e.op, e.conn)
	switch e.kind {
	case nil:
		return fmt.Sprintf("%s: %v", text, e.cause)
	case ErrCorrupt, ErrTooLarge: // the cause says what and where
		return fmt.Sprintf("%s: %v", text, e.cause)
	case ErrFull, ErrEmpty:
		return fmt.Sprintf("%s: %s: %v", text, plainText(e.kind), e.cause)
	}
	return fmt.Sprintf("%s: %s", text, plainText(e.kind))
}

// plainText returns an error's text without the name of this package.
func plainText(err error) string { return strings.TrimPrefix(err.Error(), "conn: ") }

func (e *opError) Unwrap() []error {
	switch {
	case e.kind == nil:
		return []error{e.cause}
	case e.cause == nil:
		return []error{e.kind}
	}
	return []error{e.kind, e.cause}
}

// contextError returns the context's error in err, nil if there is none.
func contextError(err error) error {
	for _, c := range []error{context.DeadlineExceeded, context.Canceled} {
		if errors.Is(err, c) {
			return c
		}
	}
	return nil
}

var (
	errNegative   = errors.New("maximum length is negative")
	errNotPointer = errors.New("cannot receive into anything but a pointer that is not nil")
	errNoSize     = errors.New("elements have no size")
)
