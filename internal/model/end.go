package model

// walk makes the steps of a living owner who frees what it has: a single chunk at
// once, a chain under DISCARD, its head last.
func (m *machine) walk(s *state, t int) {
	n := *s
	th := &n.th[t]
	switch th.pc {
	case walkDiscard:
		m.own(&n, t, th.c, loaned, queued, held, done)
		th.d = n.chunks[th.c-1].link
		if th.d == 0 {
			m.toFree(&n, t, th.c)
			th.idle(m.rest(t))
			m.emit(&n, "free")
			return
		}
		th.pc = walkPart
		if !m.has(HeadLast) {
			n.chunks[th.c-1] = chunk{}
			th.c = 0
			m.emit(&n, "head first")
			return
		}
		if m.has(Discard) {
			n.chunks[th.c-1].word = m.me(&n, t, discard)
			m.emit(&n, "DISCARD")
			return
		}
		fallthrough
	case walkPart:
		m.walkPart(&n, t)
	case walkHead:
		m.toFree(&n, t, th.c)
		th.idle(m.rest(t))
		m.emit(&n, "free the head")
	}
}

func (m *machine) walkPart(s *state, t int) {
	th := &s.th[t]
	p := th.d
	if w := s.chunks[p-1].word; w.kind != part || th.c != 0 && w.arg != th.c {
		m.fail("thread %d frees chunk %d as a part: %+v", t, p-1, w)
	}
	th.d = s.chunks[p-1].link
	m.toFree(s, t, p)
	if th.d == 0 {
		th.pc = walkHead
		if th.c == 0 {
			th.idle(m.rest(t))
		}
	}
	m.emit(s, "free a part")
}

// atEnd is for a consumer that found the ring empty and the flag, or SEALED.
func (m *machine) atEnd(s *state, t int, pos, st uint8) {
	th := &s.th[t]
	th.pos, th.pc = pos, seal
	if st == sealed || !m.has(Seal) {
		th.pos, th.pc = 0, eofSlots
		th.done = m.forbidden(s)
		if !m.has(EOFSlotsFirst) {
			th.pc = eofOrphans
		}
	}
	m.emit(s, "read R: the end")
}

// forbidden are the chunks with a message that waits for a new holder and that an
// end of the queue must not leave behind.
func (m *machine) forbidden(s *state) uint8 {
	var mask uint8
	unmarked := false
	for _, sl := range s.slots {
		unmarked = unmarked || sl.st == slotActive && !sl.alive
	}
	for c := range m.Chunks {
		ch := &s.chunks[c]
		if ch.kind == orphan || ch.committed && !ch.given && ch.hand == 0 && !unmarked {
			mask |= 1 << c
		}
	}
	for i := range m.Ring {
		if s.ring[i].st == full {
			mask &^= 1 << (s.ring[i].c - 1)
		}
	}
	return mask
}

// end makes the steps between SEALED and io.EOF.
func (m *machine) end(s *state, t int) {
	switch s.th[t].pc {
	case seal:
		n := *s
		th := &n.th[t]
		if r := &n.ring[m.idx(th.pos)]; *r == (cell{lap: m.lap(th.pos)}) {
			r.st = sealed
		}
		th.idle(takeIdle)
		m.emit(&n, "seal")
	case eofSlots:
		m.eofSlots(s, t)
	case eofOrphans:
		m.eofOrphans(s, t)
	case eofReturn:
		n := *s
		if n.th[t].done != 0 {
			m.fail("thread %d is told io.EOF, chunks %b hold orphans", t, n.th[t].done)
		}
		n.eof = true
		n.th[t].idle(takeIdle)
		m.emit(&n, "io.EOF")
	}
}

func (m *machine) eofSlots(s *state, t int) {
	for i := range m.Slots {
		if in(s.th[t].mask, i) {
			continue
		}
		n := *s
		th := &n.th[t]
		th.mask |= 1 << i
		if n.slots[i].st == slotDead && m.has(EOFDead) {
			th.idle(takeIdle)
		} else if all(th.mask, len(m.Slots)) {
			th.mask, th.pc = 0, eofOrphans
			if !m.has(EOFSlotsFirst) || !m.has(EOFOrphans) {
				th.pc = eofReturn
			}
		}
		m.emit(&n, "look at a slot")
	}
}

func (m *machine) eofOrphans(s *state, t int) {
	for c := range m.Chunks {
		if in(s.th[t].mask, c) {
			continue
		}
		n := *s
		th := &n.th[t]
		th.mask |= 1 << c
		if n.chunks[c].kind == orphan {
			m.adopted(&n, t, uint8(c+1))
			continue
		}
		if all(th.mask, m.Chunks) {
			th.mask, th.pc = 0, eofReturn
			if !m.has(EOFSlotsFirst) {
				th.pc = eofSlots
			}
		}
		m.emit(&n, "no orphan here")
	}
}
