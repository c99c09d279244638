package ring

import (
	"github.com/sluice-ipc/sluice/internal/hook"
	"github.com/sluice-ipc/sluice/internal/mem"
)

// A taken message is a chunk, HELD by us, that begins one.
type taken struct {
	c     uint32
	n     int // bytes
	tries int // how often it was delivered before
	pos   uint64
	back  bool // it was put back by who held it, who did not die
}

// take takes the next message, if there is one: orphans first.
func (l *lane) take() (taken, status) {
	l.stale = 0
	if l.q.ctl.epoch.Load() != l.seen { //sync:queue-epoch acquire: the orphans it speaks of
		if m, ok := l.adopt(); ok {
			return m, done
		}
	}
	return l.takeNext(true)
}

// takeNext takes the next message of the ring. When there is none it looks, if
// orphans is set, for those and for the end.
func (l *lane) takeNext(orphans bool) (taken, status) {
	q := l.q
	lost := false // the cursor made no sense and was set anew: see room
	for step := 1; ; step++ {
		if step%farBehind == 0 {
			if c := q.findHead(); q.size.distance(c, l.h) > 0 {
				l.h = c
			}
			if step > patience {
				l.bad = l.h
				return taken{}, corrupt
			}
		}
		hook.At("queue.take.look")
		w := q.word(l.h.idx).Load()
		if w&^chkMask == wordOf(l.h.lap, wordFull, 0) {
			if int(chunkOfWord(w)) >= q.geo.chunks {
				l.bad = l.h
				return taken{}, corrupt
			}
			if m, st := l.takeFrom(w); st != full {
				return m, st
			}
			continue
		}
		d := q.size.lapDiff(lapOfWord(w), l.h.lap)
		switch state := stateOfWord(w); {
		case d == 0 && state == wordEmpty || d == 0 && state == wordSealed:
			l.saw, l.sawAt = w, l.h.idx
			l.sawClosing = q.ctl.closing.Load()
			if !orphans || q.ctl.epoch.Load() == l.seen && l.sawClosing == 0 && state == wordEmpty {
				l.stream.got = 0
				return taken{}, empty
			}
			if m, st := l.atEnd(w); st != full {
				return m, st
			}
		case d > 0 && state <= wordSealed:
			// Position (lap-1)N+i was taken.
			l.h = q.size.next(cursor{(lapOfWord(w) + q.size.laps - 1) % q.size.laps, l.h.idx})
		case lost:
			l.bad = l.h
			return taken{}, corrupt
		default:
			lost, l.h = true, q.findHead()
		}
	}
}

// takeFrom takes the message at the lane's head, whose word is w. full means
// that somebody else was faster.
func (l *lane) takeFrom(w uint64) (taken, status) {
	q := l.q
	c, pos := chunkOfWord(w), q.size.pos(l.h)
	q.chunks.fetch(c)
	hook.At("queue.take.announce")
	mem.StoreRelease(&l.pub.taking, announce(pos, c)) //sync:queue-taking release: before the word changes
	hook.At("queue.take.swap")
	// The swap is a fence behind the announcement: who finds the word
	// changed finds the announcement too, until the chunk is HELD.
	if !q.word(l.h.idx).CompareAndSwap(w, wordOf(q.size.nextLap(l.h.lap), wordEmpty, 0)) { //sync:queue-word acquire: the chunk holds a whole message
		hook.At("queue.take.undo")
		mem.StoreRelease(&l.pub.taking, 0)
		return taken{}, full
	}
	q.taken()
	l.bad, l.h = l.h, q.size.next(l.h)
	s := q.state(c).Load()
	if s&^ownerMask != stateOf(kindQueued, 0, pos) {
		mem.StoreRelease(&l.pub.taking, 0)
		return taken{}, corrupt // and the chunk is left alone
	}
	hook.At("queue.take.held")
	q.setState(c, stateOf(kindHeld, q.me, pos))
	hook.At("queue.take.clear")
	mem.StoreRelease(&l.pub.taking, 0)
	l.step(l.h, wordFull)
	hook.At("queue.take.meta")
	m := q.meta(c).Load()
	return taken{c, lengthOf(m), triesOf(m), pos, false}, done
}

// atEnd is for a head whose word w is not full, when there may be orphans or the
// queue is closed. full means that the caller must look again.
func (l *lane) atEnd(w uint64) (taken, status) {
	q := l.q
	for range q.geo.chunks + 1 {
		if q.ctl.epoch.Load() != l.seen { //sync:queue-epoch acquire: the orphans it speaks of
			if m, ok := l.adopt(); ok {
				return m, done
			}
			if l.stale++; l.stale > adoptTries { // somebody changes it all the time
				return taken{}, empty
			}
			return taken{}, full
		}
		if l.sawClosing == 0 {
			return taken{}, empty
		}
		if stateOfWord(w) == wordEmpty {
			hook.At("queue.seal")
			sealed := wordOf(l.h.lap, wordSealed, 0)
			if !q.word(l.h.idx).CompareAndSwap(w, sealed) { //sync:queue-word release: nothing will be put here
				return taken{}, full
			}
			q.wakeAll()
			w, l.saw = sealed, sealed
		}
		// A death may leave us an orphan, also one that nobody has noticed
		// yet. Repair changes the epoch before the slot stops being DEAD.
		hook.At("queue.end.peers")
		if q.peer.AnyDead() {
			// Known, and not settled yet: perhaps that must wait for somebody
			// who is stopped. To try again and again would wake all who sleep.
			q.heed()
			if q.peer.AnyDead() {
				return taken{}, empty
			}
			continue
		}
		q.peer.CheckPeers()
		if q.peer.AnyDead() {
			return taken{}, empty
		}
		if q.ctl.epoch.Load() == l.seen {
			return taken{}, ended
		}
	}
	return taken{}, empty
}

// adoptTries is how often orphans may be snatched away, or come, until a call looks
// whether it shall go on.
const adoptTries = 64

// adopt looks for orphans and takes the oldest.
func (l *lane) adopt() (taken, bool) {
	q := l.q
	epoch := q.ctl.epoch.Load() //sync:queue-epoch acquire: the orphans it speaks of
	for range adoptTries {
		hook.At("queue.adopt.look")
		c, s := q.oldestOrphan()
		if c == noChunk {
			l.seen = epoch
			break
		}
		pos := s & posMask
		hook.At("queue.adopt")
		if q.state(c).CompareAndSwap(s, stateOf(kindHeld, q.me, pos)) {
			q.taken()
			m := q.meta(c).Load()
			tries := triesOf(m) + 1
			hook.At("queue.adopt.count")
			q.setMeta(c, metaOf(lengthOf(m), tries, nextOf(m)))
			return taken{c, lengthOf(m), tries, pos, s&ownerMask == putBack}, true
		}
	}
	return taken{}, false
}

// oldestOrphan returns the orphan with the oldest position, and its state.
func (q *queue) oldestOrphan() (uint32, uint64) {
	best, state := uint32(noChunk), uint64(0)
	for c := range q.geo.chunks {
		s := q.state(uint32(c)).Load()
		if kindOf(s) != kindOrphan {
			continue
		}
		if best == noChunk || signedDiff(s&posMask, state&posMask, q.size.positions()) < 0 {
			best, state = uint32(c), s
		}
	}
	return best, state
}
