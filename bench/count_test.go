package main

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

func TestCountingIsChecked(t *testing.T) {
	for _, im := range []*impl{mutexCountImpl, valueCountImpl} {
		t.Run(im.name, func(t *testing.T) {
			g := anyGroup(t, spec{benchCount, im.name, waitAdaptive, 8, 1, 1})
			all := 0
			for range 3 {
				p, err := g.run(int(2*time.Millisecond), 0)
				if err != nil {
					t.Fatal(err)
				}
				all += p.n
				if len(p.turns) != 2 || p.turns[0] == 0 || p.turns[1] == 0 || p.turns[0]+p.turns[1] != p.n {
					t.Errorf("%d turns, %v", p.n, p.turns)
				}
				if p.elapsed < 2*time.Millisecond {
					t.Errorf("in %v", p.elapsed)
				}
			}
			if g.counted != all {
				t.Errorf("%d turns in all, want %d", g.counted, all)
			}
			g.counted++ // as if one had been lost
			if _, err := g.run(1, 0); err == nil || !strings.Contains(err.Error(), "counted to") {
				t.Errorf("a lost turn: %v", err)
			}
		})
	}
}

func TestReportOfLocksSetsThemBesideTheirModels(t *testing.T) {
	one := func(bench string, im *impl, n int, turns ...int) sample {
		s := spec{bench, im.name, im.waits[0], im.only[0], 1, 1}
		return sample{spec: s, placement: "B",
			pass: pass{n: n, elapsed: time.Second, cpu: time.Second, turns: turns}}
	}
	var out bytes.Buffer
	writeReport(&out, summarise([]sample{
		one(benchOps, mutexOps, 20e6), one(benchOps, syncMutexOps, 50e6),
		one(benchOps, semaphoreOps, 10e6),
		one(benchCount, mutexCountImpl, 8000, 5000, 3000),
		one(benchCount, pythonCountImpl, 500, 250, 250),
	}))
	text := out.String()
	for _, want := range []string{"50.0 ns", "20.0 ns", "100 ns", "sync-mutex ×2.50", "38:62", "50:50",
		"×2.50  lock.Mutex, against sync.Mutex, times as long (goal: at most ×3.00)", "(goal: at least ×10)"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in:\n%s", want, text)
		}
	}
	if n := strings.Count(text, "×16.0"); n != 2 {
		t.Errorf("against Python %d times, want in the table and among the ratios:\n%s", n, text)
	}
}

func TestAGlanceLeavesOutWhatHasNoGoal(t *testing.T) {
	names := map[string]bool{}
	for _, s := range (menu{crews: []crew{usualCrew}, quick: true}).catalog() {
		names[s.Impl] = true
	}
	if !names[mutexOps.name] || !names[mutexCountImpl.name] || names[semaphoreOps.name] ||
		names[pythonCountImpl.name] {
		t.Errorf("a glance is at %v", names)
	}
}
