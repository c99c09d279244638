package model

// put makes a producer's steps.
func (m *machine) put(s *state, t int) {
	switch s.th[t].pc {
	case putIdle:
		m.putIdle(s, t)
	case putMore:
		m.putMore(s, t)
	case putBack:
		m.putBack(s, t)
	case putPart:
		m.putPart(s, t)
	case putLook:
		m.putLook(s, t)
	case putQueued:
		n := *s
		th := &n.th[t]
		m.own(&n, t, th.c, loaned, queued)
		n.chunks[th.c-1].word = m.queuedAt(&n, t, th.pos)
		th.pc = putCAS
		if !m.has(QueuedFirst) {
			th.idle(putIdle)
		}
		m.emit(&n, "QUEUED")
	case putCAS:
		m.putCAS(s, t)
	}
}

func (m *machine) queuedAt(s *state, t int, pos uint8) word {
	w := m.me(s, t, queued)
	w.arg = pos
	return w
}

func (m *machine) putIdle(s *state, t int) {
	if m.Close && !s.flag {
		n := *s
		n.flag = true
		m.emit(&n, "CloseSend")
	}
	if int(s.puts) == m.Puts {
		return
	}
	m.alloc(s, func(n *state, c uint8) {
		n.puts++
		m.loan(n, t, c)
		th := &n.th[t]
		th.c = c
		th.pc = putLook
		m.emit(n, "loan")
		if m.chains() {
			th.pc, th.d = putMore, c
			m.emit(n, "loan for a chain")
		}
	})
	if at := m.nextTake(s); m.Drop && s.ring[m.idx(at)].st == full && m.nextPut(s) == m.add(at, m.Ring) {
		n := *s
		n.puts++
		th := &n.th[t]
		th.pc, th.pos, th.c = takeAnnounce, at, s.ring[m.idx(at)].c
		m.emit(&n, "full: drop the oldest")
	}
}

// alloc makes a step for each chunk that could be had: the CAS FREE to LOANED.
func (m *machine) alloc(s *state, then func(n *state, c uint8)) bool {
	any := false
	for c := range m.Chunks {
		if s.chunks[c].kind == free {
			n := *s
			then(&n, uint8(c+1))
			any = true
		}
	}
	return any
}

// loan makes a free chunk the thread's.
func (m *machine) loan(s *state, t int, c uint8) {
	ch := &s.chunks[c-1]
	*ch = chunk{word: m.me(s, t, loaned), hand: uint8(t + 1)}
}

func (m *machine) putMore(s *state, t int) {
	ok := m.alloc(s, func(n *state, c uint8) {
		m.loan(n, t, c)
		th := &n.th[t]
		n.chunks[th.d-1].link = c
		th.d = c
		if m.chainLen(n, th.c) < m.Chain {
			m.emit(n, "loan another")
		}
		th.pc, th.d = putPart, n.chunks[th.c-1].link
		m.emit(n, "loan the last")
	})
	if !ok && m.has(GiveBack) {
		n := *s
		n.th[t].pc, n.th[t].d = putBack, 0
		m.emit(&n, "no chunk for the chain")
	}
}

func (m *machine) chainLen(s *state, c uint8) int {
	n := 0
	for ; c != 0; c = s.chunks[c-1].link {
		n++
	}
	return n
}

// putBack returns the loaned chunks one by one, the head first: nothing names it yet.
func (m *machine) putBack(s *state, t int) {
	n := *s
	th := &n.th[t]
	c := th.c
	th.c = n.chunks[c-1].link
	m.own(&n, t, c, loaned, loaned)
	m.toFree(&n, t, c)
	if th.c == 0 {
		th.idle(putIdle)
	}
	m.emit(&n, "give back")
}

func (m *machine) putPart(s *state, t int) {
	n := *s
	th := &n.th[t]
	m.own(&n, t, th.d, loaned, loaned)
	ch := &n.chunks[th.d-1]
	ch.word = m.me(&n, t, part)
	ch.arg = th.c
	if m.has(PartTag) {
		ch.tag = th.tag
	}
	ch.hand = 0 // the head speaks for it
	th.d = ch.link
	if th.d == 0 {
		th.tag = (th.tag + 1) % 4
		th.pc = putLook
	}
	m.emit(&n, "PART")
}

// putLook reads the word at the cursor. Where cursors are not modelled the thread
// reads the first position not yet published: with an older cursor it would only
// have moved on.
func (m *machine) putLook(s *state, t int) {
	n := *s
	th := &n.th[t]
	pos := th.cur
	if !m.Cursors {
		pos = m.nextPut(s)
	}
	w := s.ring[m.idx(pos)]
	switch {
	case w.lap == m.lap(pos) && w.st == sealed:
		m.closed(&n, t)
		m.emit(&n, "ErrClosed")
	case w.lap == m.lap(pos) && w.st == empty:
		th.pos, th.pc = pos, putQueued
		if !m.has(QueuedFirst) {
			th.pc = putCAS
		}
		m.emit(&n, "read R: empty")
	case m.Cursors && (w.lap == m.lap(pos) || m.later(w.lap, m.lap(pos))):
		th.cur = m.provedPut(w, m.idx(pos))
		m.emit(&n, "read R: published, on")
	}
}

// closed frees what could not be put.
func (m *machine) closed(s *state, t int) {
	th := &s.th[t]
	th.pos = 0
	th.pc = walkDiscard
}

// provedPut is the position just past those that a word proves published.
func (m *machine) provedPut(w cell, i uint8) uint8 {
	pos := w.lap*uint8(m.Ring) + i
	if w.st == full {
		return m.add(pos, 1)
	}
	if !m.has(Proof) {
		return m.add(pos, 1)
	}
	return m.add(pos, 1-m.Ring)
}

func (m *machine) putCAS(s *state, t int) {
	n := *s
	th := &n.th[t]
	r := &n.ring[m.idx(th.pos)]
	if *r != (cell{lap: m.lap(th.pos)}) {
		th.pos, th.pc = 0, putLook
		m.emit(&n, "publish failed")
		return
	}
	*r = cell{m.lap(th.pos), full, th.c}
	ch := &n.chunks[th.c-1]
	ch.committed, ch.hand = true, 0
	n.published++
	if n.eof {
		m.fail("a message was committed behind the end")
	}
	if m.Cursors {
		th.cur = m.add(th.pos, 1)
	}
	if m.has(QueuedFirst) {
		th.idle(putIdle)
	} else {
		th.pc = putQueued
	}
	m.emit(&n, "publish")
}

// own checks that a plain store overwrites what its thread believes to be there.
func (m *machine) own(s *state, t int, c uint8, kinds ...uint8) {
	w := s.chunks[c-1].word
	i := m.slotOf[t]
	for _, k := range kinds {
		if w.kind == k && w.slot == i+1 && w.inc == s.slots[i].inc {
			return
		}
	}
	m.fail("thread %d stores over chunk %d, which is not its own: %+v", t, c-1, w)
}

// toFree makes a chunk FREE and checks that nobody needed it.
func (m *machine) toFree(s *state, t int, c uint8) {
	ch := &s.chunks[c-1]
	head := ch
	if ch.kind == part && ch.arg != 0 {
		head = &s.chunks[ch.arg-1]
	}
	switch {
	case head.hand != 0 && int(head.hand) != t+1:
		m.fail("thread %d frees chunk %d, which is in the hands of %d", t, c-1, head.hand-1)
	case head.committed && !head.given:
		m.fail("thread %d frees chunk %d: a committed message is lost", t, c-1)
	}
	*ch = chunk{}
}
