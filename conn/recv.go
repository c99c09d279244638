package conn

import (
	"context"
	"errors"
	"io"
	"runtime"

	"github.com/sluice-ipc/sluice/internal/mem"
	"github.com/sluice-ipc/sluice/ring"
)

// receiver is what Conn and RecvConn have in common; see handle.
type receiver struct{ e *end }

func (r *receiver) receiving() *receiver { return r }

// reader returns the role, or why there is nothing to read: the end of the
// stream stays the end.
func (r *receiver) reader() (*ring.Reader, error) {
	rd := r.e.r.Load()
	if rd == nil {
		return nil, r.e.closed("receive from")
	}
	if r.e.eof.Load() {
		if err := r.e.usable("receive from", receives); err != nil {
			return nil, err
		}
		return nil, io.EOF
	}
	return rd, nil
}

// fail translates what the ring said about an attempt to receive.
func (r *receiver) fail(err error) error {
	switch err {
	case ring.ErrEmpty:
		return ErrEmpty
	case ring.ErrBusy:
		return ErrBusy
	case io.EOF:
		r.e.eof.Store(true)
		return io.EOF
	}
	var short *ring.ShortBufferError
	if errors.As(err, &short) {
		return &MessageTooLongError{r.e.name, short.Size, short.Room}
	}
	return r.e.failed("receive from", receives, err)
}

// RecvBytes waits for a message and returns a copy of it, which is never nil.
//
// After the last message it returns io.EOF, for ever, when the other end has
// closed or died. It fails with ErrClosed when this end is closed, also
// meanwhile, with ErrMessageLost, once, for a message that was cut short, with
// ErrTooLarge, once, for one above MaxMessage, which is gone then, and when ctx
// is done with an error that is both ErrEmpty and the context's.
func (r *receiver) RecvBytes(ctx context.Context) ([]byte, error) {
	return r.recvMax(ctx, -1)
}

// RecvBytesMax is RecvBytes for messages of at most max bytes. A longer one
// gets *MessageTooLongError and stays where it is: it can still be received
// with a larger limit, or skipped. The connection goes on.
func (r *receiver) RecvBytesMax(ctx context.Context, max int) ([]byte, error) {
	if err := r.e.usable("receive from", receives); err != nil {
		return nil, err
	}
	if max < 0 {
		return nil, &opError{"receive from", r.e.name, nil, errNegative}
	}
	return r.recvMax(ctx, max)
}

func (r *receiver) recvMax(ctx context.Context, max int) ([]byte, error) {
	rd, err := r.reader()
	if err != nil {
		return nil, err
	}
	b, err := rd.ReadAppend(ctx, nil, max)
	if err != nil {
		err = r.fail(err)
	} else if b == nil {
		b = []byte{}
	}
	runtime.KeepAlive(r)
	return b, err
}

// TryRecvBytes is RecvBytes without waiting. It returns ErrEmpty when there is
// no message, and ErrBusy when another goroutine is receiving.
func (r *receiver) TryRecvBytes() ([]byte, error) {
	rd, err := r.reader()
	if err != nil {
		return nil, err
	}
	b, err := rd.TryReadAppend(nil, -1)
	if err == ring.ErrEmpty && r.e.look() {
		b, err = rd.TryReadAppend(nil, -1)
	}
	if err != nil {
		err = r.fail(err)
	} else if b == nil {
		b = []byte{}
	}
	runtime.KeepAlive(r)
	return b, err
}

// RecvAppend is RecvBytes into memory of the caller's: it appends the message
// to dst and returns the result, or dst itself with an error.
func (r *receiver) RecvAppend(ctx context.Context, dst []byte) ([]byte, error) {
	rd, err := r.reader()
	if err != nil {
		return dst, err
	}
	b, err := rd.ReadAppend(ctx, dst, -1)
	if err != nil {
		err = r.fail(err)
	}
	runtime.KeepAlive(r)
	return b, err
}

// RecvBytesInto waits for a message, copies it to the front of buf and returns
// its length; the rest of buf is not touched. A message that is longer than buf
// is consumed and comes with *BufferTooShortError, and buf is not touched at
// all. The other errors are those of RecvBytes.
func (r *receiver) RecvBytesInto(ctx context.Context, buf []byte) (int, error) {
	rd, err := r.reader()
	if err != nil {
		return 0, err
	}
	n, err := rd.Read(ctx, buf)
	switch {
	case errors.Is(err, io.ErrShortBuffer):
		n, err = r.recvInto(ctx, buf, 1) // it is still there, or another one is
	case err != nil:
		err = r.fail(err)
	}
	runtime.KeepAlive(r)
	return n, err
}

// recvInto receives into buf a message of whole elements.
func (r *receiver) recvInto(ctx context.Context, buf []byte, elem int) (int, error) {
	b, err := r.Peek(ctx)
	if err != nil {
		return 0, err
	}
	n, err := r.fill(buf, b, elem)
	r.Release()
	return n, err
}

// TryRecvBytesInto is RecvBytesInto without waiting, with the errors of
// TryRecvBytes.
func (r *receiver) TryRecvBytesInto(buf []byte) (int, error) {
	b, err := r.TryPeek()
	if err != nil {
		return 0, err
	}
	n, err := r.fill(buf, b, 1)
	r.Release()
	return n, err
}

// fill copies message b to buf, or into an error if that cannot be.
func (r *receiver) fill(buf, b []byte, elem int) (int, error) {
	switch {
	case len(b)%elem != 0:
		return 0, &ElementSizeError{r.e.name, private(b), elem}
	case len(b) > len(buf):
		return 0, &BufferTooShortError{r.e.name, private(b), len(buf)}
	}
	return mem.Copy(buf, b), nil
}

// private returns a copy of b that is not shared with anybody.
func private(b []byte) []byte {
	c := make([]byte, len(b))
	mem.Copy(c, b)
	return c
}

// Skip waits for a message and throws it away. It is meant for one that was too
// long for RecvBytesMax; another goroutine that receives from this end may have
// taken that meanwhile. Its errors are those of RecvBytes.
func (r *receiver) Skip(ctx context.Context) error {
	_, err := r.Peek(ctx)
	if err != nil {
		return err
	}
	return r.Release()
}

// CanRecv reports whether this end is open for receiving. It says nothing about
// the other end.
func (r *receiver) CanRecv() bool { return r.e.open()&receives != 0 }
