package model

import (
	"flag"
	"strings"
	"testing"
	"time"

	"github.com/sluice-ipc/sluice/internal/race"
)

var longFor = flag.Duration("model.for", 0, "how long TestLarge may take")

// slow reports whether steps cost many times what they should: the model has one
// goroutine and nothing of the machine in it, so little is lost.
func slow() bool { return race.Enabled || testing.Short() }

// small returns a configuration by its name.
func small(t *testing.T, name string) Config {
	t.Helper()
	for _, c := range Small {
		if c.Name == name {
			return c
		}
	}
	t.Fatalf("no configuration is named %q", name)
	return Config{}
}

// TestProtocol completes every small configuration. No step of the model may be
// dead code in all of them, except those of removed rules.
func TestProtocol(t *testing.T) {
	seen := Steps{repClear: true, repLookRing: true, repEpochLate: true}
	ran := 0
	for _, c := range Small {
		t.Run(c.Name, func(t *testing.T) {
			if slow() && c.Name != "joining three" {
				t.Skip("missing: a run at full speed")
			}
			r := Run(&c, 0, time.Time{})
			check(t, r)
			ran++
			for at := range seen {
				seen[at] = seen[at] || r.Steps[at]
			}
		})
	}
	for at, ok := range seen {
		if !ok && ran == len(Small) {
			t.Errorf("no thread is ever at step %d", at)
		}
	}
}

// check fails for a violation and for a run that was not finished.
func check(t *testing.T, r *Result) {
	t.Helper()
	if r.Violation != "" {
		t.Errorf("%s, after\n%s", r.Violation, strings.Join(r.Trace, "\n"))
	} else if !r.Complete {
		t.Errorf("not complete after %d states", r.States)
	}
	t.Logf("%d states", r.States)
}

// TestRemovedRules shows that the check can fail, and that each rule is needed.
func TestRemovedRules(t *testing.T) {
	for _, rem := range Removals {
		t.Run(string(rem.Rule), func(t *testing.T) {
			if slow() && rem.In != "joining three" {
				t.Skip("missing: a run at full speed")
			}
			c := small(t, rem.In)
			c.Without = rem.Rule
			r := Run(&c, 0, time.Time{})
			if r.Violation == "" {
				t.Errorf("nobody noticed in %q, %d states", rem.In, r.States)
			}
			t.Logf("%q, %d states: %s", rem.In, r.States, r.Violation)
		})
	}
}

// TestSpareRules shows which rules could be left out. It is not a promise of the
// protocol but of the table: who makes such a rule necessary moves it.
func TestSpareRules(t *testing.T) {
	for _, spare := range Spare {
		t.Run(string(spare.Rule), func(t *testing.T) {
			if slow() {
				t.Skip("missing: a run at full speed")
			}
			c := small(t, spare.In)
			c.Without = spare.Rule
			check(t, Run(&c, 0, time.Time{}))
		})
	}
}

// TestLarge completes what it can in the time it is given.
func TestLarge(t *testing.T) {
	if *longFor == 0 {
		t.Skip("missing: -model.for, which .ci/model.sh gives")
	}
	end := time.Now().Add(*longFor)
	for _, c := range Large {
		name := c.Name
		if c.Without != "" {
			name += ", without: " + string(c.Without)
		}
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			if start.After(end) {
				t.Skip("missing: time; NOT RUN")
			}
			r := Run(&c, 0, end)
			took := time.Since(start).Round(time.Second)
			switch {
			case r.Violation != "" && c.Without != "":
				t.Logf("noticed: %d states, %v: %s", r.States, took, r.Violation)
			case r.Complete && c.Without != "":
				t.Errorf("nobody noticed in %d states", r.States)
			case r.Violation != "":
				t.Errorf("%s, after\n%s", r.Violation, strings.Join(r.Trace, "\n"))
			case !r.Complete:
				t.Logf("NOT COMPLETE: nothing was found in %d states, %v", r.States, took)
			default:
				t.Logf("complete: %d states, %v", r.States, took)
			}
		})
	}
}
