package ring

import (
	"context"
	"math"

	"github.com/sluice-ipc/sluice/internal/hook"
	"github.com/sluice-ipc/sluice/internal/mem"
	"github.com/sluice-ipc/sluice/internal/wait"
)

// A lane is what one call at a time uses of a participant: private cursors, an
// announcement of its own, and an idea of where free chunks are. A call borrows
// one for as long as it runs, never while it sleeps.
type lane struct {
	gate wait.Gate
	q    *queue
	no   int
	pub  *laneWords

	t    cursor // everything before it has been published
	h    cursor // everything before it has been taken
	seen uint32 // the epoch whose orphans have all been looked for

	stale int // how often that was out of date during one take, see adoptTries

	home  uint32 // where in the pool it begins to look for chunks
	far   uint32 // when this one is free, so are those from home to here
	next  uint32 // where it looks next
	since int    // allocations since it was at home
	hints [hintCount]uint32
	hint  uint32 // number of the next hint; as many as were ever given
	low   uint32 // hints below this one have been used

	chain []uint32          // scratch: the chunks of one message
	batch [batchSize]uint32 // scratch: the chunks of one batch

	spin   *wait.Spinner
	stream stream // how to wait for peers that keep us busy
	pauses uint32 // between two polls
	ops    uint32

	// What stood in the way of the last try, for who waits until it changes.
	saw        uint64
	sawAt      uint32 // index of the word
	sawClosing uint32
	bad        cursor // where something is corrupt

	// The depth is watched with a cursor of its own, which lags. As long as
	// slack is not negative it cannot be higher than ever before.
	past  cursor
	high  int64
	slack int64

	last cursor // of the last message put, if one was sent
	sent bool

	_ [mem.FalseShare]byte
}

const (
	hintCount = 16
	noChunk   = math.MaxUint32

	// goHome is how many allocations after which a lane begins again at the
	// start of its part of the pool if so many are free there: so it uses few
	// chunks while few are on their way, and stays away from those that are
	// just being freed.
	goHome = 64

	// prefetchAhead is how many chunks before its turn the lines of one are
	// asked for: those were last written or read by a consumer.
	prefetchAhead = 4

	// heedEvery is how many operations a lane does between two looks at
	// whether somebody has died: who never sleeps has no tick.
	heedEvery = 4096
)

func (l *lane) init(q *queue, slot, no int) {
	l.q, l.no = q, no
	l.pub = q.laneOf(slot, no)
	l.t, l.h = q.findTail(), q.findHead()
	l.past = l.h
	l.seen = q.ctl.epoch.Load() - 1 // so that it looks for orphans once
	l.spin, l.pauses = wait.NewSpinner(q.opts.Spin), pauses()
	// Lanes begin far from each other, however many there are.
	const golden = 0x9e3779b97f4a7c15
	n := uint64(slot*q.geo.lanes+no+1) * golden >> 32
	l.home = uint32(n * uint64(q.geo.chunks) >> 32)
	l.next, l.far = l.home, min(l.home+goHome-1, uint32(q.geo.chunks-1))
}

// borrow returns a lane that nobody uses. It may wait for another goroutine, but
// not for long: nobody has a lane while it waits for a peer.
func (q *queue) borrow() (*lane, error) {
	if err := q.poisoned(); err != nil {
		return nil, err
	}
	for i := range q.lanes {
		if q.lanes[i].gate.TryEnter() == nil {
			return &q.lanes[i], nil
		}
	}
	if q.closed.Load() {
		return nil, ErrClosed
	}
	// All are in use, for a moment. Any will do.
	l := &q.lanes[int(q.tag.Add(1))%len(q.lanes)]
	if err := l.gate.Enter(context.Background()); err != nil {
		return nil, gateError(err)
	}
	return l, nil
}

// leave gives the lane back.
func (l *lane) leave() {
	if l.ops++; l.ops%heedEvery == 0 {
		l.q.heed()
	}
	l.gate.Leave()
}

// findTail returns the place behind the last message that has been published,
// for who comes new. Along the ring the number of messages published at a word
// falls at most once, and by one.
func (q *queue) findTail() cursor {
	return q.find(func(w uint64) uint64 {
		if stateOfWord(w) == wordFull {
			return q.size.nextLap(lapOfWord(w))
		}
		return lapOfWord(w)
	})
}

// findHead returns the place behind the last message that was taken.
func (q *queue) findHead() cursor { return q.find(lapOfWord) }

// find returns the first position that has not been done, when laps tells how
// often a word has been done. Every position before it was done when its word
// was read, whatever happens meanwhile.
func (q *queue) find(laps func(w uint64) uint64) cursor {
	at := func(i uint32) uint64 { return laps(q.word(i).Load()) % q.size.laps } //sync:queue-word acquire: what lies before the cursor was done
	first := at(0)
	lo, hi := uint32(0), q.size.n // lo was done in first; hi was not, or is the end
	for hi-lo > 1 {
		if mid := lo + (hi-lo)/2; q.size.lapDiff(at(mid), first) >= 0 {
			lo = mid
		} else {
			hi = mid
		}
	}
	if hi == q.size.n {
		return cursor{first, 0}
	}
	// Word lo was done as often as word 0, so its position in the lap
	// before is the last one known.
	before := first - 1
	if first == 0 {
		before = q.size.laps - 1
	}
	return q.size.next(cursor{before, lo})
}

// heed looks after peers who may have died.
func (q *queue) heed() {
	hook.At("queue.heed")
	q.peer.Heed()
}
