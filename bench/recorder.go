package main

import (
	"math"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// maxSamples bounds a recorder's memory. Longer passes keep their last ones.
const maxSamples = 1 << 22

// A recorder notes how long each round trip took. Inside the loop it costs one
// read of the processor's counter and one store; what the counter means is
// found out afterwards, by the clock.
type recorder struct {
	trips []uint32 // in ticks; a power of two of them
	n     int      // trips so far
	last  uint64   // the counter after the latest

	began      time.Time
	firstTick  uint64
	nsPerTicks float64
}

// newRecorder returns one for n trips, with its memory touched.
func newRecorder(n int) *recorder {
	size := 1
	for size < n && size < maxSamples {
		size *= 2
	}
	trips := make([]uint32, size)
	for i := range trips {
		trips[i] = 1
	}
	return &recorder{trips: trips}
}

func (r *recorder) start() {
	r.began = time.Now()
	r.firstTick = ticks()
	r.last = r.firstTick
}

// trip notes the end of a round trip, which is the start of the next.
func (r *recorder) trip() {
	now := ticks()
	r.trips[r.n&(len(r.trips)-1)] = uint32(min(now-r.last, math.MaxUint32))
	r.last = now
	r.n++
}

// stop ends the pass and works out how long a tick is.
func (r *recorder) stop() {
	elapsed := time.Since(r.began)
	if span := ticks() - r.firstTick; span > 0 {
		r.nsPerTicks = float64(elapsed) / float64(span)
	}
}

// A quantiles is the distribution of a pass, in nanoseconds.
type quantiles struct {
	P50  float64 `json:"p50"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p999"`
}

// quantiles returns the distribution of the trips, to three digits. nil: there
// were none.
func (r *recorder) quantiles() *quantiles {
	if r.n == 0 {
		return nil
	}
	const longest = int64(time.Hour)
	h := hdrhistogram.New(1, longest, 3)
	for _, t := range r.trips[:min(r.n, len(r.trips))] {
		ns := int64(math.Round(float64(t) * r.nsPerTicks))
		h.RecordValue(min(max(ns, 1), longest)) // in range, so it cannot fail
	}
	at := func(q float64) float64 { return float64(h.ValueAtQuantile(q)) }
	return &quantiles{at(50), at(99), at(99.9)}
}
