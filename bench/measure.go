package main

import (
	"time"
)

// minPass and maxPass bound the messages of one pass.
const (
	minPass = 32
	maxPass = 1 << 30

	fanFirst = 2000 // messages of the first pass of fan-in
)

// A sample is one repetition of one measurement.
type sample struct {
	spec
	rep       int
	placement string
	pass      pass
	canary    float64 // ns for one cache line to the other CPU and back; 0: unknown
	bandwidth float64 // GB/s that the canary saw, the lesser of both
}

// measure does one repetition: warm up and find out how many messages fit the
// time, then look where the CPUs are, exchange them, and look again.
func measure(s spec, at place, budget time.Duration) (sample, error) {
	g, err := newGroup(s, at)
	if err != nil {
		return sample{}, err
	}
	grace := time.Duration(0) // after an error somebody may be waiting for ever
	defer func() { g.close(grace) }()
	if s.Bench == benchFanInKill {
		budget = max(budget, killFloor) // whatever was asked for: there must be deaths
	}
	n, err := g.calibrate(budget)
	if err != nil {
		return sample{}, err
	}
	sm, err := g.sample(n, budget)
	if err == nil {
		grace = patience
	}
	return sm, err
}

// sample is one pass of n messages between two canaries.
func (g *group) sample(n int, expected time.Duration) (sample, error) {
	before, err := g.look()
	if err != nil {
		return sample{}, err
	}
	got, err := g.run(n, expected)
	if err != nil {
		return sample{}, err
	}
	after, err := g.look()
	if err != nil {
		return sample{}, err
	}
	sm := sample{spec: g.spec, placement: placement(before, after), pass: got}
	if before != nil && after != nil {
		sm.canary = (before.RTT + after.RTT) / 2
		sm.bandwidth = min(before.BW, after.BW)
	}
	return sm, nil
}

// calibrate returns how many messages fit the budget, by passes that grow until
// one takes a tenth of it, or in fan-in, where it takes some time until all are at
// work, a quarter. They also warm everything up.
func (g *group) calibrate(budget time.Duration) (int, error) {
	limit := maxPass
	switch g.spec.Bench {
	case benchCount: // for the time, whatever fits
		_, err := g.run(int(budget/5), budget)
		return int(budget), err
	case benchRTT:
		limit = maxSamples
	case benchFanInKill:
		limit = killBits
	}
	first, enough, next := minPass/4, budget/10, budget/8
	if g.spec.fan() {
		first, enough, next = fanFirst, budget/4, budget/3
	}
	for n := first; ; {
		got, err := g.run(n, budget)
		if err != nil {
			return 0, err
		}
		if got.elapsed >= enough || n == limit {
			return scale(n, got.elapsed, budget, limit), nil
		}
		n = min(scale(n, got.elapsed, next, limit), 100*n)
	}
}

// scale returns how many messages fit the budget when n took so long: at least
// minPass, and at most the limit.
func scale(n int, took, budget time.Duration, limit int) int {
	fit := float64(n) * float64(budget) / float64(max(took, 1))
	return int(min(max(fit, minPass), float64(limit)))
}
