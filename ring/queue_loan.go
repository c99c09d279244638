package ring

import (
	"context"
	"fmt"
	"io/fs"
	"iter"
)

// A Loan is memory of the queue's for one message, to be filled in place and
// then sent with Commit, or given back with Abort. It may be kept for any time,
// by any goroutine, and given back after Close; Commit is no more possible then.
// When the process dies first, it is as after Abort. So it is when the handle fails
// with shm.ErrLost or *shm.FaultError: the memory is not to be written any more.
type Loan struct {
	q *queue
	t ticket
	m taken
}

// lend returns memory for a message of n bytes.
func (q *queue) lend(ctx context.Context, n int, block bool) (Loan, error) {
	if n < 0 {
		return Loan{}, fmt.Errorf("ring: %s: a loan of %d bytes: %w", q.name, n, fs.ErrInvalid)
	}
	if n > q.maxMessage {
		return Loan{}, q.tooLarge(n, q.maxMessage)
	}
	l, err := q.borrow()
	for err == nil {
		if l.sawClosing = q.ctl.closing.Load(); l.sawClosing != 0 {
			err := l.putError(ended)
			l.leave()
			return Loan{}, err
		}
		t, ok := q.held.claim()
		if !ok {
			l.leave()
			return Loan{}, q.tooManyHeld()
		}
		c, st := l.newMessage(n)
		if st == done {
			m := taken{c: c, n: n}
			q.hold(t, m, heldLoan)
			l.leave()
			return Loan{q, t, m}, nil
		}
		q.held.vacate(t)
		if !block {
			l.leave()
			return Loan{}, ErrFull
		}
		if err = q.given(ctx); err != nil {
			l.leave()
			break
		}
		l.sawAt, l.saw = 0, 0
		l, err = l.wait(ctx, q.pool, l.need(q.ctl.epoch.Load(), q.chunksFor(n, short)), 0)
	}
	return Loan{}, q.waited("lend from", ErrFull, err)
}

// newMessage returns the head of a message of n bytes, LOANED to us.
func (l *lane) newMessage(n int) (uint32, status) {
	if n > l.q.chunkSize {
		return l.newChain(n)
	}
	c := l.alloc()
	if c == noChunk {
		return 0, short
	}
	l.q.setMeta(c, metaOf(n, 0, 0))
	return c, done
}

// dropLoan frees the memory of a loan.
func (l *lane) dropLoan(m taken) {
	if m.n > l.q.chunkSize {
		l.freeChain(m.c)
	} else {
		l.free(m.c)
	}
	l.q.pool.WakeAll()
}

// Len returns how many bytes were lent.
func (o Loan) Len() int { return o.m.n }

// Bytes returns the memory, or nil if it lies in several chunks: see Pieces. It
// holds what the last message left.
func (o Loan) Bytes() []byte { return o.q.whole(o.m) }

// Pieces iterates over the memory in order, one chunk at a time.
func (o Loan) Pieces() iter.Seq[[]byte] { return o.q.eachPiece(o.m) }

// Commit sends the message, waiting for room in the queue, or as
// QueueOptions.WhenFull says. The loan is over when it returns nil; after an
// error it is as it was, so that it can be given back with Abort. The errors are
// those of Put, and ErrNotHeld.
func (o Loan) Commit(ctx context.Context) error { return o.q.commit(ctx, o.t, true) }

// TryCommit is Commit without waiting: it returns ErrFull when there is no room.
func (o Loan) TryCommit() error { return o.q.commit(context.Background(), o.t, false) }

// Abort gives the memory back. It returns ErrNotHeld if the loan is over. On a
// handle that has failed it returns shm.ErrLost or *shm.FaultError, as every call
// does, and leaves the memory to whose it is then.
func (o Loan) Abort() error {
	m, err := o.q.surrender(o.t, true)
	if err != nil {
		return err
	}
	defer o.q.giveUp(o.t)
	if err := o.q.disowned(); err != nil {
		return err
	}
	return o.q.guardAway(func() error {
		o.q.atDesk(func(l *lane) { l.dropLoan(m) })
		return nil
	})
}

func (q *queue) commit(ctx context.Context, t ticket, block bool) error {
	m, err := q.surrender(t, true)
	if err != nil {
		return err
	}
	if q.opts.Guard {
		err = q.guard(func() error { return q.commitLoan(ctx, m, block) })
	} else {
		err = q.commitLoan(ctx, m, block)
	}
	if err != nil {
		q.restore(t)
		return err
	}
	q.giveUp(t)
	return nil
}

// commitLoan sends the message of a loan that has been surrendered.
func (q *queue) commitLoan(ctx context.Context, m taken, block bool) error {
	l, err := q.borrow()
	for err == nil {
		st := l.commit(m)
		if st == full && (!block || q.opts.WhenFull != Block) {
			st = l.commitOver(ctx, m, block)
		}
		switch {
		case st == done:
			q.items.Wake()
			l.leave()
			return nil
		case st != full || !block || q.opts.WhenFull == Fail:
			err := l.putError(st)
			l.leave()
			return err
		}
		if err = q.given(ctx); err != nil {
			l.leave()
			break
		}
		l, err = l.wait(ctx, q.space, l.need(q.ctl.epoch.Load(), 0), l.spin.First())
	}
	return q.waited("put into", ErrFull, err)
}

// commit publishes a message that was lent.
func (l *lane) commit(m taken) status {
	if l.sawClosing = l.q.ctl.closing.Load(); l.sawClosing != 0 { //sync:queue-closing acquire: nobody may put any more
		return ended
	}
	return l.publish(m.c)
}

// commitOver does what the options say about a loan for which the queue is full.
func (l *lane) commitOver(ctx context.Context, m taken, block bool) status {
	switch l.q.opts.WhenFull {
	case DropNewest:
		l.q.ctl.count.dropped.Add(1)
		l.dropLoan(m)
		return done
	case DropOldest:
		return l.makeRoom(ctx, block, full, func() status { return l.commit(m) })
	}
	return full
}
