package ring

import (
	"context"

	"github.com/sluice-ipc/sluice/internal/mem"
)

// Batch collects messages that become visible at once.
// It must not be used by more than one goroutine at a time, and keeps other
// goroutines out of its writer until Commit or Abort, one of which must follow.
//
// A batch is atomic: whenever the process dies, the reader sees all of it or
// nothing. All of it must fit an empty ring.
type Batch struct{ w *Writer }

// Batch begins a batch. Its errors are those of Reserve.
func (w *Writer) Batch(ctx context.Context) (Batch, error) {
	if err := w.gate.Enter(ctx); err != nil {
		return Batch{}, w.r.waited("write to", ErrFull, gateError(err))
	}
	w.batch = true
	return Batch{w}, nil
}

// Reserve waits for room and returns n bytes in the ring for the next message,
// which Stage ends. Its errors are those of Writer.Reserve; ErrTooLarge also
// means that the batch has outgrown the ring. The batch stays as it was, except
// that Close aborts it.
func (b Batch) Reserve(ctx context.Context, n int) (p []byte, err error) {
	w := b.w
	if w == nil || !w.batch {
		return nil, ErrNotReserved
	}
	if w.r.opts.Guard {
		defer w.recoverFault(&err, armFaults())
	}
	if p = w.quick(n); p != nil {
		return p, nil
	}
	if p, err = w.await(ctx, n, kindWhole); err != nil && w.gate.Closed() {
		b.Abort() // Close waits for us
	}
	return p, err
}

// TryReserve is Reserve without waiting: ErrFull when there is no room.
func (b Batch) TryReserve(n int) (p []byte, err error) {
	w := b.w
	if w == nil || !w.batch {
		return nil, ErrNotReserved
	}
	if w.r.opts.Guard {
		defer w.recoverFault(&err, armFaults())
	}
	return w.reserve(n, kindWhole)
}

// Stage makes the first n bytes of the reservation the batch's next message.
func (b Batch) Stage(n int) (err error) {
	w := b.w
	if w == nil || !w.batch || n < 0 || n > w.room {
		return ErrNotReserved
	}
	if w.r.opts.Guard {
		defer w.recoverFault(&err, armFaults())
	}
	w.stage(n)
	return nil
}

// Write adds a copy of msg to the batch, waiting for room.
func (b Batch) Write(ctx context.Context, msg []byte) (err error) {
	p, err := b.Reserve(ctx, len(msg))
	if err != nil {
		return err
	}
	if b.w.r.opts.Guard {
		defer b.w.recoverFault(&err, armFaults())
	}
	mem.Copy(p, msg)
	b.w.stage(len(msg))
	return nil
}

// Commit publishes the staged messages, all at once, and ends the batch.
// A reservation that was not staged is dropped.
func (b Batch) Commit() (err error) {
	w := b.w
	if w == nil || !w.batch {
		return ErrNotReserved
	}
	if w.r.opts.Guard {
		defer w.recoverFault(&err, armFaults())
	}
	w.publish()
	w.batch, w.room = false, -1
	w.gate.Leave()
	return nil
}

// Abort ends the batch; nobody sees anything of it.
func (b Batch) Abort() error {
	w := b.w
	if w == nil || !w.batch {
		return ErrNotReserved
	}
	w.discard()
	w.batch = false
	w.gate.Leave()
	return nil
}
