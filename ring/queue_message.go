package ring

import (
	"context"
	"iter"
)

// A Message is a message that was taken and not given back: the memory is its
// consumer's, to read and to write, until Release or Requeue. It may be kept for
// any time and given back in any order, by any goroutine, also after Close.
//
// When the process dies first, the message is delivered to another consumer.
// What the holder wrote into it is what that one gets. So it is when the handle
// fails with shm.ErrLost or *shm.FaultError: the message is no more its own, and
// the memory not to be written.
type Message struct {
	q *queue
	t ticket
	m taken
}

// take takes a message without copying it. The errors are those of Get, and
// ErrTooManyHeld.
func (q *queue) take(ctx context.Context, block bool) (Message, error) {
	var t ticket
	l, m, err := q.recv(ctx, block, &t)
	if err != nil {
		return Message{}, err
	}
	if m.n < 0 || m.n > q.maxMessage {
		l.release(m)
		q.held.vacate(t)
		l.leave()
		return Message{}, q.corruptMessage(m)
	}
	q.wakeSpace()
	q.hold(t, m, heldMessage) // and touch no memory any more: who would give it back
	l.leave()
	return Message{q, t, m}, nil
}

// Len returns the message's length in bytes.
func (m Message) Len() int { return m.m.n }

// Deliveries returns how often the message has been delivered before, to
// consumers that died or put it back.
func (m Message) Deliveries() int { return m.m.tries }

// Redelivered reports whether the message has been delivered before.
func (m Message) Redelivered() bool { return m.m.tries > 0 }

// Bytes returns the message where it lies, or nil if it lies in several chunks:
// see Pieces.
func (m Message) Bytes() []byte { return m.q.whole(m.m) }

// Pieces iterates over the memory of the message in order, one chunk at a time.
func (m Message) Pieces() iter.Seq[[]byte] { return m.q.eachPiece(m.m) }

// Append appends the message to dst. The errors are *CorruptError, ErrNotHeld for
// a Message that none was taken into, and *shm.FaultError if
// QueueOptions.Guard is set.
func (m Message) Append(dst []byte) ([]byte, error) {
	if m.q == nil {
		return dst, ErrNotHeld
	}
	err := m.q.guardAway(func() (err error) {
		dst, err = m.q.contents(dst, m.m)
		return err
	})
	return dst, err
}

// Release gives the message back for good. In a joinable queue this finishes the
// task. It returns ErrNotHeld if that has happened already. On a handle that has
// failed it returns shm.ErrLost or *shm.FaultError, as every call does, and leaves
// the message to the consumer that gets it then.
func (m Message) Release() error {
	held, err := m.q.surrender(m.t, false)
	if err != nil {
		return err
	}
	defer m.q.giveUp(m.t)
	if err := m.q.disowned(); err != nil {
		return err
	}
	if m.q.opts.Guard {
		return m.q.guardAway(func() error { m.q.releaseHeld(held); return nil })
	}
	m.q.releaseHeld(held)
	return nil
}

// Requeue puts the message back, before those that are in the queue, as if we
// had died holding it. It returns ErrNotHeld if it was given back already, and on a
// handle that has failed does as Release does.
func (m Message) Requeue() error {
	held, err := m.q.surrender(m.t, false)
	if err != nil {
		return err
	}
	defer m.q.giveUp(m.t)
	if err := m.q.disowned(); err != nil {
		return err
	}
	return m.q.guardAway(func() error { m.q.requeue(held); return nil })
}

// whole returns the memory of a message that lies in one chunk, or nil.
func (q *queue) whole(m taken) []byte {
	if q == nil || m.n > q.chunkSize {
		return nil
	}
	return q.bytesOf(m.c, m.n)
}

func (q *queue) eachPiece(m taken) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		if q == nil {
			return
		}
		more := true
		q.pieces(m.c, m.n, func(b []byte) { more = more && yield(b) })
	}
}
