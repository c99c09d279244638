package conn

import (
	"context"
	"errors"
	"io"
	"iter"
	"runtime"

	"github.com/sluice-ipc/sluice/ring"
)

// Peek waits for a message and returns it where it lies in shared memory, which
// the other process can still change. The slice is valid until Release, which
// must follow, and must not be written to; until then nobody else receives from
// this end. A message that is peeked when this process dies is lost with it.
//
// The errors are those of RecvBytes.
func (r *receiver) Peek(ctx context.Context) ([]byte, error) {
	rd, err := r.reader()
	if err != nil {
		return nil, err
	}
	b, err := rd.Peek(ctx)
	if err != nil {
		err = r.fail(err)
	}
	runtime.KeepAlive(r)
	return b, err
}

// TryPeek is Peek without waiting, with the errors of TryRecvBytes.
func (r *receiver) TryPeek() ([]byte, error) {
	rd, err := r.reader()
	if err != nil {
		return nil, err
	}
	b, err := rd.TryPeek()
	if err == ring.ErrEmpty && r.e.look() {
		b, err = rd.TryPeek()
	}
	if err != nil {
		err = r.fail(err)
	}
	runtime.KeepAlive(r)
	return b, err
}

// More returns the next message behind those that have been peeked, without
// waiting: ErrEmpty when there is none yet, or when it travels in pieces or is above
// MaxMessage. Release then gives all of them back at once, which is cheaper than one
// by one. Only the goroutine that has peeked may call it.
func (r *receiver) More() ([]byte, error) {
	rd := r.e.r.Load()
	if rd == nil {
		return nil, r.e.closed("receive from")
	}
	b, err := rd.More()
	if err != nil {
		err = r.fail(err)
	}
	runtime.KeepAlive(r)
	return b, err
}

// Release gives back every message peeked so far. It returns ErrNotPeeked when
// there is none.
func (r *receiver) Release() error {
	rd := r.e.r.Load()
	if rd == nil {
		return r.e.closed("receive from")
	}
	err := rd.Release()
	if err != nil {
		err = r.fail(err)
	}
	runtime.KeepAlive(r)
	return err
}

// Poll waits until a receive would not block, and consumes nothing. That is the
// case when there is a message, and also when there will never be one: the
// receive then returns io.EOF. When the context's deadline passes first Poll
// returns false and no error; when the context is cancelled, its error.
//
// A message that travels in pieces counts from its first piece on: the receive
// waits for the rest.
func (r *receiver) Poll(ctx context.Context) (bool, error) {
	rd, err := r.reader()
	if err != nil {
		return err == io.EOF, notEOF(err)
	}
	ready, err := rd.Poll(ctx)
	if err != nil {
		err = r.fail(err)
	}
	runtime.KeepAlive(r)
	return ready, err
}

// TryPoll is Poll without waiting. It returns ErrBusy when another goroutine is
// receiving.
func (r *receiver) TryPoll() (bool, error) {
	rd, err := r.reader()
	if err != nil {
		return err == io.EOF, notEOF(err)
	}
	ready, err := rd.TryPoll()
	if !ready && err == nil && r.e.look() {
		ready, err = rd.TryPoll()
	}
	if err != nil {
		err = r.fail(err)
	}
	runtime.KeepAlive(r)
	return ready, err
}

func notEOF(err error) error {
	if err == io.EOF {
		return nil
	}
	return err
}

// AllBytes iterates over the messages where they lie in shared memory, as Peek
// returns them; each is released when the loop's body is done with it. The body
// must not receive from this end. The loop ends at the end of the stream. A
// message that was lost is a pair with ErrMessageLost, after which the loop goes
// on; any other error is the last pair.
func (r *receiver) AllBytes(ctx context.Context) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for {
			b, err := r.Peek(ctx)
			switch {
			case err == io.EOF:
				return
			case err == nil:
				if !r.lend(b, yield) {
					return
				}
			case !yield(nil, err) || !errors.Is(err, ErrMessageLost):
				return
			}
		}
	}
}

// lend gives a peeked message to the body of a loop, and takes it back also
// from one that panics.
func (r *receiver) lend(b []byte, yield func([]byte, error) bool) bool {
	defer r.Release()
	return yield(b, nil)
}
