package cpu

import (
	"bytes"
	"reflect"
	"testing"
	"time"
)

func TestPauseTakesTimeInProportion(t *testing.T) {
	Pause(0) // must return
	best := func(n uint32) time.Duration {
		b := time.Hour
		for range 200 {
			start := time.Now()
			Pause(n)
			b = min(b, time.Since(start))
		}
		return b
	}
	// No upper bound: only that more hints take longer than fewer.
	if few, many := best(1), best(2000); many <= few {
		t.Fatalf("2000 hints took %v, one took %v", many, few)
	}
}

func TestPerMicrosecondIsUsable(t *testing.T) {
	if n := PerMicrosecond(); n < 1 || n > 10000 {
		t.Fatalf("PerMicrosecond() = %d", n)
	}
	t.Logf("one hint takes %v, %d in a microsecond", PauseTime(), PerMicrosecond())
}

func TestDescribeNamesTheProcessor(t *testing.T) {
	if i := Describe(); i.Brand == "" {
		t.Fatalf("no brand in %+v", i)
	} else {
		t.Logf("%s, cache line %d, waitpkg %v", i.Brand, i.CacheLine, i.Waitpkg)
	}
}

// Hints do nothing to memory, and may be given about any address.
func TestHintsAreHarmless(t *testing.T) {
	b := bytes.Repeat([]byte("hints"), 1000)
	want := bytes.Clone(b)
	p := reflect.ValueOf(b).Pointer()
	for _, at := range []uintptr{p, p + 1, 0, ^uintptr(0) - 100} {
		PrefetchW(at, at)
		Prefetch(at, at)
		for _, n := range []uintptr{0, 1, 64, 65, 4000} {
			Demote(at, n)
		}
	}
	if !bytes.Equal(b, want) {
		t.Error("memory has changed")
	}
}
