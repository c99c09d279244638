package main

import (
	"fmt"
	"math"
	"os"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	if env := os.Getenv(childEnv); env != "" {
		os.Exit(runChild(env))
	}
	if os.Getenv("GORACE") == "" {
		os.Setenv("GORACE", "atexit_sleep_ms=0") // children under the race detector leave at once
	}
	if os.Getenv("SLUICE_TEST_EXEC") != "" {
		// Emulated: what can be started is not the executable.
		program = func() (string, error) { return os.Args[0], nil }
	}
	os.Exit(m.Run())
}

// BenchmarkRTT is a round trip between two processes.
func BenchmarkRTT(b *testing.B) { benchmarks(b, benchRTT) }

// BenchmarkThroughput is a message from one process to another that is busy
// receiving.
func BenchmarkThroughput(b *testing.B) { benchmarks(b, benchThroughput) }

// BenchmarkFanIn is a message from one of four processes to one of four others.
func BenchmarkFanIn(b *testing.B) { benchmarks(b, benchFanIn) }

// BenchmarkFanInKill is the same while one of them dies every 100 ms.
func BenchmarkFanInKill(b *testing.B) { benchmarks(b, benchFanInKill) }

// BenchmarkOps is one operation on a lock or value that nobody else uses.
func BenchmarkOps(b *testing.B) { benchmarks(b, benchOps) }

// BenchmarkCount is one of two processes' turns at a common number. Its b.N are
// nanoseconds.
func BenchmarkCount(b *testing.B) { benchmarks(b, benchCount) }

// benchmarks runs what the report runs, in names that benchstat can group.
// Placement moves: compare only results whose canary-GB/s are of one class.
func benchmarks(b *testing.B, bench string) {
	at := choosePlace(nil)
	for _, s := range catalog(fullSizes) {
		if s.Bench != bench || !at.possible(s) {
			continue
		}
		name := fmt.Sprintf("impl=%s/wait=%s/size=%d", s.Impl, s.Wait, s.Size)
		if s.fan() {
			name += fmt.Sprintf("/producers=%d/consumers=%d", s.Producers, s.Consumers)
		}
		b.Run(name, func(b *testing.B) { benchmark(b, s, at) })
	}
}

func benchmark(b *testing.B, s spec, at place) {
	g, err := newGroup(s, at)
	if lacking(err) {
		b.Skipf("missing: %v", err)
	}
	if err != nil {
		b.Fatal(err)
	}
	grace := time.Duration(0)
	defer func() { g.close(grace) }()
	if _, err := g.run(min(b.N, 100), 0); err != nil { // warm up
		b.Fatal(err)
	}
	b.ResetTimer()
	sm, err := g.sample(b.N, patience)
	b.StopTimer()
	if err != nil {
		b.Fatal(err)
	}
	grace = patience
	report(b, sm)
}

// report replaces what the framework saw, which is the parent's wait, by what
// the children measured. What was not measured is left out.
func report(b *testing.B, sm sample) {
	b.ReportMetric(1e9/sm.msgs(), "ns/op")
	metric := func(v float64, unit string) {
		if !math.IsNaN(v) && v != 0 {
			b.ReportMetric(v, unit)
		}
	}
	b.ReportMetric(sm.allocs(), "mallocs/op")
	metric(sm.cpu(), "cpu-ns/op")
	metric(sm.bandwidth, "canary-GB/s")
	metric(sm.trips().P50, "p50-ns")
	metric(sm.trips().P99, "p99-ns")
	metric(sm.trips().P999, "p999-ns")
	metric(float64(sm.pass.kills), "kills")
	metric(sm.share(), "least-share")
	if sm.Bench != benchRTT && sm.Bench != benchOps && sm.Bench != benchCount {
		metric(sm.msgs()*float64(sm.Size)/1e6, "MB/s")
	}
}
