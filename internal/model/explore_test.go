package model

import (
	"testing"
	"time"
)

// reach returns the states of a configuration.
func reach(t *testing.T, c *Config, edit func(*machine)) *explorer {
	t.Helper()
	x := newExplorer(c)
	edit(x.m)
	if !x.explore(maxStates, time.Time{}) {
		t.Fatalf("not complete: %s", x.m.bad)
	}
	return x
}

// TestRenamingKeepsWhatMatters compares the states with and without renaming: each
// of the few is one of the many, and each of the many is one of the few after it
// was renamed in some way.
func TestRenamingKeepsWhatMatters(t *testing.T) {
	c := Config{Slots: []string{"p", "c", "c"}, Ring: 1, Chunks: 2, Puts: 2, Kills: 1}
	few := reach(t, &c, func(*machine) {})
	many := reach(t, &c, func(m *machine) { m.named = true })
	if few.n*2 > many.n {
		t.Errorf("%d states with renaming, %d without: it hardly helps", few.n, many.n)
	}
	var s state
	for id := range few.n {
		few.load(id, &s)
		if many.find(&s) < 0 {
			t.Fatalf("not reachable without renaming:\n%s", few.show(id))
		}
	}
	for id := range many.n {
		if !anyName(few, many, id) {
			t.Fatalf("not reached with renaming:\n%s", many.show(id))
		}
	}
}

// anyName reports whether few has a state of many under any names.
func anyName(few, many *explorer, id int) bool {
	for _, p := range many.m.perms {
		for _, to := range [][]uint8{{0, 1}, {1, 0}} {
			var s state
			many.load(id, &s)
			many.m.renameSlots(&s, p)
			many.m.renameChunks(&s, to)
			if few.find(&s) >= 0 {
				return true
			}
		}
	}
	return false
}

// TestPackKeepsEverything unpacks every state of a configuration and packs it again.
func TestPackKeepsEverything(t *testing.T) {
	c := small(t, "closing on chains")
	x := reach(t, &c, func(*machine) {})
	var s state
	for id := range x.n {
		x.load(id, &s)
		if got := x.find(&s); got != id {
			t.Fatalf("state %d comes back as %d:\n%s", id, got, x.show(id))
		}
	}
}
