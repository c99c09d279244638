package model

import "math/bits"

// goal reports whether nothing is left to do for those that are not stopped:
// everybody is between two operations, every death is repaired, every chunk is
// FREE, every message was delivered, and the end of a closed queue was reported.
// What a stopped participant has in its own hands is excused, and nothing else.
// A queue without a running consumer may wait.
func (m *machine) goal(s *state, stopped uint8) bool {
	if !m.anyConsumer(s, stopped) {
		return true
	}
	for t := range m.threads {
		i := m.slotOf[t]
		if s.slots[i].alive && !in(stopped, int(i)) && s.th[t].pc != m.rest(t) {
			return false
		}
	}
	for c := range m.Chunks {
		if s.chunks[c].kind != free && !m.excusedChunk(s, stopped, c) {
			return false
		}
	}
	repaired := true
	for i := range m.Slots {
		if sl := s.slots[i]; !sl.alive && sl.st != slotFree {
			repaired = false
			if !m.excusedSlot(s, stopped, i) {
				return false
			}
		}
	}
	if s.flag && !s.eof && repaired {
		return false
	}
	return !m.Tasks || stopped != 0 || m.finished(s) == s.published
}

func (m *machine) anyConsumer(s *state, stopped uint8) bool {
	for t := range m.threads {
		i := m.slotOf[t]
		if m.role[t] == 'c' && s.slots[i].alive && s.slots[i].st == slotActive && !in(stopped, int(i)) {
			return true
		}
	}
	return false
}

// excusedChunk reports whether a stopped participant has the chunk: in its hands,
// as a part of what is in its hands, or by an announcement of a take that it is in
// the middle of.
func (m *machine) excusedChunk(s *state, stopped uint8, c int) bool {
	if stopped == 0 {
		return false
	}
	ch := &s.chunks[c]
	if ch.kind == part {
		ch = &s.chunks[ch.arg-1]
	}
	if ch.hand != 0 {
		return m.isStopped(s, stopped, int(ch.hand-1))
	}
	for t := range m.threads {
		if !m.isStopped(s, stopped, t) {
			continue
		}
		if m.announces(s, t, c) || ch.kind == orphan && s.th[t].pc == requeue {
			return true
		}
	}
	return false
}

func (m *machine) isStopped(s *state, stopped uint8, t int) bool {
	i := m.slotOf[t]
	return s.slots[i].alive && in(stopped, int(i))
}

// announces reports whether a thread is between announcing a take of the chunk and
// clearing that, and the chunk is still where the announcement says.
func (m *machine) announces(s *state, t, c int) bool {
	at := s.th[t].pc
	ch := &s.chunks[c]
	return at >= takeCAS && at <= takeClear && ch.kind == queued &&
		s.taking[t] == notice{ch.arg, uint8(c + 1)}
}

// excusedSlot reports whether a slot must stay DEAD because a stopped participant
// announces what may be the dead one's.
func (m *machine) excusedSlot(s *state, stopped uint8, i int) bool {
	for c := range m.Chunks {
		ch := &s.chunks[c]
		named := int(ch.slot) == i+1 && ch.inc == s.slots[i].inc
		for l := range len(m.Slots[i]) {
			tk := s.taking[int(m.first[i])+l]
			named = named || ch.kind == queued && tk == notice{ch.arg, uint8(c + 1)}
		}
		for t := range m.threads {
			if named && m.isStopped(s, stopped, t) && m.announces(s, t, c) {
				return true
			}
		}
	}
	return false
}

// finished is the sum of the lanes' counters.
func (m *machine) finished(s *state) uint8 {
	var sum uint8
	for t := range m.threads {
		sum += s.count[t]
	}
	return sum
}

// stuck looks for a state from which those that run cannot finish, with any
// participants stopped for ever, as many as the configuration says. States from
// which they can are marked backwards from the goals, until no more are found.
// Being stopped changes nothing but who moves, so it needs no states of its own.
func (x *explorer) stuck() (id int, stopped uint8, found bool) {
	sets := 1 << len(x.m.Slots)
	good := make([][]uint64, sets)
	var s state
	for f := range sets {
		if bits.OnesCount(uint(f)) <= x.m.Frozen {
			good[f] = make([]uint64, x.n/64+1)
		}
	}
	for id := range x.n {
		x.load(id, &s)
		for f := range good {
			if good[f] != nil && x.m.goal(&s, uint8(f)) {
				good[f][id/64] |= 1 << (id % 64)
			}
		}
	}
	for changed := true; changed; {
		changed = false
		for id := x.n - 1; id >= 0; id-- {
			changed = x.spread(good, id) || changed
		}
	}
	for id := range x.n {
		for f := range good {
			if good[f] != nil && good[f][id/64]>>(id%64)&1 == 0 {
				return id, uint8(f), true
			}
		}
	}
	return 0, 0, false
}

// spread marks a state from which a step leads to a marked one.
func (x *explorer) spread(good [][]uint64, id int) bool {
	changed := false
	for f := range good {
		if good[f] == nil || good[f][id/64]>>(id%64)&1 != 0 {
			continue
		}
		for i := at(x.begin, id); i < at(x.begin, id+1); i++ {
			e := at(x.edges, int(i))
			if in(uint8(f), int(e>>edgeState&nobodyElse)) {
				continue
			}
			to := int(e & maxStates)
			g := renameMask(uint8(f), x.m.perms[e>>(edgeState+edgeActor)])
			if good[g][to/64]>>(to%64)&1 != 0 {
				good[f][id/64] |= 1 << (id % 64)
				changed = true
				break
			}
		}
	}
	return changed
}
