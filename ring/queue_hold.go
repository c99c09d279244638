package ring

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
)

// Errors of loans and taken messages.
var (
	// ErrTooManyHeld means that this handle holds as many loans and taken
	// messages, or unfinished tasks, as QueueOptions.Hold allows.
	ErrTooManyHeld = errors.New("ring: too many messages held")

	// ErrNotHeld means that a loan or taken message is not held any more: it
	// has been given back, and every copy of it with it.
	ErrNotHeld = errors.New("ring: message is not held")
)

// holdings are the loans and taken messages of a handle, and the tasks that have
// not been finished.
type holdings struct {
	mu    sync.Mutex
	all   []holding
	free  []int32
	tasks []int32 // oldest first
}

type holding struct {
	m    taken
	gen  uint32 // of this use of the place
	out  bool   // held; false while it is being given back
	loan bool
}

func (h *holdings) init(n int) {
	h.all = make([]holding, n)
	h.free = make([]int32, n)
	h.tasks = make([]int32, 0, n)
	for i := range h.free {
		h.free[i] = int32(n - 1 - i)
	}
}

// A ticket says which holding is meant.
type ticket struct {
	i   int32
	gen uint32
}

// claim reserves a place, which keeps the memory until vacate.
func (q *queue) claim(op string) (ticket, error) {
	h := &q.held
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.free) == 0 {
		return ticket{}, fmt.Errorf("ring: %s: %w: %d", q.name, ErrTooManyHeld, len(h.all))
	}
	if !q.ref() {
		return ticket{}, q.wrap(op, ErrClosed)
	}
	i := h.free[len(h.free)-1]
	h.free = h.free[:len(h.free)-1]
	h.all[i].gen++
	return ticket{i, h.all[i].gen}, nil
}

// hold makes m the holding of t. A task is to be finished in its turn.
func (q *queue) hold(t ticket, m taken, loan, task bool) {
	h := &q.held
	h.mu.Lock()
	defer h.mu.Unlock()
	p := &h.all[t.i]
	p.m, p.out, p.loan = m, true, loan
	if task {
		h.tasks = append(h.tasks, t.i)
	}
}

// surrender ends the holding of t, for a caller who then calls vacate or, when
// it could not do what it wanted, hold.
func (q *queue) surrender(t ticket, loan bool) (taken, error) {
	h := &q.held
	h.mu.Lock()
	defer h.mu.Unlock()
	if p := &h.all[t.i]; p.gen == t.gen && p.out && p.loan == loan {
		p.out = false
		return p.m, nil
	}
	return taken{}, fmt.Errorf("ring: %s: %w", q.name, ErrNotHeld)
}

// vacate frees the place of t.
func (q *queue) vacate(t ticket) {
	h := &q.held
	h.mu.Lock()
	h.free = append(h.free, t.i)
	h.mu.Unlock()
	q.unref()
}

// nextTask surrenders the oldest task.
func (q *queue) nextTask() (ticket, taken, bool) {
	h := &q.held
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.tasks) == 0 {
		return ticket{}, taken{}, false
	}
	i := h.tasks[0]
	h.tasks = append(h.tasks[:0], h.tasks[1:]...)
	p := &h.all[i]
	p.out = false
	return ticket{i, p.gen}, p.m, true
}

// releaseHeld ends a message that we hold outside any lane.
func (q *queue) releaseHeld(m taken) {
	q.deskMu.Lock()
	q.desk.release(m)
	q.deskMu.Unlock()
	q.wakeSpace()
}

// A Message is a message that was taken and not given back: the memory is its
// consumer's, to read and to write, until Release or Requeue. It may be kept for
// any time and given back in any order, by any goroutine, also after Close.
//
// When the process dies first, the message is delivered to another consumer.
type Message struct {
	q *queue
	t ticket
	m taken
}

// Take takes a message without copying it. The errors are those of Get, and
// ErrTooManyHeld.
func (q *queue) take(ctx context.Context, block bool) (Message, error) {
	t, err := q.claim("take from")
	if err != nil {
		return Message{}, err
	}
	l, m, err := q.recv(ctx, block)
	if err != nil {
		q.vacate(t)
		return Message{}, err
	}
	q.hold(t, m, false, false)
	q.wakeSpace()
	l.leave()
	return Message{q, t, m}, nil
}

// Len returns the message's length in bytes.
func (m Message) Len() int { return m.m.n }

// Deliveries returns how often the message has been delivered before, to
// consumers that died or put it back.
func (m Message) Deliveries() int { return m.m.tries }

// Bytes returns the message where it lies, or nil if it lies in several chunks:
// see Pieces.
func (m Message) Bytes() []byte {
	if m.m.n > m.q.chunkSize {
		return nil
	}
	return m.q.bytesOf(m.m.c, m.m.n)
}

// Pieces iterates over the memory of the message in order, one chunk at a time.
func (m Message) Pieces() iter.Seq[[]byte] { return m.q.eachPiece(m.m) }

