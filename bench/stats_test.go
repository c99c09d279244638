package main

import (
	"math"
	"testing"
	"time"
)

func TestMedianAndRange(t *testing.T) {
	for _, tt := range []struct {
		v              []float64
		mid, low, high float64
	}{
		{[]float64{5}, 5, 5, 5},
		{[]float64{3, 1, 2}, 2, 1, 3},
		{[]float64{4, 1, 3, 2}, 2.5, 1, 4},
		{[]float64{1, 1, 1e9}, 1, 1, 1e9},
	} {
		if m := *median(tt.v); m != tt.mid {
			t.Errorf("median of %v is %v, want %v", tt.v, m, tt.mid)
		}
		if low, high := *least(tt.v), *most(tt.v); low != tt.low || high != tt.high {
			t.Errorf("range of %v is %v to %v", tt.v, low, high)
		}
	}
	if median(nil) != nil || least(nil) != nil || most(nil) != nil {
		t.Error("something comes of nothing")
	}
}

func TestMedianLeavesItsArgumentAlone(t *testing.T) {
	v := []float64{3, 1, 2}
	median(v)
	if v[0] != 3 || v[1] != 1 || v[2] != 2 {
		t.Errorf("sorted in place: %v", v)
	}
}

// rttSample is a repetition of n round trips.
func rttSample(impl, placement string, p50 float64, n int, took time.Duration) sample {
	return sample{
		spec:      spec{benchRTT, impl, waitSpin, 64, 1, 1},
		placement: placement,
		pass: pass{n: n, elapsed: took, cpu: 2 * took, mallocs: uint64(n) / 2,
			trips: &quantiles{p50, 2 * p50, 3 * p50}},
		canary: 100,
	}
}

func TestSummariseKeepsPlacementsApart(t *testing.T) {
	rows := summarise([]sample{
		rttSample("unix", "B", 3000, 1000, time.Second),
		rttSample("pipe", "B", 200, 1000, time.Second),
		rttSample("pipe", "C", 600, 1000, 3*time.Second),
		rttSample("pipe", "B", 240, 1000, time.Second),
		rttSample("pipe", "B", 220, 2000, time.Second),
		rttSample("pipe", "BC", 900, 1000, time.Second),
	})
	if len(rows) != 4 {
		t.Fatalf("%d rows, want 4: %+v", len(rows), rows)
	}
	r, ok := find(in(rows, "B"), spec{benchRTT, "pipe", waitSpin, 64, 1, 1})
	if !ok {
		t.Fatal("no row of the pipe in B")
	}
	if r.N != 3 || *r.P50 != 220 || *r.P50Min != 200 || *r.P50Max != 240 {
		t.Errorf("n %d, p50 %v (%v…%v)", r.N, *r.P50, *r.P50Min, *r.P50Max)
	}
	if r.Msgs != 1000 || r.MsgsMax != 2000 || r.Bytes != 64000 {
		t.Errorf("%v msg/s up to %v, %v B/s", r.Msgs, r.MsgsMax, r.Bytes)
	}
	if *r.CPU != 2e6 || r.Allocs != 0.5 || *r.Canary != 100 {
		t.Errorf("%v ns CPU, %v allocations, canary %v", *r.CPU, r.Allocs, *r.Canary)
	}
}

func TestSummariseLeavesTheStarvedOut(t *testing.T) {
	fed := rttSample("pipe", "B", 200, 1000, time.Second)
	hungry := rttSample("pipe", "B", 900, 1000, time.Second)
	hungry.pass.cpu = 1500 * time.Millisecond // of two seconds
	r := summarise([]sample{hungry, fed, hungry})[0]
	if *r.P50 != 200 || r.N != 1 || r.starved != 2 || r.Starved {
		t.Errorf("p50 %v of %d, %d starved; want the fed one alone", *r.P50, r.N, r.starved)
	}
	r = summarise([]sample{hungry, hungry})[0]
	if *r.P50 != 900 || r.N != 2 || r.starved != 2 || !r.Starved {
		t.Errorf("p50 %v of %d, %d starved; want what there is", *r.P50, r.N, r.starved)
	}
	hungry.Wait = waitBlock // who sleeps needs no CPU
	if hungry.starved() {
		t.Error("a sleeper is starved")
	}
}

func TestSummariseSaysWhatWasNotMeasured(t *testing.T) {
	s := rttSample("unix", noPlacement, 1, 10, time.Second)
	s.pass.trips, s.pass.cpu, s.canary = nil, 0, 0
	r := summarise([]sample{s})[0]
	if r.P50 != nil || r.P999 != nil || r.CPU != nil || r.Canary != nil || r.P50Min != nil {
		t.Errorf("figures out of nowhere: %+v", r)
	}
}

func TestScaleFitsTheBudget(t *testing.T) {
	for _, tt := range []struct {
		n            int
		took, budget time.Duration
		limit, want  int
	}{
		{100, time.Millisecond, 10 * time.Millisecond, 1 << 20, 1000},
		{100, time.Second, time.Millisecond, 1 << 20, minPass},
		{100, 0, time.Second, 500, 500},
		{1 << 20, time.Nanosecond, time.Hour, maxPass, maxPass},
	} {
		if got := scale(tt.n, tt.took, tt.budget, tt.limit); got != tt.want {
			t.Errorf("scale(%d, %v, %v, %d) = %d, want %d",
				tt.n, tt.took, tt.budget, tt.limit, got, tt.want)
		}
	}
}

func TestRecorderTellsTimeFromTicks(t *testing.T) {
	r := newRecorder(1000)
	r.start()
	for range 1000 {
		r.trip()
	}
	r.stop()
	if r.nsPerTicks <= 0 || math.IsInf(r.nsPerTicks, 0) {
		t.Fatalf("a tick takes %v ns", r.nsPerTicks)
	}
	// Replace what the loop found by something known.
	for i := range r.trips {
		r.trips[i] = uint32(i + 1)
	}
	r.nsPerTicks = 10
	q := r.quantiles()
	if q == nil {
		t.Fatal("no distribution")
	}
	for _, tt := range []struct{ got, want float64 }{{q.P50, 5000}, {q.P99, 9900}, {q.P999, 9990}} {
		if math.Abs(tt.got-tt.want) > tt.want/500 {
			t.Errorf("quantiles %+v, want %v for %v", *q, tt.want, tt.got)
		}
	}
	if newRecorder(1).quantiles() != nil {
		t.Error("a distribution of nothing")
	}
}

func TestRecorderKeepsTheLastOfMany(t *testing.T) {
	r := newRecorder(4)
	r.nsPerTicks = 1
	for i := range 10 {
		r.last = ticks()
		r.trip()
		r.trips[i&3] = uint32(i)
	}
	if q := r.quantiles(); q.P50 < 6 || r.n != 10 {
		t.Errorf("%d trips, quantiles %+v", r.n, *q)
	}
}
