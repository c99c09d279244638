package ring

import (
	"context"

	"github.com/sluice-ipc/sluice/internal/mem"
)

// Write sends a copy of msg as one message, waiting for room. Its errors are
// those of Reserve; a message above MaxMessage gets ErrTooLarge.
//
// A message above MaxFrame travels in pieces: the reader still gets it whole or
// not at all, but it is not atomic. When ctx ends in the middle the message
// counts as not sent.
func (w *Writer) Write(ctx context.Context, msg []byte) (err error) {
	if err := w.gate.Enter(ctx); err != nil {
		return w.r.waited("write to", ErrFull, gateError(err))
	}
	if w.r.opts.Guard {
		defer w.recoverFault(&err, armFaults())
	}
	err = w.write(ctx, msg)
	w.gate.Leave()
	return err
}

func (w *Writer) write(ctx context.Context, msg []byte) error {
	if len(msg) > w.r.opts.MaxMessage {
		return w.r.tooLarge(len(msg), w.r.opts.MaxMessage)
	}
	if len(msg) > w.r.MaxFrame() {
		return w.writePieces(ctx, msg)
	}
	b := w.quick(len(msg))
	if b == nil {
		var err error
		if b, err = w.await(ctx, len(msg), kindWhole); err != nil {
			return err
		}
	}
	mem.Copy(b, msg)
	w.send(len(msg))
	return nil
}

// TryWrite is Write without waiting: the message is sent at once and whole, or
// not at all. It returns ErrFull when there is no room now, ErrTooLarge for a
// message that an empty ring may not hold, which one of up to three quarters of
// the ring's size never is, and ErrBusy when another goroutine is using this
// end.
func (w *Writer) TryWrite(msg []byte) (err error) {
	if err := w.gate.TryEnter(); err != nil {
		return gateError(err)
	}
	if w.r.opts.Guard {
		defer w.recoverFault(&err, armFaults())
	}
	if err = w.stageCopy(msg); err != nil {
		w.discard()
	} else {
		w.publish()
	}
	w.gate.Leave()
	return err
}

// stageCopy stages a copy of msg without waiting.
func (w *Writer) stageCopy(msg []byte) error {
	if len(msg) > w.r.opts.MaxMessage {
		return w.r.tooLarge(len(msg), w.r.opts.MaxMessage)
	}
	if len(msg) > w.r.MaxFrame() {
		return w.stagePieces(msg)
	}
	b, err := w.reserve(len(msg), kindWhole)
	if err != nil {
		return err
	}
	mem.Copy(b, msg)
	w.stage(len(msg))
	return nil
}

// WriteBatch sends copies of all messages, which become visible at once, with
// one wake-up. It waits until there is room for all of them; when they do not
// fit an empty ring it returns ErrTooLarge and sends none. The other errors are
// those of Reserve, and none is sent then either.
func (w *Writer) WriteBatch(ctx context.Context, msgs [][]byte) error {
	b, err := w.Batch(ctx)
	if err != nil {
		return err
	}
	for _, msg := range msgs {
		if err := b.Write(ctx, msg); err != nil {
			b.Abort()
			return err
		}
	}
	return b.Commit()
}
