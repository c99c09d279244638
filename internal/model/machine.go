package model

import (
	"fmt"
	"math/bits"
)

// A machine makes the steps of one configuration.
type machine struct {
	*Config
	threads int
	slotOf  []uint8 // thread to slot
	laneOf  []uint8
	role    []byte  // thread to 'p' or 'c'
	first   []uint8 // slot to its first thread
	perms   []perm  // renamings of equal participants; the first changes nothing

	named bool // names are kept (to test that they mean nothing)

	emit func(next *state, label string)
	bad  string // the first violation
}

func newMachine(c *Config) *machine {
	m := &machine{Config: c}
	for i, lanes := range c.Slots {
		m.first = append(m.first, uint8(m.threads))
		for l := range lanes {
			m.slotOf = append(m.slotOf, uint8(i))
			m.laneOf = append(m.laneOf, uint8(l))
			m.role = append(m.role, lanes[l])
			m.threads++
		}
	}
	if m.threads > maxThreads || c.Chunks > maxChunks || c.Ring > maxRing {
		panic("model: configuration too large: " + c.Name)
	}
	m.perms = m.permutations()
	return m
}

// start is the first state: everybody has joined, and positions and laps are just
// before they wrap.
func (m *machine) start() *state {
	s := new(state)
	for i := range m.Ring {
		s.ring[i] = cell{lap: laps - 1}
	}
	for i := range m.Slots {
		s.slots[i] = slot{st: slotActive, alive: true}
	}
	for t := range m.threads {
		s.th[t] = thread{pc: m.rest(t), fresh: true}
		if m.Cursors {
			s.th[t].cur = uint8((laps - 1) * m.Ring)
		}
	}
	if m.Loaded > 0 {
		m.load(s)
	}
	return s
}

// load puts messages into the ring, as somebody did who left before the start.
func (m *machine) load(s *state) {
	for k := range m.Loaded {
		pos := m.nextPut(s)
		w := word{kind: queued, slot: uint8(len(m.Slots) + 1), arg: pos}
		s.chunks[k] = chunk{word: w, committed: true}
		s.ring[m.idx(pos)] = cell{m.lap(pos), full, uint8(k + 1)}
		s.published++
	}
}

// rest is where a thread stands between two operations.
func (m *machine) rest(t int) pc {
	if m.role[t] == 'p' {
		return putIdle
	}
	return takeIdle
}

// step makes every step that thread t could make next: each of them is one access
// of shared memory with what the thread does by itself up to the following one.
func (m *machine) step(s *state, t int) {
	switch at := s.th[t].pc; {
	case at == gone:
	case at >= repTake:
		m.repair(s, t)
	case at >= joinClear:
		m.join(s, t)
	case at >= seal:
		m.end(s, t)
	case at >= walkDiscard && at <= walkHead:
		m.walk(s, t)
	case at >= takeIdle:
		m.take(s, t)
	default:
		m.put(s, t)
	}
	if at := s.th[t].pc; at == m.rest(t) {
		m.lookAfter(s, t)
	}
}

// strike makes what comes from outside: a kill, a newcomer. Nothing may count on it.
func (m *machine) strike(s *state) {
	for i := range m.Slots {
		if s.slots[i].alive && int(s.kills) < m.Kills {
			n := *s
			m.kill(&n, i)
			m.emit(&n, "KILL")
		}
		if sl := s.slots[i]; !sl.alive && sl.st == slotFree && int(s.joins) < m.Joins {
			n := *s
			n.joins++
			n.slots[i].alive = true // it has the slot's lock
			n.th[m.first[i]].pc = joinClear
			if !m.has(JoinClears) {
				n.th[m.first[i]].pc = joinActive
			}
			m.emit(&n, "JOIN")
		}
		if m.Leave && m.mayLeave(s, i) {
			n := *s
			n.slots[i].st, n.slots[i].alive = slotFree, false
			for l := range len(m.Slots[i]) {
				n.th[int(m.first[i])+l] = thread{}
			}
			m.emit(&n, "LEAVE")
		}
	}
}

// mayLeave reports whether every lane of a participant is between two operations.
func (m *machine) mayLeave(s *state, i int) bool {
	for l := range len(m.Slots[i]) {
		t := int(m.first[i]) + l
		if s.th[t].pc != m.rest(t) {
			return false
		}
	}
	return s.slots[i].alive
}

// kill ends a participant. What it was handed and has not finished may be handed
// to another.
func (m *machine) kill(s *state, i int) {
	s.kills++
	s.slots[i].alive = false
	for l := range len(m.Slots[i]) {
		t := int(m.first[i]) + l
		s.th[t] = thread{}
		for c := range m.Chunks {
			if ch := &s.chunks[c]; int(ch.hand) == t+1 {
				ch.hand = 0
				if ch.kind == held {
					ch.given = false
				}
			}
		}
	}
}

func (m *machine) fail(format string, args ...any) {
	if m.bad == "" {
		m.bad = fmt.Sprintf(format, args...)
	}
}

// lap and idx of a position; positions count modulo laps*Ring.
func (m *machine) lap(pos uint8) uint8 { return pos / uint8(m.Ring) }
func (m *machine) idx(pos uint8) uint8 { return pos % uint8(m.Ring) }
func (m *machine) add(pos uint8, n int) uint8 {
	size := laps * m.Ring
	return uint8((int(pos) + n + size) % size)
}

// later reports whether lap a is after lap b: a signed difference.
func (m *machine) later(a, b uint8) bool {
	if !m.has(Signed) {
		return a > b
	}
	d := (a - b) % laps
	return d != 0 && d < laps/2
}

// before reports whether position a is before b.
func (m *machine) before(a, b uint8) bool {
	if !m.has(Signed) {
		return a < b
	}
	size := uint8(laps * m.Ring)
	d := (b + size - a) % size
	return d != 0 && d < size/2
}

// nextPut is the first position that nobody published yet, nextTake the first that
// nobody took.
func (m *machine) nextPut(s *state) uint8 {
	return m.firstOf(func(i int) uint8 {
		p := s.ring[i].lap*uint8(m.Ring) + uint8(i)
		if s.ring[i].st == full {
			p = m.add(p, m.Ring)
		}
		return p
	})
}

func (m *machine) nextTake(s *state) uint8 {
	return m.firstOf(func(i int) uint8 { return s.ring[i].lap*uint8(m.Ring) + uint8(i) })
}

func (m *machine) firstOf(at func(int) uint8) uint8 {
	p := at(0)
	for i := 1; i < m.Ring; i++ {
		if q := at(i); m.before(q, p) {
			p = q
		}
	}
	return p
}

// me is the word that thread t writes to say that a chunk is its own.
func (m *machine) me(s *state, t int, kind uint8) word {
	i := m.slotOf[t]
	return word{kind: kind, slot: i + 1, inc: s.slots[i].inc}
}

// bumpEpoch makes every full scan an old one.
func (m *machine) bumpEpoch(s *state) {
	if !m.has(Epoch) {
		return
	}
	for t := range s.th {
		s.th[t].fresh, s.th[t].now = false, false
	}
}

// has reports whether a chunk or thread is in a mask, each yields what is not.
func in(mask uint8, i int) bool { return mask>>i&1 != 0 }

func all(mask uint8, n int) bool { return bits.OnesCount8(mask) == n }
