package model

// repair makes the steps of one that repairs a slot. Every write is a CAS on the
// exact word that was read.
func (m *machine) repair(s *state, t int) {
	n := *s
	th := &n.th[t]
	switch th.pc {
	case repTake:
		m.repTake(&n, t)
	case repWord:
		m.repWord(&n, t)
	case repTakeRing:
		w := n.ring[m.idx(th.pos)]
		if w == (cell{m.lap(th.pos), full, th.c}) {
			m.nextLane(&n, t)
		} else {
			m.look(&n, t)
		}
		m.emit(&n, "repair: R of the announcement")
	case repClear:
		u := m.first[th.j-1] + th.lane
		if n.taking[u] == (notice{th.pos, th.c}) {
			n.taking[u] = notice{}
		}
		m.laneDone(&n, t)
		m.emit(&n, "repair: clear the announcement")
	case repScan:
		m.repScan(s, t)
	case repRing:
		m.repRing(&n, t)
	case repLook:
		m.repLook(s, t)
	case repLookSlot:
		m.repLookSlot(&n, t)
	case repLookRing:
		m.repLookRing(&n, t)
	case repOrphan, repGone, repCount:
		m.repCAS(&n, t)
	case repParts:
		m.repParts(s, t)
	case repHead, repCut, repFreeHead:
		m.repChain(&n, t)
	default:
		m.repLeave(&n, t)
	}
}

func (m *machine) repTake(s *state, t int) {
	th := &s.th[t]
	tk := s.taking[m.word(int(m.first[th.j-1]+th.lane))]
	if tk.c == 0 {
		m.laneDone(s, t)
	} else {
		th.c, th.pos, th.pc = tk.c, tk.pos, repWord
	}
	m.emit(s, "repair: read an announcement")
}

func (m *machine) repWord(s *state, t int) {
	th := &s.th[t]
	th.w = s.chunks[th.c-1].word
	switch {
	case th.w.kind != queued || th.w.arg != th.pos:
		m.nextLane(s, t)
	case m.has(RingFirst):
		th.pc = repTakeRing
	default:
		th.pc = repLook
	}
	m.emit(s, "repair: the announced chunk's word")
}

// look begins to look at announcements.
func (m *machine) look(s *state, t int) {
	th := &s.th[t]
	th.pc = repLook
	if !m.has(TakerSlot) && !th.scan {
		th.dead = true
		th.mask = 1 << (m.first[th.j-1] + th.lane)
	}
}

// nextLane forgets one lane's announcement.
func (m *machine) nextLane(s *state, t int) {
	th := &s.th[t]
	th.mask, th.w, th.dead = 0, word{}, false
	if !m.has(RepairLeaves) {
		th.pc = repClear
		return
	}
	m.laneDone(s, t)
}

func (m *machine) laneDone(s *state, t int) {
	th := &s.th[t]
	th.c, th.pos = 0, 0
	th.lane++
	th.pc = repTake
	if int(th.lane) == len(m.Slots[th.j-1]) {
		th.lane, th.pc, th.scan = 0, repScan, true
	}
}

// names reports whether a word's owner is the slot under repair. A dead owner's
// name appears nowhere new, so who scans may pass over chunks without it.
func (m *machine) names(th *thread, w word) bool {
	owned := w.kind != free && w.kind != orphan && w.kind != part
	return owned && w.slot == th.j && (w.inc == th.jinc || !m.has(Incarnation))
}

func (m *machine) repScan(s *state, t int) {
	for c := range m.Chunks {
		if in(s.th[t].done, c) {
			continue
		}
		n := *s
		th := &n.th[t]
		th.done |= 1 << c
		th.c, th.w = uint8(c+1), n.chunks[c].word
		switch th.w.kind {
		case loaned:
			th.pc = repGone
		case held:
			th.pc = repOrphan
		case discard:
			th.pc, th.w = repParts, word{}
		case done:
			th.pc = repCount
			if !m.has(CountFirst) {
				th.pc = repGone
			}
		case queued:
			th.pos, th.pc = th.w.arg, repRing
			if !m.has(RingFirst) {
				th.pc = repLook
			}
		}
		m.emit(&n, "repair: a chunk that names the dead")
	}
}

// nextChunk forgets one chunk.
func (th *thread) nextChunk() {
	th.c, th.d, th.pos, th.u, th.mask = 0, 0, 0, 0, 0
	th.w, th.dead, th.pc = word{}, false, repScan
}

func (m *machine) repRing(s *state, t int) {
	th := &s.th[t]
	w := s.ring[m.idx(th.pos)]
	switch {
	case w == (cell{m.lap(th.pos), full, th.c}):
		th.nextChunk() // published
	case w.lap == m.lap(th.pos) && m.has(Settled):
		th.pos, th.pc = 0, repGone
	default:
		m.look(s, t)
	}
	m.emit(s, "repair: R of the chunk")
}

// repLook reads one more announcement.
func (m *machine) repLook(s *state, t int) {
	for u := range m.threads {
		if in(s.th[t].mask, u) {
			continue
		}
		n := *s
		th := &n.th[t]
		if n.taking[u] == (notice{th.pos, th.c}) {
			th.u, th.pc = uint8(u+1), repLookSlot
		} else {
			th.mask |= 1 << u
		}
		m.emit(&n, "repair: look at an announcement")
	}
}

func (m *machine) repLookSlot(s *state, t int) {
	th := &s.th[t]
	th.mask |= 1 << (th.u - 1)
	th.pc = repLook
	st := s.slots[m.slotOf[th.u-1]].st
	th.u = 0
	switch {
	case st == slotActive && m.has(LookLive), st == slotFree && !m.has(FreeIgnored):
		th.late = true
		if th.scan {
			th.nextChunk()
		} else {
			th.mask, th.w, th.dead = 0, word{}, false
			m.laneDone(s, t)
		}
	case st == slotDead:
		th.dead = m.has(LookDead) || !th.scan
	}
	m.emit(s, "repair: the announcer's slot")
}

// leave goes on with whatever comes after the chunk looked at.
func (m *machine) leave(s *state, t int) {
	th := &s.th[t]
	if th.scan {
		th.nextChunk()
	} else {
		m.nextLane(s, t)
	}
}

// settled decides, when no living participant announces the chunk.
func (m *machine) settled(s *state, t int) {
	th := &s.th[t]
	switch {
	case !m.has(RingFirst) && th.pc != repLookRing:
		th.pc, th.mask = repLookRing, 0
		return
	case th.dead:
		th.pc = repOrphan
	case th.scan:
		th.pc = repGone
	default:
		m.nextLane(s, t)
		return
	}
	th.mask, th.dead, th.u = 0, false, 0
	if th.scan || m.has(RepairLeaves) {
		th.pos = 0
	}
}

// repLookRing is what a removed rule does: R is read after the announcements.
func (m *machine) repLookRing(s *state, t int) {
	th := &s.th[t]
	w := s.ring[m.idx(th.pos)]
	switch {
	case w == (cell{m.lap(th.pos), full, th.c}):
		m.leave(s, t)
	case w.lap == m.lap(th.pos):
		th.dead = false
		fallthrough
	default:
		m.settled(s, t)
	}
	m.emit(s, "repair: R, late")
}
