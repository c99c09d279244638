package ring

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/sluice-ipc/sluice/internal/wait"
)

// A need is what a goroutine that has left its lane waits for: that something
// is no longer as its last try found it.
type need struct {
	q       *queue
	word    *atomic.Uint64
	was     uint64
	epoch   uint32
	closing uint32
	chunks  int // how many must be free, when it is chunks that it needs
	spin    wait.Spinner
}

var needs = sync.Pool{New: func() any { return new(need) }}

// Ready implements wait.Cond.
func (n *need) Ready() bool {
	ctl := n.q.ctl
	switch {
	case n.q.closed.Load() || n.q.poisoned() != nil || ctl.closing.Load() != n.closing || ctl.epoch.Load() != n.epoch:
		return true
	case n.chunks > 0:
		return n.q.freeChunks(n.chunks) >= n.chunks
	case n.word.Load() != n.was:
		return true
	}
	return stateOfWord(n.was) != wordFull && n.q.nobodyLeft(n.was)
}

// nobodyLeft reports whether those are gone whose presence alone kept a consumer
// that saw w from the end. Repair wakes everybody before a slot is free, and so
// does who leaves: who looked in between is not woken again, but sees it here at
// its next tick.
func (q *queue) nobodyLeft(w uint64) bool {
	return stateOfWord(w) == wordSealed && !q.peer.AnyDead() || q.opts.EndAlone && q.alone()
}

// freeChunks counts the free chunks that a message of most chunks can have, up to
// so many.
func (q *queue) freeChunks(most int) (n int) {
	all := q.geo.chunks
	if most > 1 {
		all = q.geo.body() // see claimChain
	}
	for c := range all {
		if q.state(uint32(c)).Load() == 0 {
			if n++; n == most {
				break
			}
		}
	}
	return n
}

// need returns what must change before another try can do better than the
// lane's last. chunks is not 0 if that one was short of so many.
func (l *lane) need(epoch uint32, chunks int) *need {
	n := needs.Get().(*need)
	n.q, n.word, n.was = l.q, l.q.word(l.sawAt), l.saw
	n.closing, n.epoch, n.chunks = l.sawClosing, epoch, chunks
	return n
}

func (n *need) free() {
	n.q, n.word = nil, nil
	needs.Put(n)
}

// sleep waits on e until n is met, and frees n. The caller has left its lane.
func (q *queue) sleep(ctx context.Context, e *wait.Event, n *need) error {
	defer n.free()
	if err := q.retain(); err != nil {
		return err
	}
	defer q.release()
	if q.closed.Load() {
		return ErrClosed
	}
	if waits := q.waiting(e); waits != nil {
		waits.Add(1)
		defer waits.Add(^uint32(0))
	}
	n.spin = q.spinner
	if err := e.Sleep(ctx, n, &n.spin); err != nil {
		return err
	}
	if q.closed.Load() {
		e.Wake() // we were perhaps woken for something that we shall not take
	}
	return q.poisoned()
}

// waiting returns where we say how many calls of ours wait on e.
func (q *queue) waiting(e *wait.Event) *atomic.Uint32 {
	waits := q.waitsOf(q.peer.ID().Slot())
	switch e {
	case q.items:
		return &waits.getting
	case q.space, q.pool:
		return &waits.putting
	}
	return nil
}

// retain keeps the memory in place for who has no lane.
func (q *queue) retain() error {
	if q.closed.Load() {
		return ErrClosed
	}
	if q.seg == nil {
		return nil
	}
	return q.seg.Retain()
}

func (q *queue) release() {
	if q.seg != nil {
		q.seg.Release()
	}
}

// poisoned returns why the segment must not be used any more, if so.
func (q *queue) poisoned() error {
	if q.seg == nil {
		return nil
	}
	return q.seg.Err()
}
