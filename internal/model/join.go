package model

// join makes the steps of a newcomer, who holds the lock of a FREE slot; the
// slot's first lane makes them for all.
func (m *machine) join(s *state, t int) {
	n := *s
	th := &n.th[t]
	i := int(m.slotOf[t])
	switch th.pc {
	case joinClear:
		n.taking[t+int(th.lane)] = notice{}
		th.lane++
		if int(th.lane) == len(m.Slots[i]) {
			th.lane, th.pc = 0, joinActive
			if !m.has(JoinClears) {
				m.joined(&n, t)
			}
		}
		m.emit(&n, "a newcomer clears an announcement")
	case joinActive:
		n.slots[i].st = slotActive
		n.slots[i].inc = (n.slots[i].inc + 1) % 4
		th.pc = joinClear
		if m.has(JoinClears) {
			m.joined(&n, t)
		}
		m.emit(&n, "ACTIVE")
	case joinFind:
		m.find(&n, t)
	}
}

// joined lets all lanes of a newcomer begin.
func (m *machine) joined(s *state, t int) {
	for l := range len(m.Slots[m.slotOf[t]]) {
		th := &s.th[t+l]
		*th = thread{pc: m.rest(t + l), fresh: !m.has(JoinScans)}
		if m.Cursors {
			th.pc = joinFind
		}
	}
}

// find reads the ring words one after another and starts where the furthest of
// them proves that it may. A binary search reads fewer and finds no more.
func (m *machine) find(s *state, t int) {
	th := &s.th[t]
	i := th.lane
	w := s.ring[i]
	at := m.add(w.lap*uint8(m.Ring)+i, 1-m.Ring)
	if m.role[t] == 'p' {
		at = m.provedPut(w, i)
	}
	if i == 0 || m.before(th.cur, at) {
		th.cur = at
	}
	th.lane++
	if int(th.lane) == m.Ring {
		th.idle(m.rest(t))
	}
	m.emit(s, "find the cursor")
}

// lookAfter makes the steps that any participant may make between two operations:
// record a death, begin to repair.
func (m *machine) lookAfter(s *state, t int) {
	if m.role[t] == 'x' {
		return
	}
	for i := range m.Slots {
		switch sl := s.slots[i]; {
		case sl.st == slotActive && !sl.alive:
			n := *s
			n.slots[i].st = slotDead
			m.emit(&n, "DEAD")
		case sl.st == slotDead:
			n := *s
			th := &n.th[t]
			th.idle(repTake)
			th.j, th.jinc = uint8(i+1), sl.inc
			m.emit(&n, "begin to repair")
		}
	}
}
