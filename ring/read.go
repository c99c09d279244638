package ring

import (
	"context"
	"errors"
	"io"
	"iter"
	"slices"

	"github.com/sluice-ipc/sluice/internal/mem"
)

// Read waits for a message, copies it into buf and returns its length. A
// message that is larger than buf stays where it is: *ShortBufferError. The
// other errors are those of Peek.
func (rd *Reader) Read(ctx context.Context, buf []byte) (n int, err error) {
	if err := rd.gate.Enter(ctx); err != nil {
		return 0, rd.r.waited("read from", ErrEmpty, gateError(err))
	}
	if rd.r.opts.Guard {
		defer rd.recoverFault(&err, armFaults())
	}
	b, err := rd.await(ctx, len(buf))
	if err == nil {
		n = mem.Copy(buf, b)
		rd.finish()
	}
	rd.gate.Leave()
	return n, err
}

// TryRead is Read without waiting. It returns ErrEmpty when there is no message
// and ErrBusy when another goroutine is using this end.
func (rd *Reader) TryRead(buf []byte) (n int, err error) {
	if err := rd.gate.TryEnter(); err != nil {
		return 0, gateError(err)
	}
	if rd.r.opts.Guard {
		defer rd.recoverFault(&err, armFaults())
	}
	b, err := rd.message(len(buf))
	if err == nil {
		n = mem.Copy(buf, b)
		rd.finish()
	}
	rd.gate.Leave()
	return n, err
}

// ReadAppend waits for a message and appends it to dst. A message of more than
// max bytes stays where it is: *ShortBufferError; a negative max sets no limit
// but MaxMessage. The other errors are those of Peek.
func (rd *Reader) ReadAppend(ctx context.Context, dst []byte, max int) (b []byte, err error) {
	if err := rd.gate.Enter(ctx); err != nil {
		return dst, rd.r.waited("read from", ErrEmpty, gateError(err))
	}
	if rd.r.opts.Guard {
		defer rd.recoverFault(&err, armFaults())
	}
	b, err = rd.await(ctx, max)
	b = rd.append(dst, b, err)
	rd.gate.Leave()
	return b, err
}

// TryReadAppend is ReadAppend without waiting, with the errors of TryRead.
func (rd *Reader) TryReadAppend(dst []byte, max int) (b []byte, err error) {
	if err := rd.gate.TryEnter(); err != nil {
		return dst, gateError(err)
	}
	if rd.r.opts.Guard {
		defer rd.recoverFault(&err, armFaults())
	}
	b, err = rd.message(max)
	b = rd.append(dst, b, err)
	rd.gate.Leave()
	return b, err
}

// append copies message b behind dst and finishes it, unless there was an
// error. A message assembled from pieces is handed over as it is when dst has
// no room of its own.
func (rd *Reader) append(dst, b []byte, err error) []byte {
	if err != nil {
		return dst
	}
	if rd.parts.ready && cap(dst) == 0 {
		dst, rd.parts.buf = b, nil
	} else {
		at := len(dst)
		dst = slices.Grow(dst, len(b))[:at+len(b)]
		mem.Copy(dst[at:], b)
	}
	rd.finish()
	return dst
}

// TryPoll reports whether a read would not block: there is a message, or
// nothing will ever come. A message that travels in pieces counts from its
// first piece on. It returns ErrBusy when another goroutine is using this end.
func (rd *Reader) TryPoll() (ready bool, err error) {
	if err := rd.gate.TryEnter(); err != nil {
		return false, gateError(err)
	}
	if rd.r.opts.Guard {
		defer rd.recoverFault(&err, armFaults())
	}
	ready, err = rd.poll()
	rd.gate.Leave()
	return ready, err
}

// Poll waits until a read would not block, as TryPoll tells it. It returns
// false and no error when the context's deadline passes first, and the
// context's error when it is cancelled.
func (rd *Reader) Poll(ctx context.Context) (ready bool, err error) {
	if err = rd.gate.Enter(ctx); err == nil {
		if rd.r.opts.Guard {
			defer rd.recoverFault(&err, armFaults())
		}
		if ready, err = rd.poll(); !ready && err == nil {
			err = rd.waitData(ctx)
			ready = err == nil
		}
		rd.gate.Leave()
	} else {
		err = rd.r.waited("poll", ErrEmpty, gateError(err))
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return false, nil
	}
	return ready, err
}

func (rd *Reader) poll() (bool, error) {
	if rd.parts.ready {
		return true, nil
	}
	switch _, _, _, err := rd.frame(); err {
	case nil, io.EOF:
		return true, nil
	case ErrEmpty:
		return false, nil
	default:
		return true, err
	}
}

// All iterates over the messages where they lie, until the end of the stream,
// which ends the loop, or an error, which is its last pair. Each message is
// released when the loop's body is done with it.
func (rd *Reader) All(ctx context.Context) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for {
			b, err := rd.Peek(ctx)
			if err == io.EOF {
				return
			}
			if err != nil {
				yield(nil, err)
				return
			}
			more := yield(b, nil)
			if err := rd.Release(); err != nil || !more {
				return
			}
		}
	}
}