func (q *queue) eachPiece(m taken) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		more := true
		q.pieces(m.c, m.n, func(b []byte) { more = more && yield(b) })
	}
}

// Append appends the message to dst.
func (m Message) Append(dst []byte) ([]byte, error) { return m.q.contents(dst, m.m) }

// Release gives the message back for good. In a joinable queue this finishes the
// task. It returns ErrNotHeld if that has happened already.
func (m Message) Release() error {
	held, err := m.q.surrender(m.t, false)
	if err != nil {
		return err
	}
	m.q.releaseHeld(held)
	m.q.vacate(m.t)
	return nil
}

// Requeue puts the message back, before those that are in the queue, as if we
// had died holding it. It returns ErrNotHeld if it was given back already.
func (m Message) Requeue() error {
	held, err := m.q.surrender(m.t, false)
	if err != nil {
		return err
	}
	m.q.requeue(held)
	m.q.vacate(m.t)
	return nil
}

// A Loan is memory of the queue's for one message, to be filled in place and
// then sent with Commit, or given back with Abort. It may be kept for any time,
// by any goroutine. When the process dies first, it is as after Abort.
type Loan struct {
	q *queue
	t ticket
	m taken
}

// lend returns memory for a message of n bytes.
func (q *queue) lend(ctx context.Context, n int) (Loan, error) {
	if n < 0 || n > q.maxMessage {
		return Loan{}, q.tooLarge(n, q.maxMessage)
	}
	t, err := q.claim("lend from")
	if err != nil {
		return Loan{}, err
	}
	l, err := q.borrow(ctx)
	if err != nil {
		q.vacate(t)
		return Loan{}, q.waited("lend from", ErrFull, err)
	}
	for {
		c, st := l.newMessage(n)
		if st == done {
			m := taken{c: c, n: n}
			q.hold(t, m, true, false)
			l.leave()
			return Loan{q, t, m}, nil
		}
		l.sawAt, l.saw, l.sawClosing = 0, 0, q.ctl.closing.Load()
		nd := l.need(q.ctl.epoch.Load(), q.chunksFor(n, short))
		if l, err = l.wait(ctx, q.pool, nd, 0); err != nil {
			q.vacate(t)
			return Loan{}, q.waited("lend from", ErrFull, err)
		}
	}
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

// Len returns how many bytes were lent.
func (o Loan) Len() int { return o.m.n }

// Bytes returns the memory, or nil if it lies in several chunks: see Pieces. It
// holds what the last message left.
func (o Loan) Bytes() []byte {
	if o.m.n > o.q.chunkSize {
		return nil
	}
	return o.q.bytesOf(o.m.c, o.m.n)
}

// Pieces iterates over the memory in order, one chunk at a time.
func (o Loan) Pieces() iter.Seq[[]byte] { return o.q.eachPiece(o.m) }

// Commit sends the message, waiting for room in the queue. The loan is over when
// it returns nil; after an error it is as it was. The errors are those of Put,
// and ErrNotHeld.
func (o Loan) Commit(ctx context.Context) error { return o.q.commit(ctx, o, true) }

// TryCommit is Commit without waiting: it returns ErrFull when there is no room.
func (o Loan) TryCommit() error { return o.q.commit(context.Background(), o, false) }

// Abort gives the memory back. It returns ErrNotHeld if the loan is over.
func (o Loan) Abort() error {
	m, err := o.q.surrender(o.t, true)
	if err != nil {
		return err
	}
	q := o.q
	q.deskMu.Lock()
	if m.n > q.chunkSize {
		q.desk.freeChain(m.c)
	} else {
		q.desk.free(m.c)
	}
	q.deskMu.Unlock()
	q.pool.WakeAll()
	q.vacate(o.t)
	return nil
}

func (q *queue) commit(ctx context.Context, o Loan, block bool) error {
	m, err := q.surrender(o.t, true)
	if err != nil {
		return err
	}
	l, err := q.borrow(ctx)
	if err != nil {
		q.hold(o.t, m, true, false)
		return q.waited("put into", ErrFull, err)
	}
	for {
		st := l.commit(m)
		if st == done {
			q.items.Wake()
			l.leave()
			q.vacate(o.t)
			return nil
		}
		if st != full || !block {
			err := l.putError(st)
			l.leave()
			q.hold(o.t, m, true, false)
			return err
		}
		if l, err = l.wait(ctx, q.space, l.need(q.ctl.epoch.Load(), 0), l.spin.First()); err != nil {
			q.hold(o.t, m, true, false)
			return q.waited("put into", ErrFull, err)
		}
	}
}

// commit publishes a message that was lent.
func (l *lane) commit(m taken) status {
	if l.sawClosing = l.q.ctl.closing.Load(); l.sawClosing != 0 { //sync:queue-closing acquire: nobody may put any more
		return ended
	}
	w, st := l.room()
	if st != done {
		return st
	}
	return l.publish(m.c, w)
}
