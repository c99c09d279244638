package model

import (
	"fmt"
	"strings"
)

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
