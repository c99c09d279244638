package ring

import (
	"context"

	"github.com/sluice-ipc/sluice/internal/hook"
)

// closeSend ends the queue for producers.
func (q *queue) closeSend() error {
	if err := q.retain(); err != nil {
		return q.wrap("close", err)
	}
	defer q.release()
	return q.guardAway(func() error {
		hook.At("queue.closing")
		q.ctl.closing.Store(1) //sync:queue-closing release: nobody may put any more
		q.wakeAll()
		return nil
	})
}

// close gives up this handle: blocked calls return, unfinished tasks go back.
func (q *queue) close() error {
	if q.closed.Swap(true) {
		return nil
	}
	for {
		t, m, ok := q.nextTask()
		if !ok {
			break
		}
		if q.poisoned() == nil { // else it is another's
			q.guardAway(func() error { q.requeue(m); return nil })
		}
		q.giveUp(t)
	}
	q.guardAway(func() error { q.wakeAll(); return nil }) // the lanes keep the memory until here
	for i := range q.lanes {
		l := &q.lanes[i]
		l.gate.Close(func() {}, func() { l.end() })
		if q.opts.Guard {
			q.unref() // a call that needs the lane has a reference of its own
		}
	}
	q.closeMu.Lock()
	defer q.closeMu.Unlock()
	return q.closeErr
}

// end is what becomes of a lane that nobody will use any more.
func (l *lane) end() {
	if !l.q.opts.Guard {
		l.q.unref()
	}
}

// unref lets go of the memory, for good when nobody has it any more.
func (q *queue) unref() {
	if q.refs.Add(-1) > 0 {
		return
	}
	q.guardAway(func() error { q.wakeAll(); return nil }) // who waits to be alone
	if q.seg != nil {
		q.closeMu.Lock()
		q.closeErr = q.seg.Close()
		q.closeMu.Unlock()
	}
}

// flush waits until what this handle has put has been taken.
func (q *queue) flush(ctx context.Context) error {
	for i := range q.lanes {
		for {
			nd, err := q.untaken(&q.lanes[i])
			if err != nil {
				return q.wrap("flush", err)
			}
			if nd == nil {
				break
			}
			if err := q.sleep(ctx, q.drain, nd); err != nil {
				return q.wrap("flush", err)
			}
		}
	}
	return nil
}

// untaken returns what must change before the last message of lane l is taken,
// or nil if it has been.
func (q *queue) untaken(l *lane) (*need, error) {
	if err := l.gate.Enter(context.Background()); err != nil {
		return nil, gateError(err)
	}
	defer l.gate.Leave()
	at := l.last
	w := q.word(at.idx).Load()
	if !l.sent || w&^chkMask != wordOf(at.lap, wordFull, 0) {
		return nil, nil
	}
	n := needs.Get().(*need)
	n.q, n.word, n.was, n.chunks = q, q.word(at.idx), w, 0
	n.closing, n.epoch = q.ctl.closing.Load(), q.ctl.epoch.Load()
	return n, nil
}

// depth counts the messages in the ring. The number was right at some instant
// during the call, unless many others were at work.
func (q *queue) depth() (n int) {
	for range 8 {
		h := q.findHead()
		t := q.findTail()
		n = max(0, min(int(q.size.n), int(q.size.distance(t, h))))
		if q.findHead() == h {
			break
		}
	}
	return n
}

// orphans counts the orphans.
func (q *queue) orphans() (n int) {
	if q.ctl.epoch.Load() == 0 {
		return 0 // there has never been one
	}
	for c := range q.geo.chunks {
		if kindOf(q.state(uint32(c)).Load()) == kindOrphan {
			n++
		}
	}
	return n
}
