package ring

import (
	"github.com/sluice-ipc/sluice/internal/hook"
	"github.com/sluice-ipc/sluice/shm"
)

// repairTries bounds how often one chunk is looked at again because somebody
// else repairs it as well.
const repairTries = 64

// Repair implements shm.Repairer: it takes back what a dead participant had.
// Several do it at a time, each step a CAS on the word it has read, so that one
// who is stopped or killed in the middle delays and changes nothing.
func (q *queue) Repair(dead shm.ID) (clean bool) {
	clean = true
	for i := range q.geo.lanes {
		if dead.Slot() >= q.geo.slots {
			break
		}
		hook.At("queue.repair.taking")
		a := q.laneOf(dead.Slot(), i).taking.Load() //sync:queue-taking acquire: what it was about to take
		clean = q.repairTaking(a) && clean
	}
	owner := ownerOf(dead)
	var few [32]uint32 // mostly enough
	doomed := few[:0]
	for c := range q.geo.chunks {
		c := uint32(c)
		clean = q.repairChunk(c, owner) && clean
		if q.state(c).Load() == stateOf(kindDiscard, owner, 0) {
			doomed = append(doomed, c)
		}
	}
	q.discard(doomed, owner)
	// Also when nothing was made an orphan: who made one may have died
	// before it said so.
	q.bump()
	return clean
}

// repairTaking looks for the message that a dead participant took and had no
// time to mark as its own. It reports whether that is settled.
func (q *queue) repairTaking(a uint64) bool {
	pos, c := announced(a)
	if a == 0 || int(c) >= q.geo.chunks || pos >= q.size.positions() {
		return true
	}
	s := q.state(c).Load()
	if s&^ownerMask != stateOf(kindQueued, 0, pos) || q.inRing(pos, c) {
		return true
	}
	if live, _ := q.announcers(a); live {
		return false // one of the two has it
	}
	q.orphan(c, s, pos)
	return true
}

// inRing reports whether the ring holds chunk c at pos.
func (q *queue) inRing(pos uint64, c uint32) bool {
	hook.At("queue.repair.ring")
	w := q.word(q.size.cursorAt(pos).idx).Load() //sync:queue-word acquire: who changed it has announced it
	return stateOfWord(w) == wordFull && chunkOfWord(w) == c
}

// announcers tells whether the living and the dead announce a. Slots that nobody
// has hold old announcements, which mean nothing.
func (q *queue) announcers(a uint64) (live, dead bool) {
	for slot := range q.geo.slots {
		for i := range q.geo.lanes {
			if q.laneOf(slot, i).taking.Load() != a { //sync:queue-taking acquire: what it was about to take
				continue
			}
			hook.At("queue.repair.announcer")
			switch st, _ := q.peer.Slot(slot); st {
			case shm.Active:
				live = true
			case shm.Dead:
				dead = true
			}
		}
	}
	return live, dead
}

// repairChunk settles chunk c if it is owner's, who is dead, and reports whether
// it could.
func (q *queue) repairChunk(c uint32, owner uint64) bool {
	for range repairTries {
		hook.At("queue.repair.chunk")
		s := q.state(c).Load()
		if s&ownerMask != owner {
			return true
		}
		switch kindOf(s) {
		case kindDiscard:
			return true // see discard
		case kindLoaned:
			q.doom(c, s, owner)
		case kindDone:
			q.recount(s)
			q.doom(c, s, owner)
		case kindHeld:
			q.orphan(c, s, s&posMask)
		case kindQueued:
			pos := s & posMask
			if q.inRing(pos, c) {
				return true // it was sent
			}
			switch live, dead := q.announcers(announce(pos, c)); {
			case live:
				return false // that one has it, or will find that nobody sent it
			case dead:
				q.orphan(c, s, pos) // sent, and taken
			default:
				q.doom(c, s, owner)
			}
		default:
			return true // free, an orphan, or a part, whose head decides
		}
	}
	return false
}

// orphan makes an orphan of chunk c, whose state was s.
func (q *queue) orphan(c uint32, s, pos uint64) {
	hook.At("queue.repair.orphan")
	if q.state(c).CompareAndSwap(s, stateOf(kindOrphan, 0, pos)) {
		q.ctl.count.recovered.Add(1)
	}
}

// doom says of chunk c, whose state was s, that it and what continues it are to be
// freed.
func (q *queue) doom(c uint32, s, owner uint64) {
	hook.At("queue.repair.doom")
	if q.state(c).CompareAndSwap(s, stateOf(kindDiscard, owner, 0)) {
		q.ctl.count.recovered.Add(1)
	}
}

// discard frees chunks that were doomed, and before them the parts that continue
// them. It finds those by looking at all chunks, once: links may be half written.
// A head that somebody else dooms meanwhile is not among ours; its parts may lie
// behind us.
func (q *queue) discard(heads []uint32, owner uint64) {
	if len(heads) == 0 {
		return
	}
	doomed := stateOf(kindDiscard, owner, 0)
	for p := range q.geo.chunks {
		part := q.state(uint32(p)).Load()
		if kindOf(part) != kindPart || int(headOf(part)) >= q.geo.chunks {
			continue
		}
		// As long as the head is doomed, what names it is a part of it.
		if q.state(headOf(part)).Load() == doomed {
			hook.At("queue.repair.part")
			q.state(uint32(p)).CompareAndSwap(part, 0)
		}
	}
	for _, c := range heads {
		hook.At("queue.repair.free")
		q.state(c).CompareAndSwap(doomed, 0) //sync:queue-free release: nothing of its message is left
	}
}

// recount finishes counting the task whose chunk says s.
func (q *queue) recount(s uint64) {
	slot := int(s >> (ownerShift + incBits) & (maxSlots - 1))
	lane := int(s >> ordinalBits & (maxLanes - 1))
	if slot >= q.geo.slots || lane >= q.geo.lanes {
		return
	}
	count := &q.laneOf(slot, lane).done
	n := count.Load()
	hook.At("queue.repair.count")
	if (n+1)&(1<<ordinalBits-1) == s&(1<<ordinalBits-1) {
		count.CompareAndSwap(n, n+1)
	}
}
