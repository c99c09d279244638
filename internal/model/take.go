package model

// take makes a consumer's steps.
func (m *machine) take(s *state, t int) {
	n := *s
	th := &n.th[t]
	switch th.pc {
	case takeIdle:
		m.takeIdle(s, t)
	case takeLook:
		m.takeLook(s, t)
	case takeAnnounce:
		n.taking[m.word(t)] = notice{th.pos, th.c}
		th.pc = takeCAS
		if !m.has(AnnounceFirst) {
			th.pc = takeHeld
		}
		m.emit(&n, "announce")
	case takeCAS:
		m.takeCAS(&n, t)
	case takeUndo:
		n.taking[m.word(t)] = notice{}
		th.idle(m.rest(t))
		m.emit(&n, "clear the announcement")
	case takeHeld:
		m.takeHeld(&n, t)
	case takeClear:
		n.taking[m.word(t)] = notice{}
		th.pos, th.pc = 0, deliver
		if !m.has(HeldFirst) {
			th.pc = takeHeld
		}
		m.emit(&n, "taken: clear the announcement")
	case adopt:
		m.adopt(s, t)
	default:
		m.have(&n, t)
	}
}

// word is which announcement a thread uses.
func (m *machine) word(t int) int {
	if !m.has(LaneWords) {
		return int(m.first[m.slotOf[t]])
	}
	return t
}

func (m *machine) takeIdle(s *state, t int) {
	tick := false
	for i := range m.Slots {
		tick = tick || s.slots[i].st == slotDead && m.has(Ticks)
	}
	if !s.th[t].fresh || tick {
		n := *s
		n.th[t].pc, n.th[t].now = adopt, true
		m.emit(&n, "scan for orphans")
	}
	if s.th[t].fresh {
		n := *s
		n.th[t].pc = takeLook
		m.emit(&n, "the epoch is scanned")
	}
}

// takeLook reads the word at the cursor; without cursors, that of the first
// position not yet taken.
func (m *machine) takeLook(s *state, t int) {
	n := *s
	th := &n.th[t]
	pos := th.cur
	if !m.Cursors {
		pos = m.nextTake(s)
	}
	w := s.ring[m.idx(pos)]
	switch {
	case m.later(w.lap, m.lap(pos)):
		th.cur = m.add(w.lap*uint8(m.Ring)+m.idx(pos), 1-m.Ring)
		m.emit(&n, "read R: taken, on")
	case w.lap != m.lap(pos):
		m.fail("a cursor is past what nobody took")
	case w.st == full:
		th.pos, th.c, th.pc = pos, w.c, takeAnnounce
		if !m.has(AnnounceFirst) {
			th.pc = takeCAS
		}
		m.emit(&n, "read R: full")
	case w.st == sealed || s.flag:
		m.atEnd(&n, t, pos, w.st)
	default:
		th.idle(takeIdle)
		m.emit(&n, "read R: empty")
	}
}

func (m *machine) takeCAS(s *state, t int) {
	th := &s.th[t]
	r := &s.ring[m.idx(th.pos)]
	if *r != (cell{m.lap(th.pos), full, th.c}) {
		th.c, th.pos, th.pc = 0, 0, takeUndo
		if !m.has(AnnounceFirst) || !m.has(ClearFailed) {
			th.idle(m.rest(t))
		}
		m.emit(s, "take failed")
		return
	}
	*r = cell{lap: (m.lap(th.pos) + 1) % laps}
	m.acquire(s, t, th.c)
	if m.Cursors {
		th.cur = m.add(th.pos, 1)
	}
	th.pc = takeHeld
	if !m.has(HeldFirst) {
		th.pc = takeClear
	}
	if !m.has(AnnounceFirst) {
		th.pc = takeAnnounce
	}
	m.emit(s, "take")
}

// acquire puts a chunk into a thread's hands and checks that it was in no other.
func (m *machine) acquire(s *state, t int, c uint8) {
	ch := &s.chunks[c-1]
	switch {
	case ch.hand != 0:
		m.fail("thread %d takes chunk %d, which is in the hands of %d", t, c-1, ch.hand-1)
	case !ch.committed:
		m.fail("thread %d takes chunk %d, which holds no message", t, c-1)
	case ch.given:
		m.fail("thread %d takes chunk %d, which was delivered", t, c-1)
	}
	ch.hand = uint8(t + 1)
	for u := range s.th {
		if at := s.th[u].pc; at >= eofSlots && at <= eofReturn {
			s.th[u].done &^= 1 << (c - 1)
		}
	}
}

