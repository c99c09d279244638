package main

import (
	"math"
	"slices"
)

// A row is what is reported of one measurement in one placement: medians over
// its repetitions. Its JSON form is what -json prints. nil: not measured.
type row struct {
	spec
	P50       *float64 `json:"p50_ns"`
	P99       *float64 `json:"p99_ns"`
	P999      *float64 `json:"p999_ns"`
	Msgs      float64  `json:"msgs_per_s"`
	Bytes     float64  `json:"bytes_per_s"`
	CPU       *float64 `json:"cpu_ns_per_msg"`
	Allocs    float64  `json:"allocs_per_msg"`
	Placement string   `json:"placement"`

	N         int      `json:"n"` // repetitions that these figures are of
	P50Min    *float64 `json:"p50_ns_min"`
	P50Max    *float64 `json:"p50_ns_max"`
	MsgsMin   float64  `json:"msgs_per_s_min"`
	MsgsMax   float64  `json:"msgs_per_s_max"`
	Canary    *float64 `json:"canary_ns"` // one cache line to and fro
	InProcess bool     `json:"in_process"`
	Starved   bool     `json:"starved"` // none of the n had its CPUs to itself
	Kills     int      `json:"kills"`   // in all n
	Share     *float64 `json:"share"`   // of all turns, of who had the fewest

	starved int // repetitions that had not: left out, or all
}

// summarise makes rows of samples: by what is measured, its size and the way to
// wait, so that what is to be compared stands together.
func summarise(samples []sample) []row {
	type group struct {
		spec
		placement string
	}
	var order []group
	groups := map[group][]sample{}
	for _, s := range samples {
		g := group{s.spec, s.placement}
		if groups[g] == nil {
			order = append(order, g)
		}
		groups[g] = append(groups[g], s)
	}
	var rows []row
	for _, g := range order {
		rows = append(rows, summary(groups[g]))
	}
	slices.SortStableFunc(rows, func(a, b row) int { return a.compare(b.spec) })
	return rows
}

// summary makes one row of repetitions in one placement. Those that were
// starved are left out if there are others.
func summary(of []sample) row {
	fed := slices.DeleteFunc(slices.Clone(of), sample.starved)
	starved := len(of) - len(fed)
	hungry := len(fed) == 0
	if !hungry {
		of = fed
	}
	all := func(f func(sample) float64) []float64 {
		var v []float64
		for _, s := range of {
			if x := f(s); !math.IsNaN(x) {
				v = append(v, x)
			}
		}
		return v
	}
	p50 := all(func(s sample) float64 { return s.trips().P50 })
	msgs := all(sample.msgs)
	kills := 0
	for _, s := range of {
		kills += s.pass.kills
	}
	im := implNamed(of[0].Impl)
	return row{
		Kills:     kills,
		Starved:   hungry,
		starved:   starved,
		spec:      of[0].spec,
		P50:       median(p50),
		P99:       median(all(func(s sample) float64 { return s.trips().P99 })),
		P999:      median(all(func(s sample) float64 { return s.trips().P999 })),
		Msgs:      *median(msgs),
		Bytes:     *median(msgs) * float64(of[0].Size),
		CPU:       median(all(sample.cpu)),
		Allocs:    *median(all(sample.allocs)),
		Placement: of[0].placement,
		N:         len(of),
		P50Min:    least(p50),
		P50Max:    most(p50),
		MsgsMin:   *least(msgs),
		MsgsMax:   *most(msgs),
		Canary:    median(all(sample.line)),
		InProcess: im != nil && im.inProcess,
		Share:     median(all(sample.share)),
	}
}

// trips is the distribution, NaN where there is none.
func (s sample) trips() quantiles {
	if s.pass.trips == nil {
		return quantiles{math.NaN(), math.NaN(), math.NaN()}
	}
	return *s.pass.trips
}

func (s sample) msgs() float64   { return float64(s.pass.n) / s.pass.elapsed.Seconds() }
func (s sample) allocs() float64 { return float64(s.pass.mallocs) / float64(s.pass.n) }

// share is NaN where nobody takes turns.
func (s sample) share() float64 {
	if len(s.pass.turns) == 0 {
		return math.NaN()
	}
	return float64(slices.Min(s.pass.turns)) / float64(s.pass.n)
}

// cpu is NaN where the system does not say what a process has used.
func (s sample) cpu() float64 {
	if s.pass.cpu == 0 {
		return math.NaN()
	}
	return float64(s.pass.cpu) / float64(s.pass.n)
}

// starved reports whether something else ran on our CPUs: who polls, or copies,
// uses all of their time, or was not let.
func (s sample) starved() bool {
	im := implNamed(s.Impl)
	if im == nil || s.Wait != waitSpin || s.pass.cpu == 0 {
		return false
	}
	cpus := 2.0
	if im.solo && !im.inProcess {
		cpus = 1
	}
	return float64(s.pass.cpu) < 0.95*cpus*float64(s.pass.elapsed)
}

func (s sample) line() float64 {
	if s.canary == 0 {
		return math.NaN()
	}
	return s.canary
}

// median returns the middle of v, or the mean of the two middles; nil if v is
// empty.
func median(v []float64) *float64 {
	if len(v) == 0 {
		return nil
	}
	v = slices.Sorted(slices.Values(v))
	m := (v[(len(v)-1)/2] + v[len(v)/2]) / 2
	return &m
}

func least(v []float64) *float64 {
	if len(v) == 0 {
		return nil
	}
	m := slices.Min(v)
	return &m
}

func most(v []float64) *float64 {
	if len(v) == 0 {
		return nil
	}
	m := slices.Max(v)
	return &m
}
