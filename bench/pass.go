package main

import (
	"errors"
	"slices"
	"time"
)

// A pass is n messages and what they cost.
type pass struct {
	n       int
	elapsed time.Duration
	cpu     time.Duration // of all processes
	mallocs uint64        // likewise
	trips   *quantiles    // of round trips only
	kills   int           // of processes that were replaced
	turns   []int         // of each process that counts
}

// run exchanges n messages, or counts for n nanoseconds, which are expected to take so long.
func (g *group) run(n int, expected time.Duration) (pass, error) {
	watchdog := time.After(patience + 10*expected)
	switch {
	case g.spec.Bench == benchFanInKill:
		return g.runKill(n, watchdog)
	case g.spec.fan():
		return g.runFan(n, watchdog)
	case g.spec.Bench == benchCount:
		return g.runCount(n, watchdog)
	}
	first, second := "ping", "echo"
	if g.spec.Bench != benchRTT {
		first, second = "send", "recv"
	}
	at := []int{0}
	if !g.impl.solo { // the receiver is there before anything is sent
		at = append(at, 1)
		if err := g.procs[1].order(order{Do: second, N: n}); err != nil {
			return pass{}, err
		}
		if _, err := g.procs[1].await(watchdog); err != nil {
			return pass{}, err
		}
	}
	if err := g.procs[0].order(order{Do: first, N: n}); err != nil {
		return pass{}, err
	}
	said, err := g.outcome(at, watchdog)
	if err != nil {
		return pass{}, err
	}
	p := total(n, said)
	end := said[0].End
	if g.spec.Bench == benchThroughput {
		end = latest(said)
	}
	p.elapsed = time.Duration(max(end-said[0].Start, 1))
	return p, nil
}

// total is a pass of what the processes said of it, but for how long it took.
func total(n int, said []reply) pass {
	p := pass{n: n, trips: said[0].Trips}
	for _, r := range said {
		p.cpu += time.Duration(r.CPU)
		p.mallocs += r.Mallocs
	}
	return p
}

// latest is when the last of them was done.
func latest(said []reply) (end int64) {
	for _, r := range said {
		end = max(end, r.End)
	}
	return end
}

// A word is what process at said, or its end.
type word struct {
	at    int
	reply reply
	err   error
}

// hear passes on what process i says next.
func (g *group) hear(i int, to chan<- word) {
	c := g.procs[i]
	r, more := <-c.replies
	to <- word{i, r, c.failure(r, more)}
}

// outcome awaits what these processes say at the end. Whoever fails leaves
// others waiting, so all are listened to at once.
func (g *group) outcome(at []int, watchdog <-chan time.Time) ([]reply, error) {
	said := make([]reply, len(at))
	words := make(chan word, len(at))
	left := slices.Clone(at)
	for _, i := range at {
		go g.hear(i, words)
	}
	for len(left) > 0 {
		select {
		case w := <-words:
			if w.err != nil {
				return nil, w.err
			}
			said[slices.Index(at, w.at)] = w.reply
			left = slices.DeleteFunc(left, func(i int) bool { return i == w.at })
		case <-watchdog:
			return nil, g.silent(left)
		}
	}
	return said, nil
}

// silent says which of the processes have not answered in time.
func (g *group) silent(left []int) error {
	var errs []error
	for _, i := range left {
		errs = append(errs, g.procs[i].silent())
	}
	return errors.Join(errs...)
}
