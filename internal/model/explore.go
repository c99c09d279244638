package model

import (
	"fmt"
	"hash/maphash"
	"math/bits"
	"strings"
	"time"
)

// A Result is what a run found.
type Result struct {
	States    int
	Complete  bool   // every reachable state was seen, and liveness was checked
	Violation string // "" is none
	Trace     []string
}

const (
	pageBits = 16
	pageLen  = 1 << pageBits

	// An edge is a state's index, the participant that moved, and the renaming
	// that brought the next state into its canonical form.
	edgeState  = 26
	edgeActor  = 3
	maxStates  = 1<<edgeState - 1
	nobodyElse = 1<<edgeActor - 1
)

// An explorer holds the reachable states, found breadth first, in the order in which they
// were found. Nothing in it is ever moved, so its memory is what it needs.
type explorer struct {
	m      *machine
	width  int
	pages  [][]uint64 // packed states
	parent [][]uint32
	edges  [][]uint32
	begin  [][]uint32 // where the edges of a state begin
	nEdges int
	n      int
	table  []uint64 // open addressing: index+1, and above it the hash
	seed   maphash.Seed
	key    [maxPacked]uint64
	from   int
}

// Run explores a configuration until it is complete, a violation is found, limit
// states were seen (0 is as many as fit), or the time is over (zero is never).
func Run(c *Config, limit int, until time.Time) *Result {
	m := newMachine(c)
	x := &explorer{m: m, width: m.packedLen(), seed: maphash.MakeSeed(), table: make([]uint64, 1<<12)}
	if limit == 0 || limit > maxStates {
		limit = maxStates
	}
	s := m.start()
	m.canon(s)
	x.add(s)
	done := x.explore(limit, until)
	r := &Result{States: x.n, Complete: done}
	switch {
	case m.bad != "":
		r.Violation = m.bad
		r.Trace = append(x.trace(x.from), m.bad)
	case done:
		if at, stopped, stuck := x.stuck(); stuck {
			r.Violation = fmt.Sprintf("no way to an end with participants %b stopped", stopped)
			r.Trace = append(x.trace(at), r.Violation, x.show(at))
		}
	}
	return r
}

func (x *explorer) explore(limit int, until time.Time) bool {
	var s state
	actor := 0
	x.m.emit = func(next *state, _ string) {
		n := *next
		k := x.m.canon(&n)
		id := x.add(&n)
		if actor == nobodyElse || id == x.from && k == 0 {
			return
		}
		push(&x.edges, x.nEdges, uint32(id)|uint32(actor)<<edgeState|uint32(k)<<(edgeState+edgeActor))
		x.nEdges++
	}
	for x.from = 0; x.from < x.n; x.from++ {
		if x.n >= limit || x.from%4096 == 0 && !until.IsZero() && time.Now().After(until) {
			return false
		}
		push(&x.begin, x.from, uint32(x.nEdges))
		x.load(x.from, &s)
		for t := range x.m.threads {
			actor = int(x.m.slotOf[t])
			x.m.step(&s, t)
		}
		actor = nobodyElse
		x.m.strike(&s)
		x.m.invariants(&s)
		if x.m.bad != "" {
			return false
		}
	}
	push(&x.begin, x.n, uint32(x.nEdges))
	return true
}

// push puts v at index i, the end, of a paged list.
func push(pages *[][]uint32, i int, v uint32) {
	if i>>pageBits == len(*pages) {
		*pages = append(*pages, make([]uint32, pageLen))
	}
	(*pages)[i>>pageBits][i%pageLen] = v
}

func at(pages [][]uint32, i int) uint32 { return pages[i>>pageBits][i%pageLen] }

func (x *explorer) packed(id int) []uint64 {
	return x.pages[id>>pageBits][id%pageLen*x.width:][:x.width]
}

func (x *explorer) load(id int, s *state) { x.m.unpack(x.packed(id), s) }

// add returns the index of a state, which is new or known.
func (x *explorer) add(s *state) int {
	x.m.pack(s, x.key[:])
	mask := len(x.table) - 1
	hash := maphash.Comparable(x.seed, x.key) & (1<<32 - 1)
	at := int(hash) & mask
	for ; x.table[at] != 0; at = (at + 1) & mask {
		if e := x.table[at]; e>>32 == hash && same(x.packed(int(uint32(e)-1)), x.key[:x.width]) {
			return int(uint32(e) - 1)
		}
	}
	if x.n>>pageBits == len(x.pages) {
		x.pages = append(x.pages, make([]uint64, pageLen*x.width))
	}
	copy(x.packed(x.n), x.key[:])
	push(&x.parent, x.n, uint32(x.from))
	x.n++
	x.table[at] = hash<<32 | uint64(x.n)
	if x.n*8 > len(x.table)*5 {
		x.grow()
	}
	return x.n - 1
}

func same(a, b []uint64) bool {
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

func (x *explorer) grow() {
	old := x.table
	x.table = make([]uint64, 2*len(old))
	mask := len(x.table) - 1
	for _, e := range old {
		if e == 0 {
			continue
		}
		at := int(e>>32) & mask
		for x.table[at] != 0 {
			at = (at + 1) & mask
		}
		x.table[at] = e
	}
}

// trace tells how a state is reached. Names of equal participants and of chunks
// change from line to line where that kept states few.
func (x *explorer) trace(id int) []string {
	var back []int
	for ; id != 0; id = int(at(x.parent, id)) {
		back = append(back, id)
	}
	var lines []string
	var s state
	here := 0
	for i := len(back) - 1; i >= 0; i-- {
		x.load(here, &s)
		lines = append(lines, x.label(&s, back[i]))
		here = back[i]
	}
	return lines
}

// label finds the step between two states by making all steps again.
func (x *explorer) label(s *state, to int) string {
	found, who := "?", "outside"
	x.m.emit = func(next *state, label string) {
		n := *next
		x.m.canon(&n)
		x.m.pack(&n, x.key[:])
		if found == "?" && same(x.packed(to), x.key[:x.width]) {
			found = who + ": " + label
		}
	}
	x.m.strike(s)
	for t := range x.m.threads {
		who = fmt.Sprintf("%c%d", x.m.role[t], t)
		x.m.step(s, t)
	}
	return found
}

func (x *explorer) show(id int) string {
	var s state
	x.load(id, &s)
	var b strings.Builder
	fmt.Fprintf(&b, "ring %v\n", s.ring[:x.m.Ring])
	for c := range x.m.Chunks {
		fmt.Fprintf(&b, "chunk %d %+v\n", c, s.chunks[c])
	}
	for i := range x.m.Slots {
		fmt.Fprintf(&b, "slot %d %+v\n", i, s.slots[i])
	}
	for t := range x.m.threads {
		fmt.Fprintf(&b, "thread %d announces %v: %+v\n", t, s.taking[t], s.th[t])
	}
	return b.String()
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

// invariants checks what must hold in every state.
func (m *machine) invariants(s *state) {
	if m.Tasks && m.finished(s) > s.published {
		m.fail("more tasks are finished than were published")
	}
}
