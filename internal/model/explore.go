package model

import (
	"fmt"
	"hash/maphash"
	"time"
)

// A Result is what a run found.
type Result struct {
	States    int
	Complete  bool   // every reachable state was seen, and liveness was checked
	Violation string // "" is none
	Trace     []string
	Steps     Steps // that some thread stood at
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

	// A state costs its words, and this much for its edges and its place in the table.
	perState = 64
	maxBytes = 5 << 30
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
	steps  Steps
	from   int
}

// Run explores a configuration until it is complete, a violation is found, limit
// states were seen (0 is as many as fit), or the time is over (zero is never).
func Run(c *Config, limit int, until time.Time) *Result {
	x := newExplorer(c)
	if fit := min(maxStates, maxBytes/(8*x.width+perState)); limit == 0 || limit > fit {
		limit = fit
	}
	done := x.explore(limit, until)
	r := &Result{States: x.n, Complete: done, Steps: x.steps}
	switch {
	case x.m.bad != "":
		r.Violation = x.m.bad
		r.Trace = append(x.trace(x.from), r.Violation)
	case done:
		if at, stopped, stuck := x.stuck(); stuck {
			r.Violation = fmt.Sprintf("no way to an end with participants %b stopped", stopped)
			r.Trace = append(x.trace(at), r.Violation, x.show(at))
		}
	}
	return r
}

func newExplorer(c *Config) *explorer {
	m := newMachine(c)
	return &explorer{m: m, width: m.packedLen(), seed: maphash.MakeSeed(), table: make([]uint64, 1<<12)}
}

// explore visits every state, and reports whether it came to the end of them.
func (x *explorer) explore(limit int, until time.Time) bool {
	first := x.m.start()
	x.m.canon(first)
	x.add(first)
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
			x.steps[s.th[t].pc] = true
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

// invariants checks what must hold in every state.
func (m *machine) invariants(s *state) {
	if m.Tasks && m.finished(s) > s.published {
		m.fail("more tasks are finished than were published")
	}
}
