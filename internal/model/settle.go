package model

// settle brings a repairer's fields into their one form: what it would pass over
// without effect is passed over, so that fewer states differ.
func (m *machine) settle(s *state, t int) {
	th := &s.th[t]
	if th.pc == repLook {
		for u := range m.threads {
			if m.unmoved(s, th, u) {
				th.mask |= 1 << u
			}
		}
		if all(th.mask, m.threads) {
			m.settled(s, t)
		}
	}
	if th.pc < repScan || th.pc > repFreeHead || !th.scan {
		return
	}
	for c := range m.Chunks {
		if !m.names(th, s.chunks[c].word) {
			th.done |= 1 << c
		}
	}
	if th.pc == repScan && all(th.done, m.Chunks) {
		th.done, th.scan = 0, false
		switch {
		case th.late && m.has(PutOff) && (!th.made || !m.has(OrphanMoves)):
			th.idle(m.rest(t))
		case !m.has(EpochBeforeFree):
			th.pc = repFree
		default:
			th.pc = repEnd
		}
	}
}

// unmoved reports whether a thread neither announces the chunk that th looks for nor
// ever can again, because the ring no longer holds it. Reading its announcement
// now or later is then the same.
func (m *machine) unmoved(s *state, th *thread, u int) bool {
	if !m.has(LaneWords) {
		return false
	}
	if s.taking[u] == (notice{th.pos, th.c}) || s.ring[m.idx(th.pos)] == (cell{m.lap(th.pos), full, th.c}) {
		return false
	}
	o := &s.th[u]
	about := o.pc == takeAnnounce || o.pc == takeCAS || o.pc == takeHeld
	return !about || o.c != th.c || o.pos != th.pos
}
