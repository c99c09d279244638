package main

import (
	"slices"
	"testing"
)

func TestSelectsByWholeElements(t *testing.T) {
	var all []string
	for _, s := range catalog(fullSizes) {
		all = append(all, s.String())
	}
	for _, tt := range []struct {
		expr string
		want []string // some that must be selected
		not  []string // and some that must not
		n    int      // how many; 0: any number but none
	}{
		{"", []string{"rtt/unix/spin/8"}, nil, len(all)},
		{"rtt/pipe/spin/64", []string{"rtt/pipe/spin/64"}, nil, 1},
		{"^rtt/pipe/spin/64$", []string{"rtt/pipe/spin/64"}, nil, 1},
		{"rtt/pipe", []string{"rtt/pipe/block/1048576"}, []string{"rtt/ospipe/spin/64"}, 15},
		{"64", []string{"rtt/unix/spin/64"}, []string{"rtt/unix/spin/65536"}, 0},
		{"(rtt|throughput)/unix/block/64", []string{"throughput/unix/block/64"}, nil, 2},
		{"unix|ospipe", []string{"rtt/ospipe/spin/8"}, []string{"rtt/unixpacket/spin/8"}, 0},
		{"rtt/.*/block/64", []string{"rtt/unix/block/64"}, []string{"rtt/unix/spin/64"}, 0},
		{"memcpy", []string{"throughput/memcpy/spin/1048576"}, nil, 1},
		{"fanin/queue/spin/64", []string{"fanin/queue/spin/64"}, nil, 1},
		{"fanin/queue", []string{"fanin/queue/block/1024"}, []string{"fanin-kill/queue/block/64"}, 6},
		{"fanin-kill", []string{"fanin-kill/queue/block/64"}, nil, 6},
	} {
		t.Run(tt.expr, func(t *testing.T) {
			match, err := selects(tt.expr)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, s := range catalog(fullSizes) {
				if match(s) {
					got = append(got, s.String())
				}
			}
			if len(got) == 0 || tt.n != 0 && len(got) != tt.n {
				t.Errorf("selects %d: %v, want %d", len(got), got, tt.n)
			}
			for _, s := range tt.want {
				if !slices.Contains(got, s) {
					t.Errorf("does not select %s", s)
				}
			}
			for _, s := range tt.not {
				if slices.Contains(got, s) {
					t.Errorf("selects %s", s)
				}
			}
		})
	}
}

func TestSelectsRefusesBadExpressions(t *testing.T) {
	// The second would be valid inside the group that it is put into.
	for _, expr := range []string{"(", ")|("} {
		if _, err := selects(expr); err == nil {
			t.Errorf("%q is accepted", expr)
		}
	}
}

func TestCatalogIsWithoutDoublesAndWithinLimits(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range catalog(fullSizes) {
		if seen[s.String()] {
			t.Errorf("%v twice", s)
		}
		seen[s.String()] = true
		im := implNamed(s.Impl)
		if im.max != 0 && s.Size > im.max {
			t.Errorf("%v is above the limit of %d", s, im.max)
		}
		if want := map[bool]crew{false: {1, 1}, true: usualCrew}[s.fan()]; s.crew() != want {
			t.Errorf("%v is of %v, want %v", s, s.crew(), want)
		}
	}
	for bench, names := range map[string][]string{
		benchThroughput: {"pipe", "pipe-batch", "pipe-conn", "queue", "queue-batch", "unix", "unixpacket", "ospipe", "chan"},
		benchFanIn:      {"queue", "queue-batch", "unixpacket", "ospipe", "chan"},
		benchFanInKill:  {"queue", "queue-unharmed"},
	} {
		for _, name := range names {
			for _, wait := range []string{waitSpin, waitBlock} {
				if s := bench + "/" + name + "/" + wait + "/64"; !seen[s] {
					t.Errorf("%v is missing", s)
				}
			}
		}
	}
}

func TestParseSizes(t *testing.T) {
	got, err := parseSizes("1024, 8,1024")
	if err != nil || !slices.Equal(got, []int{8, 1024}) {
		t.Errorf("got %v, %v", got, err)
	}
	for _, bad := range []string{"", "7", "x", "8,,64", "99999999999"} {
		if got, err := parseSizes(bad); err == nil {
			t.Errorf("%q is %v", bad, got)
		}
	}
}

func TestParseCPUs(t *testing.T) {
	got, err := parseCPUs("2,5")
	if err != nil || !slices.Equal(got, []int{2, 5}) {
		t.Errorf("got %v, %v", got, err)
	}
	for _, bad := range []string{"", "1", "1,1", "1,2,3", "-1,2", "a,b"} {
		if got, err := parseCPUs(bad); err == nil {
			t.Errorf("%q is %v", bad, got)
		}
	}
}
