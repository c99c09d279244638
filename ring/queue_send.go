package ring

import (
	"context"
	"io"

	"github.com/sluice-ipc/sluice/internal/wait"
)

// send puts one message. Without block it tries once.
func (q *queue) send(ctx context.Context, b []byte, block bool) error {
	if len(b) > q.maxMessage {
		return q.tooLarge(len(b), q.maxMessage)
	}
	l, err := q.borrow()
	if err != nil {
		return q.wrap("put into", err)
	}
	if st := l.put(b); st != done {
		return q.sendSlow(ctx, l, b, st, block)
	}
	q.items.Wake()
	l.step(l.t, wordEmpty)
	l.leave()
	return nil
}

// sendSlow goes on with send when the first try, in lane l, ended with st.
func (q *queue) sendSlow(ctx context.Context, l *lane, b []byte, st status, block bool) error {
	var slept *wait.Event
	for {
		if st != done && (st == ended || st == corrupt || !block || q.opts.WhenFull != Block) {
			st = l.overflow(ctx, b, st, block)
		}
		switch {
		case st == done:
			q.items.Wake()
			l.leave()
			return nil
		case st != full && st != short || !block || q.opts.WhenFull == Fail:
			err := l.putError(st)
			l.leave()
			return err
		}
		if err := q.given(ctx); err != nil {
			if slept == q.space && st == short { // as below
				slept.Wake()
			}
			l.leave()
			return q.waited("put into", ErrFull, err)
		}
		n := l.spin.First()
		if st == full && l.glance(n) {
			st = l.put(b)
			continue
		}
		e := q.space
		if st == short {
			if slept == e { // we were woken for a place that we cannot use
				e.Wake()
			}
			e = q.pool
		}
		slept = e
		var err error
		if l, err = l.wait(ctx, e, l.need(q.ctl.epoch.Load(), q.chunksFor(len(b), st)), n); err != nil {
			return q.waited("put into", ErrFull, err)
		}
		st = l.put(b)
	}
}

// given returns why a call that has tried once must not go on: its context is done,
// or the handle closed or lost. Peers can keep a call from ever coming to sleep,
// where that would be noticed.
func (q *queue) given(ctx context.Context) error {
	if q.closed.Load() {
		return ErrClosed
	}
	if err := q.poisoned(); err != nil {
		return err
	}
	return ctx.Err()
}

// wait waits on e until nd is met, first spinning and then asleep, and returns
// a lane again: the caller's is given back meanwhile, and for good when there is
// an error. The caller has polled n times for itself.
func (l *lane) wait(ctx context.Context, e *wait.Event, nd *need, n int) (*lane, error) {
	q := l.q
	if l.spin.Rest(nd, n) {
		nd.free()
		if q.closed.Load() { // that was it, and no other try would tell
			l.leave()
			return nil, ErrClosed
		}
		if err := q.poisoned(); err != nil { // what we hold is another's
			l.leave()
			return nil, err
		}
		return l, nil
	}
	l.leave()
	if err := q.sleep(ctx, e, nd); err != nil {
		return nil, err
	}
	next, err := q.borrow()
	if err != nil && q.retain() == nil {
		e.Wake() // we were woken for something that we shall not take
		q.release()
	}
	return next, err
}

// chunksFor is how many chunks a message takes that was short of them, and 0 for
// one that was not.
func (q *queue) chunksFor(n int, st status) int {
	if st != short {
		return 0
	}
	return max(1, (n+q.chunkSize-1)/q.chunkSize)
}

// putError is what a Put returns that ended with st.
func (l *lane) putError(st status) error {
	q := l.q
	switch st {
	case full, short:
		return ErrFull
	case ended:
		return q.wrap("put into", ErrClosed)
	}
	return l.corrupt()
}

// corrupt describes the word of the ring that made no sense.
func (l *lane) corrupt() error {
	q := l.q
	return &CorruptError{q.name, "word of the queue", q.size.pos(l.bad), q.word(l.bad.idx).Load()}
}

// recv takes a message, and returns it with the lane it was taken in, which the
// caller must leave. Without block it tries once. If t is not nil the message is
// to be held: a place for it is claimed, which the caller gets there.
func (q *queue) recv(ctx context.Context, block bool, t *ticket) (*lane, taken, error) {
	l, err := q.borrow()
	if err != nil {
		return nil, taken{}, q.wrap("get from", err)
	}
	var m taken
	var st status
	if t == nil {
		m, st = l.take()
	} else {
		m, st = l.takeFor(t)
	}
	if st != done || m.tries > 0 {
		return q.recvSlow(ctx, l, m, st, block, t)
	}
	return l, m, nil
}

