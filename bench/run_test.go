package main

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

func TestBudgetDividesTheTime(t *testing.T) {
	for n := 1; n < 1000; n *= 3 {
		b := budgetFor(fullTime, n, pairOverhead)
		if b < minBudget || b > maxBudget {
			t.Errorf("%d repetitions: %v each", n, b)
		}
		if whole := time.Duration(n) * (b*5/4 + pairOverhead); b > minBudget && whole > fullTime {
			t.Errorf("%d repetitions take %v", n, whole)
		}
	}
	if b := budgetFor(-time.Second, 10, pairOverhead); b != minBudget {
		t.Errorf("%v each when there is no time left", b)
	}
}

func TestNoRepetitionBeginsThatWouldBeLate(t *testing.T) {
	for _, tt := range []struct {
		took  time.Duration
		rep   int
		limit time.Duration
		want  bool
	}{
		{50 * time.Second, 1, 115 * time.Second, false},
		{60 * time.Second, 1, 115 * time.Second, true},
		{60 * time.Second, 2, 115 * time.Second, false},
		{90 * time.Second, 2, 115 * time.Second, true},
		{time.Hour, 0, 115 * time.Second, false}, // one there must be
		{time.Hour, 1, 0, false},
	} {
		r := runner{limit: tt.limit, began: time.Now().Add(-tt.took)}
		if got := r.late(tt.rep); got != tt.want {
			t.Errorf("%d repetitions in %v, limit %v: late is %v", tt.rep, tt.took, tt.limit, got)
		}
	}
}

func TestRepetitionsAskedForAreMade(t *testing.T) {
	for args, limited := range map[string]bool{"": true, "-quick": true, "-reps 3": false} {
		var errs bytes.Buffer
		o, err := parse(strings.Fields(args), &errs)
		if err != nil {
			t.Fatal(err)
		}
		r, err := o.plan(&errs)
		if err != nil {
			t.Fatal(err)
		}
		if got := r.limit > 0; got != limited || r.reps != 3 {
			t.Errorf("%q: limit %v, %d repetitions", args, r.limit, r.reps)
		}
	}
}

func TestProgressSaysHowFar(t *testing.T) {
	var out bytes.Buffer
	p := newProgress(&out)
	p.step(0, 10, blockingRTT)
	p.step(1, 10, blockingRTT)
	if out.Len() > 0 {
		t.Errorf("says %q at once", out.String())
	}
	p.began = time.Now().Add(-10 * time.Second)
	p.next = time.Now()
	p.step(5, 10, blockingRTT)
	if got := out.String(); got != "bench: 5 of 10, 10s left: rtt/unix/block/64\n" {
		t.Errorf("says %q", got)
	}
}
