package main

import (
	"testing"
)

func TestPlacementClasses(t *testing.T) {
	for _, tt := range []struct {
		gbps float64
		want string
	}{{40, "A"}, {25.1, "A"}, {25, "B"}, {9, "B"}, {4.1, "B"}, {4, "C"}, {0.5, "C"}} {
		if got := (sighting{BW: tt.gbps}).class(); got != tt.want {
			t.Errorf("%v GB/s is %s, want %s", tt.gbps, got, tt.want)
		}
	}
}

func TestPlacementOfARepetition(t *testing.T) {
	a, b, c := &sighting{BW: 30}, &sighting{BW: 9}, &sighting{BW: 2}
	for _, tt := range []struct {
		before, after *sighting
		want          string
		pure          bool
	}{
		{a, a, "A", true}, {b, b, "B", true}, {c, c, "C", true},
		{b, c, "BC", false}, {c, b, "CB", false}, {a, b, "AB", false},
		{nil, nil, noPlacement, true}, {b, nil, noPlacement, true},
	} {
		got := placement(tt.before, tt.after)
		if got != tt.want || pure(got) != tt.pure {
			t.Errorf("%v then %v is %q (pure %v), want %q", tt.before, tt.after, got, pure(got), tt.want)
		}
	}
}

// TestCanaryEndsTogether lets both halves run as goroutines over the heap, many
// times: each must find the other where it left it.
func TestCanaryEndsTogether(t *testing.T) {
	m := make([]byte, canaryMemory)
	lead, follow := newCanary(m), newCanary(m)
	for range 3 {
		done := make(chan struct{})
		go func() {
			defer close(done)
			follow.follow()
		}()
		s := lead.lead()
		<-done
		if s.RTT <= 0 || s.BW <= 0 {
			t.Errorf("saw %+v", *s)
		}
	}
}