func (q *queue) recvSlow(ctx context.Context, l *lane, m taken, st status, block bool, t *ticket) (*lane, taken, error) {
	for tries := 1; ; tries++ {
		switch {
		case st == done:
			var ok bool
			var err error
			if l, ok, err = q.screen(ctx, l, m, block, t); ok || err != nil {
				return l, m, err
			}
			if tries%adoptTries == 0 || q.closed.Load() {
				err = q.given(ctx)
			}
			if err == nil && !block && tries == q.geo.chunks {
				err = ErrEmpty // more than there ever were: somebody makes them
			}
			if err != nil {
				l.leave()
				return nil, taken{}, q.waited("get from", ErrEmpty, err)
			}
			m, st = l.takeFor(t)
			continue
		case st == empty && q.opts.EndAlone && q.alone():
			// What was put before we were alone is seen now.
			if m, st = l.takeFor(t); st != empty {
				continue
			}
			st = ended
		}
		if st != empty || !block {
			err := l.takeError(st)
			l.leave()
			return nil, taken{}, err
		}
		if err := q.given(ctx); err != nil {
			l.leave()
			return nil, taken{}, q.waited("get from", ErrEmpty, err)
		}
		n := l.spin.First()
		if l.glance(n) {
			m, st = l.takeFor(t)
			continue
		}
		var err error
		if l, err = l.wait(ctx, q.items, l.need(l.seen, 0), n); err != nil {
			return nil, taken{}, q.waited("get from", ErrEmpty, err)
		}
		m, st = l.takeFor(t)
	}
}

// takeFor is take, and claims a place for the message if t is not nil.
func (l *lane) takeFor(t *ticket) (taken, status) {
	if t == nil {
		return l.take()
	}
	var ok bool
	if *t, ok = l.q.held.claim(); !ok {
		return taken{}, crowded
	}
	m, st := l.take()
	if st != done {
		l.q.held.vacate(*t)
	}
	return m, st
}

// takeError is what a Get returns that ended with st.
func (l *lane) takeError(st status) error {
	switch st {
	case empty:
		return ErrEmpty
	case ended:
		return io.EOF
	case crowded:
		l.q.items.Wake() // we may have been woken in place of another
		return l.q.tooManyHeld()
	}
	return l.corrupt()
}

// A fate is what is to become of a message that has been delivered before.
type fate uint8

const (
	deliver fate = iota
	drop
	bury // give it to the dead-letter handler
)

func (q *queue) fateOf(m taken) fate {
	switch {
	case m.tries == 0:
		return deliver
	case q.geo.flags&flagDiscard != 0 && !m.back:
		return drop
	case q.opts.MaxDeliveries == 0 || m.tries < q.opts.MaxDeliveries:
		return deliver
	case q.opts.DeadLetter == nil:
		return drop
	}
	return bury
}

// screen decides about a message that was just taken in lane l and reports
// whether it is to be delivered. If not it is gone; the lane that it returns is
// the one to go on with. If t is not nil it is the place that was claimed.
func (q *queue) screen(ctx context.Context, l *lane, m taken, block bool, t *ticket) (*lane, bool, error) {
	switch q.fateOf(m) {
	case deliver:
		if m.tries > 0 {
			q.ctl.count.redelivered.Add(1)
		}
		return l, true, nil
	case drop:
		q.ctl.count.discarded.Add(1)
		l.release(m)
		q.wakeSpace()
		if t != nil {
			q.held.vacate(*t)
		}
		return l, false, nil
	}
	err := q.buryFrom(ctx, l, m, block, t)
	if err == nil {
		l, err = q.borrow()
	}
	if err != nil {
		return nil, false, q.wrap("get from", err)
	}
	return l, false, nil
}

// buryFrom leaves lane l, in which m was taken, and buries m.
func (q *queue) buryFrom(ctx context.Context, l *lane, m taken, block bool, t *ticket) error {
	if t == nil {
		own, ok := q.held.claim()
		if !ok {
			q.requeue(m)
			l.leave()
			return q.tooManyHeld()
		}
		t = &own
	}
	q.refs.Add(1) // for as long as the handler runs, which must not have a lane
	defer q.unref()
	l.leave()
	return q.bury(ctx, m, block, *t)
}

// finish frees a message and gives the lane back.
func (q *queue) finish(l *lane, m taken) {
	l.release(m)
	q.wakeSpace()
	l.leave()
}

// wakeSpace wakes who waits for something to be taken or freed.
func (q *queue) wakeSpace() {
	if q.joinable() {
		q.wakeJoin()
	}
	if (q.ctl.space.Load()|q.ctl.pool.Load()|q.ctl.drain.Load())&1 == 0 { //sync:asleep acquire: as in Wake
		return
	}
	q.space.Wake()
	q.pool.WakeAll()
	q.drain.WakeAll()
}

// alone reports whether no other participant is left.
func (q *queue) alone() bool {
	me := q.peer.ID().Slot()
	for i := range q.geo.slots {
		if i == me {
			continue
		}
		if st, _ := q.peer.Slot(i); st != 0 {
			return false
		}
	}
	return true
}

// wrap names the queue and the operation.
func (q *queue) wrap(op string, err error) error { return wrapAs(op, q.name, err) }

func (q *queue) tooLarge(n, max int) error { return tooLargeFor(q.name, n, max) }

// waited describes why an operation that waited for cond ended with err.
func (q *queue) waited(op string, cond, err error) error {
	return waitedFor(op, q.name, cond, err)
}
