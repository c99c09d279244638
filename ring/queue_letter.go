package ring

import (
	"context"
	"fmt"
	"slices"

	"github.com/sluice-ipc/sluice/internal/mem"
)

// bury gives a message that we hold, without a lane, to the dead-letter handler.
// t is a place that was claimed for it, which is free afterwards. After an error the
// message has been put back, or is another's because this handle was lost.
func (q *queue) bury(ctx context.Context, m taken, block bool, t ticket) error {
	q.held.detain(t) // the handler may take its time, and take messages
	defer q.held.vacate(t)
	back := true
	defer func() { // also when the handler panics
		if back && q.poisoned() == nil {
			q.requeue(m)
		}
	}()
	count := &q.ctl.count.deadLetters
	if b, err := q.contents(nil, m); err != nil {
		count = &q.ctl.count.discarded // nobody can read it
	} else {
		if !block {
			ctx = gone
		}
		if err := q.opts.DeadLetter(ctx, b, m.tries); err != nil {
			return fmt.Errorf("dead letter: %w", err)
		}
	}
	if err := q.poisoned(); err != nil {
		return err
	}
	back = false
	count.Add(1)
	q.releaseHeld(m)
	return nil
}

// gone is a context that is done: calls with it try once.
var gone = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// Bury is a QueueOptions.DeadLetter of other queues of T: it puts their dead
// letters into this one, and waits for room, unless the options say otherwise,
// for as long as their Get would wait. When a process dies in the middle of it,
// the letter may come twice.
//
//	jobs, err := ring.OpenQueue[Job]("jobs", &ring.QueueOptions{
//		MaxDeliveries: 3, DeadLetter: failed.Bury,
//	})
func (q *Queue[T]) Bury(ctx context.Context, b []byte, deliveries int) error {
	if q.form == formPlain && len(b) != q.plain.Size {
		return q.q.wrap("put into", fmt.Errorf("%d bytes are not a %s", len(b), q.plain.Name))
	}
	return q.transmit(ctx, b, true)
}

// Decode returns what b says, which is a message of a queue of T as it travels:
// a dead letter for example. b may be memory of the queue's; it is copied. The
// error is *DecodeError.
func (q *Queue[T]) Decode(b []byte) (v T, err error) {
	if q.form == formPlain && len(b) == q.plain.Size {
		mem.Load(q.plain, b, &v)
		return v, nil
	}
	return q.decode(slices.Clone(b))
}

// Value returns what a message says that was taken from this queue. The error is
// *DecodeError, or one of those of Message.Append.
func (q *Queue[T]) Value(m Message) (v T, err error) {
	if m.q == nil {
		return v, ErrNotHeld
	}
	if b := m.Bytes(); q.form == formPlain && b != nil && len(b) == q.plain.Size {
		mem.Load(q.plain, b, &v)
		return v, nil
	}
	b, err := m.Append(nil)
	if err != nil {
		return v, err
	}
	return q.decode(b)
}