func (m *machine) takeHeld(s *state, t int) {
	th := &s.th[t]
	w := s.chunks[th.c-1].word
	if m.has(QueuedFirst) && (w.kind != queued || w.arg != th.pos && m.has(HeldFirst)) {
		m.fail("thread %d took chunk %d, which is not queued there: %+v", t, th.c-1, w)
	}
	s.chunks[th.c-1].word = m.me(s, t, held)
	th.pc = takeClear
	if !m.has(HeldFirst) {
		th.pos, th.pc = 0, deliver
	}
	m.emit(s, "HELD")
}

// have makes the steps of one that has a message.
func (m *machine) have(s *state, t int) {
	th := &s.th[t]
	switch th.pc {
	case deliver:
		m.handOver(s, t)
	case release:
		m.release(s, t)
	case requeue:
		if m.has(EpochAfterOrphan) {
			m.bumpEpoch(s)
		} else {
			m.putOrphan(s, t)
		}
		th.idle(takeIdle)
		m.emit(s, "requeued")
	case countDone:
		n := &s.count[t]
		if w := s.chunks[th.c-1].word; *n != w.arg-1 && m.has(DoneFirst) {
			m.fail("lane %d counts %d after %d", t, w.arg, *n)
		}
		*n++
		m.counted(s, th.c)
		th.pc = walkDiscard
		m.emit(s, "count")
	}
}

// handOver gives the message to the caller, who reads all of it.
func (m *machine) handOver(s *state, t int) {
	th := &s.th[t]
	ch := &s.chunks[th.c-1]
	m.own(s, t, th.c, held)
	if ch.given {
		m.fail("chunk %d is delivered twice", th.c-1)
	}
	for p := ch.link; p != 0; p = s.chunks[p-1].link {
		if w := s.chunks[p-1].word; w.kind != part || w.arg != th.c {
			m.fail("chunk %d of the chain at %d is %+v", p-1, th.c-1, w)
			break
		}
	}
	ch.given = true
	if m.role[t] == 'p' { // dropped: the chunk is used again
		*ch = chunk{word: m.me(s, t, loaned), hand: ch.hand}
		th.pc = putLook
		m.emit(s, "drop")
		return
	}
	th.pc = release
	m.emit(s, "deliver")
}

func (m *machine) release(s *state, t int) {
	th := &s.th[t]
	ch := &s.chunks[th.c-1]
	if m.Requeue {
		n := *s
		m.requeue(&n, t)
	}
	if m.Tasks {
		ch.word = m.me(s, t, done)
		ch.arg, ch.tag = s.count[t]+1, m.laneOf[t]
		th.pc = countDone
		if !m.has(DoneFirst) {
			ch.word = m.me(s, t, held)
			m.have(s, t)
			return
		}
		m.emit(s, "DONE")
		return
	}
	th.pc = walkDiscard
	m.walk(s, t)
}

// requeue begins to give a message back; a second step ends it.
func (m *machine) requeue(s *state, t int) {
	if m.has(EpochAfterOrphan) {
		m.putOrphan(s, t)
	} else {
		m.bumpEpoch(s)
	}
	s.th[t].pc = requeue
	m.emit(s, "requeue")
}

func (m *machine) putOrphan(s *state, t int) {
	th := &s.th[t]
	ch := &s.chunks[th.c-1]
	m.own(s, t, th.c, held)
	ch.word, ch.hand, ch.given = word{kind: orphan}, 0, false
	th.c = 0
}

// counted checks that a task is counted once, and after it was handed over.
func (m *machine) counted(s *state, c uint8) {
	ch := &s.chunks[c-1]
	if ch.counted || !ch.given {
		m.fail("the task in chunk %d is counted twice or too soon", c-1)
	}
	ch.counted = true
}

// adopt looks at one more chunk for an orphan: the read and the CAS in one, since
// a CAS that fails only looks on.
func (m *machine) adopt(s *state, t int) {
	for c := range m.Chunks {
		if in(s.th[t].mask, c) {
			continue
		}
		n := *s
		th := &n.th[t]
		if n.chunks[c].kind == orphan {
			m.adopted(&n, t, uint8(c+1))
			continue
		}
		th.mask |= 1 << c
		if all(th.mask, m.Chunks) {
			th.fresh = th.now
			th.idle(takeIdle)
		}
		m.emit(&n, "no orphan here")
	}
}

func (m *machine) adopted(s *state, t int, c uint8) {
	m.acquire(s, t, c)
	s.chunks[c-1].word = m.me(s, t, held)
	th := &s.th[t]
	th.idle(deliver)
	th.c = c
	m.emit(s, "adopt")
}
