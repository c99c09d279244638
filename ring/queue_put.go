package ring

import (
	"github.com/sluice-ipc/sluice/internal/hook"
	"github.com/sluice-ipc/sluice/internal/mem"
	"github.com/sluice-ipc/sluice/internal/sys"
)

// A status says what became of one try.
type status uint8

const (
	done    status = iota
	full           // the ring is full
	short          // there are not enough chunks
	empty          // no message
	ended          // closed for sending; a consumer has had everything
	corrupt        // a word says what it cannot
	crowded        // this handle holds as many messages as it may
)

// put sends one message, if there is room.
func (l *lane) put(b []byte) status {
	q := l.q
	if l.sawClosing = q.ctl.closing.Load(); l.sawClosing != 0 { //sync:queue-closing acquire: nobody may put any more
		return ended
	}
	if _, st := l.room(); st != done {
		return st
	}
	if len(b) > q.chunkSize {
		return l.putChain(b)
	}
	c := l.alloc()
	if c == noChunk {
		return short
	}
	hook.At("queue.put.fill")
	mem.Copy(q.bytesOf(c, len(b)), b)
	q.setMeta(c, metaOf(len(b), 0, 0))
	st := l.publish(c)
	if st != done {
		l.unused(c)
	}
	return st
}

// publish puts a complete message whose head is c, LOANED to us, into the ring.
// Unless it is done c is LOANED to us afterwards.
//
// The word must be read when c is ours already, and be empty then: so nobody can
// ever have announced to take c at that position. Who repairs relies on that.
func (l *lane) publish(c uint32) status {
	q := l.q
	if q.stamps != nil {
		mem.StoreRelease(&q.stamps[c], uint64(sys.Monotonic()))
	}
	for {
		// Asked for in order to be written: a consumer that waits for the
		// message reads the word's line all the time, and reading it here
		// first would cost one more transfer.
		q.prefetchWord(l.t.idx)
		hook.At("queue.put.look")
		w, st := l.room()
		if st != done {
			hook.At("queue.put.back")
			q.setState(c, stateOf(kindLoaned, q.me, 0))
			return st
		}
		pos := q.size.pos(l.t)
		hook.At("queue.put.queued")
		q.setState(c, stateOf(kindQueued, q.me, pos)) // before the ring has it: who dies in between has not sent it
		q.published()
		awaited, n := l.awaited(), lengthOf(q.meta(c).Load())
		hook.At("queue.put.publish")
		if q.word(l.t.idx).CompareAndSwap(w, wordOf(l.t.lap, wordFull, c)) { //sync:queue-word release: the chunk holds a whole message
			if awaited {
				q.chunks.demote(c, n)
			}
			break
		}
	}
	l.last, l.sent = l.t, true
	l.t = q.size.next(l.t)
	if l.slack--; l.slack < 0 {
		l.watchDepth()
	}
	return done
}

// farBehind is how many words a cursor walks before it looks for a shorter way.
const farBehind = 64

// patience is how many steps a call takes before it concludes that somebody
// makes fun of it.
const patience = 1 << 14

// awaited reports whether a consumer in another process is likely to look for the
// next message at this moment: the one before has been taken, and not by us. The
// message's lines are then as far away as they can be, in this CPU's own cache. It
// looks no further than the line that is at hand.
func (l *lane) awaited() bool {
	q, at := l.q, l.t
	return at.idx%streamLine != 0 && at != l.h && q.word(at.idx-1).Load() == wordOf(q.size.nextLap(at.lap), wordEmpty, 0)
}

// room moves the lane to the first position that has not been published and
// returns its word, which is empty, or says why nothing can be put there.
func (l *lane) room() (uint64, status) {
	q := l.q
	lost := false // the cursor made no sense and was set anew
	for step := 1; ; step++ {
		w := q.word(l.t.idx).Load()
		if w == wordOf(l.t.lap, wordEmpty, 0) {
			return w, done
		}
		d := q.size.lapDiff(lapOfWord(w), l.t.lap)
		switch state := stateOfWord(w); {
		case d == 0 && state == wordFull:
			l.t = q.size.next(l.t)
			l.slack--
		case d == 0 && state == wordSealed:
			return w, ended
		case d == -1 && state == wordFull:
			l.saw, l.sawAt = w, l.t.idx
			return w, full // the message of the lap before is still there
		case d > 0 && state <= wordSealed:
			l.t = q.size.provenBy(w, l.t.idx)
			l.slack = -1
		case lost:
			l.bad = l.t
			return w, corrupt
		default:
			// Nobody has used this lane for so long that the positions are
			// halfway round, and what is later looks earlier.
			lost, l.t, l.slack = true, q.findTail(), -1
		}
		if step%farBehind == 0 {
			if c := q.findTail(); q.size.distance(c, l.t) > 0 {
				l.t = c
				l.slack = -1
			}
			if step > patience {
				l.bad = l.t
				return w, corrupt
			}
		}
	}
}

// provenBy returns the position behind the one that word w at idx proves to have
// been published: its own if it is full, else the one of the lap before, which
// was taken.
func (r ringSize) provenBy(w uint64, idx uint32) cursor {
	lap := lapOfWord(w) % r.laps
	if stateOfWord(w) != wordFull {
		if lap == 0 {
			lap = r.laps
		}
		lap--
	}
	return r.next(cursor{lap, idx})
}

// depthGrain says how closely the depth is watched: at every sixteenth of the
// capacity. Looking means to read where consumers are at work.
const depthGrain = 16

// watchDepth raises the high-water mark if there are more messages than ever
// before.
func (l *lane) watchDepth() {
	q := l.q
	for range q.size.n {
		if q.size.lapDiff(lapOfWord(q.word(l.past.idx).Load()), l.past.lap) <= 0 {
			break
		}
		l.past = q.size.next(l.past)
	}
	d := q.size.distance(l.t, l.past)
	if d < 0 || d > int64(q.size.n) { // it lies far behind
		l.past = q.findHead()
		d = max(0, q.size.distance(l.t, l.past))
	}
	for {
		high := q.ctl.count.high.Load()
		l.high = int64(min(high, uint64(q.size.n)))
		if d <= l.high || q.ctl.count.high.CompareAndSwap(high, uint64(d)) {
			break
		}
	}
	l.slack = max(max(l.high, d)-d, int64(q.size.n/depthGrain))
}
