package conn

import (
	"context"
	"errors"
	"runtime"

	"github.com/sluice-ipc/sluice/ring"
)

// sender is what Conn and SendConn have in common; see handle.
type sender struct{ e *end }

func (s *sender) sending() *sender { return s }

// fail translates what the ring said about an attempt to send.
func (s *sender) fail(err error) error {
	switch err {
	case ring.ErrFull:
		return ErrFull
	case ring.ErrBusy:
		return ErrBusy
	}
	return s.e.failed("send to", sends, err)
}

// failSize is fail for a message of n bytes.
func (s *sender) failSize(err error, n int) error {
	if n > s.e.opts.MaxMessage && errors.Is(err, ring.ErrTooLarge) {
		return &MessageTooLongError{s.e.name, n, s.e.opts.MaxMessage}
	}
	return s.fail(err)
}

// SendBytes sends a copy of b as one message, waiting for room. An empty
// message is a message; nil is an empty one. What was sent when SendBytes
// returns nil is received even if this process dies.
//
// It fails with ErrBrokenPipe when the other end has closed or died,
// ErrClosed when this one is closed, also meanwhile, *MessageTooLongError above
// MaxMessage, and when ctx is done with an error that is both ErrFull and the
// context's. Nothing has been sent then: a message in pieces that ctx cut short
// is never received.
func (s *sender) SendBytes(ctx context.Context, b []byte) error {
	w := s.e.w.Load()
	if w == nil {
		return s.e.closed("send to")
	}
	err := w.Write(ctx, b)
	if err != nil {
		err = s.failSize(err, len(b))
	}
	runtime.KeepAlive(s)
	return err
}

// TrySendBytes is SendBytes without waiting: the message is sent at once, or
// not at all. It returns ErrFull when there is no room, and ErrBusy when another
// goroutine is sending. A message of more than three quarters of Options.Size,
// which SendBytes sends in pieces, may get ErrTooLarge: even an empty ring does
// not hold it.
func (s *sender) TrySendBytes(b []byte) error {
	w := s.e.w.Load()
	if w == nil {
		return s.e.closed("send to")
	}
	err := w.TryWrite(b)
	if err == ring.ErrFull && s.e.look() {
		err = w.TryWrite(b)
	}
	if err != nil {
		err = s.failSize(err, len(b))
	}
	runtime.KeepAlive(s)
	return err
}

// SendBatch sends copies of all messages, in order. They become visible at
// once, with one wake-up, and a receiver gets all of them or, if this process
// dies before SendBatch returns, possibly none. It waits until there is room
// for all; when they can never fit together it returns ErrTooLarge. On any
// error none has been sent. The other errors are those of SendBytes.
func (s *sender) SendBatch(ctx context.Context, msgs [][]byte) error {
	w := s.e.w.Load()
	if w == nil {
		return s.e.closed("send to")
	}
	err := w.WriteBatch(ctx, msgs)
	if err != nil {
		err = s.fail(err)
	}
	runtime.KeepAlive(s)
	return err
}

// Reserve waits for room and returns n bytes in shared memory, at an address
// that is a multiple of eight, for the caller to fill. Commit or Abort must
// follow; until then nobody else sends through this end. What is reserved when
// the process dies is never received.
//
// n is at most MaxReserve, else ErrTooLarge. The other errors are those of
// SendBytes.
func (s *sender) Reserve(ctx context.Context, n int) ([]byte, error) {
	w := s.e.w.Load()
	if w == nil {
		return nil, s.e.closed("send to")
	}
	b, err := w.Reserve(ctx, n)
	if err != nil {
		err = s.fail(err)
	}
	runtime.KeepAlive(s)
	return b, err
}

// TryReserve is Reserve without waiting, with the errors of TrySendBytes.
func (s *sender) TryReserve(n int) ([]byte, error) {
	w := s.e.w.Load()
	if w == nil {
		return nil, s.e.closed("send to")
	}
	b, err := w.TryReserve(n)
	if err == ring.ErrFull && s.e.look() {
		b, err = w.TryReserve(n)
	}
	if err != nil {
		err = s.fail(err)
	}
	runtime.KeepAlive(s)
	return b, err
}

// Commit sends the first n bytes of the reservation as one message. The memory
// is no longer the caller's. It returns ErrNotReserved when there is no
// reservation, or a smaller one, which then stays.
func (s *sender) Commit(n int) error {
	w := s.e.w.Load()
	if w == nil {
		return s.e.closed("send to")
	}
	err := w.Commit(n)
	if err != nil {
		err = s.fail(err)
	}
	runtime.KeepAlive(s)
	return err
}

// Abort gives the reservation back unused.
func (s *sender) Abort() error {
	w := s.e.w.Load()
	if w == nil {
		return s.e.closed("send to")
	}
	err := w.Abort()
	if err != nil {
		err = s.fail(err)
	}
	runtime.KeepAlive(s)
	return err
}

// MaxReserve returns the most bytes that Reserve can give: somewhat less than
// half of Options.Size, and no more than MaxMessage.
func (s *sender) MaxReserve() int {
	return min(s.e.att.rings[0].MaxFrame(), s.e.opts.MaxMessage) // all rings of a pipe are of one size
}

// CanSend reports whether this end is open for sending. It says nothing about
// the other end.
func (s *sender) CanSend() bool { return s.e.open()&sends != 0 }
