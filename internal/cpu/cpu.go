package cpu

import (
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/cpuid/v2"
)

// PauseTime returns how long one spin-loop hint takes here, at least one
// nanosecond. It differs by a factor of ten between processors and is measured
// once, on first use (some 50 µs).
var PauseTime = sync.OnceValue(func() time.Duration {
	const n = 64
	best := time.Hour
	for range 8 { // the fastest of several: a preempted try reads long
		start := time.Now()
		Pause(n)
		best = min(best, time.Since(start))
	}
	return max(best/n, 1)
})

// PerMicrosecond returns how many hints take about one microsecond, and at
// least one.
func PerMicrosecond() uint32 {
	return uint32(max(time.Microsecond/PauseTime(), 1))
}

// Count returns how many processors this process may run on, as the scheduler
// saw it at start.
func Count() int { return runtime.NumCPU() }

// Info is what the processor says about itself.
type Info struct {
	Brand     string // marketing name, or the architecture when it has none
	CacheLine int    // bytes; 0 when unknown
	Waitpkg   bool   // UMWAIT and TPAUSE
	Features  []string
}

// Describe asks the processor.
func Describe() Info {
	c := cpuid.CPU
	brand := strings.TrimSpace(c.BrandName)
	if brand == "" {
		brand = runtime.GOARCH
	}
	return Info{
		Brand:     brand,
		CacheLine: c.CacheLine,
		Waitpkg:   c.Supports(cpuid.WAITPKG),
		Features:  c.FeatureSet(),
	}
}
