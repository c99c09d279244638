package model

// exact reports whether a chunk's word is the one that was read.
func (m *machine) exact(w, read word) bool {
	if !m.has(Exact) {
		return true
	}
	if !m.has(Incarnation) && w.kind != part {
		w.inc = read.inc
	}
	return w == read
}

// repCAS makes the writes that decide what becomes of a chunk.
func (m *machine) repCAS(s *state, t int) {
	th := &s.th[t]
	ch := &s.chunks[th.c-1]
	hit := m.exact(ch.word, th.w)
	if !hit && th.pc != repCount && m.has(LookAgain) {
		th.done &^= 1 << (th.c - 1) // another repairer may have got half as far
	}
	switch th.pc {
	case repOrphan:
		if hit {
			m.toOrphan(s, t)
		}
		m.leave(s, t)
		m.emit(s, "repair: ORPHAN")
	case repCount:
		m.repCount(s, t)
		th.pc = repGone
		if !m.has(CountFirst) {
			th.nextChunk()
		}
		m.emit(s, "repair: count")
	case repGone:
		m.repGone(s, t, hit)
	}
}

func (m *machine) toOrphan(s *state, t int) {
	th := &s.th[t]
	ch := &s.chunks[th.c-1]
	switch {
	case ch.hand != 0:
		m.fail("thread %d makes an orphan of chunk %d, in the hands of %d", t, th.c-1, ch.hand-1)
	case !ch.committed:
		m.fail("thread %d makes an orphan of chunk %d, which holds no message", t, th.c-1)
	case ch.given:
		m.fail("thread %d makes an orphan of chunk %d, which was delivered", t, th.c-1)
	}
	ch.word = word{kind: orphan}
	th.made = true
}

// repCount redoes the counting of a finished task, unless it was done.
func (m *machine) repCount(s *state, t int) {
	th := &s.th[t]
	n := &s.count[m.first[th.j-1]+th.w.tag]
	if *n != th.w.arg-1 && m.has(CountExact) {
		return
	}
	*n++
	if m.has(CountFirst) {
		m.counted(s, th.c)
	}
}

func (m *machine) repGone(s *state, t int, hit bool) {
	th := &s.th[t]
	read := th.w
	switch {
	case hit && m.chains():
		w := word{kind: discard, slot: th.j, inc: th.jinc}
		s.chunks[th.c-1].word = w
		th.pc, th.w, th.pos = repParts, word{}, 0
	case hit:
		m.toFree(s, t, th.c)
		th.nextChunk()
	default:
		th.nextChunk()
	}
	if read.kind == done && hit && !m.has(CountFirst) {
		th.pc, th.w, th.c = repCount, read, 1 // whichever: it is not looked at
	}
	m.emit(s, "repair: done with")
}

// repParts looks at one more chunk for a part of the head.
func (m *machine) repParts(s *state, t int) {
	for p := range m.Chunks {
		th := &s.th[t]
		if in(th.mask, p) || p+1 == int(th.c) {
			continue
		}
		n := *s
		th = &n.th[t]
		th.mask |= 1 << p
		if w := n.chunks[p].word; w.kind == part && w.arg == th.c {
			th.w, th.d, th.pc = w, uint8(p+1), repHead
			if !m.has(HeadAgain) {
				th.pc = repCut
			}
		} else if all(th.mask, m.Chunks-1) {
			th.mask, th.pc = 0, repFreeHead
		}
		m.emit(&n, "repair: look for parts")
	}
}

func (m *machine) repChain(s *state, t int) {
	th := &s.th[t]
	mine := word{kind: discard, slot: th.j, inc: th.jinc}
	switch th.pc {
	case repHead:
		th.pc = repCut
		if !m.exact(s.chunks[th.c-1].word, mine) {
			th.nextChunk() // somebody else was faster
		}
		m.emit(s, "repair: the head again")
	case repCut:
		if s.chunks[th.d-1].word == th.w {
			m.toFree(s, t, th.d)
		}
		th.d, th.w, th.pc = 0, word{}, repParts
		if all(th.mask, m.Chunks-1) {
			th.mask, th.pc = 0, repFreeHead
		}
		m.emit(s, "repair: free a part")
	case repFreeHead:
		if m.exact(s.chunks[th.c-1].word, mine) {
			m.toFree(s, t, th.c)
		}
		th.nextChunk()
		m.emit(s, "repair: free the head")
	}
}

// repLeave ends a pass.
func (m *machine) repLeave(s *state, t int) {
	th := &s.th[t]
	sl := &s.slots[th.j-1]
	switch th.pc {
	case repEnd:
		m.bumpEpoch(s)
		th.pc, th.made = repFree, false
		if th.late && m.has(PutOff) {
			th.idle(m.rest(t))
		}
		m.emit(s, "repair: epoch++")
		return
	case repFree:
		if sl.st == slotDead && (sl.inc == th.jinc || !m.has(Incarnation)) {
			sl.st = slotFree
		}
		if !m.has(EpochBeforeFree) {
			th.pc = repEpochLate
			m.emit(s, "repair: slot FREE")
			return
		}
	case repEpochLate:
		m.bumpEpoch(s)
	}
	th.idle(m.rest(t))
	m.emit(s, "repair: over")
}
