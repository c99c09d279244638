//go:build linux

package value_test

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/sluice-ipc/sluice/internal/mem"
	"github.com/sluice-ipc/sluice/internal/shmtest"
	"github.com/sluice-ipc/sluice/shm"
	"github.com/sluice-ipc/sluice/value"
)

// Whatever a peer writes into the memory, before a call or in the middle of it, no
// call panics, faults, or stays for longer than its context allows.
func TestScribbledNumbers(t *testing.T) {
	seconds := 3 * time.Second
	if testing.Short() {
		seconds = time.Second / 2
	}
	s := rawSegment(t, 4096)
	v := must(value.At[int32](s, 0, nil))
	d := must(value.At[float64](s, 128, nil))
	a := must(value.ArrayAt[uint8](s, 256, 77, nil))
	b := must(value.ArrayAt[float32](s, 1024, 99, nil))
	var w sync.WaitGroup
	stop := make(chan bool)
	for seed := range uint64(2) {
		w.Go(func() { scribble(s, rand.New(rand.NewPCG(seed, 1)), stop) })
	}
	shmtest.Eventually(t, func() bool { return mem.Uint64(s.Data(), 2048).Load() != 0 })
	calls := 0
	for begin := time.Now(); time.Since(begin) < seconds; calls++ {
		ctx, cancel := context.WithTimeout(bg, time.Millisecond)
		v.Add(1)
		v.CompareAndSwap(v.Load(), 3)
		value.Or(v, value.And(v, 7))
		d.Update(func(n float64) float64 { return n * 2 })
		v.Wait(ctx, v.Load())
		a.AddAt(calls%77, 1)
		a.Set(76, a.At(calls%77))
		b.AddAt(98, 1)
		a.CopyIn(ctx, 3, make([]uint8, 70))
		a.Snapshot(ctx, 0, 77)
		value.CString(ctx, a)
		b.With(ctx, func(items []float32) error { items[98]++; return nil })
		b.Apply(func([]float32) error { return nil })
		if a.Len() != 77 || len(must(b.View()).Slice()) != 99 {
			t.Fatal("a length was believed")
		}
		a.Mutex().MarkConsistent()
		_, _ = v.String(), a.String()
		if x, err := value.ArrayAt[uint8](s, 256, 77, nil); err == nil && x.Len() != 77 {
			t.Fatal("a length was believed")
		}
		value.At[int32](s, 0, nil)
		cancel()
	}
	close(stop)
	w.Wait()
	t.Logf("%d rounds", calls)
}

// scribble writes nonsense over all of a segment, and what makes more sense than
// that: participants, small numbers, flags.
func scribble(s *shm.Segment, r *rand.Rand, stop chan bool) {
	for {
		select {
		case <-stop:
			return
		default:
		}
		n := r.Uint64()
		switch r.IntN(6) {
		case 0:
			n = uint64(s.ID())
		case 1:
			n = 0
		case 2:
			n = n&3<<48 | uint64(s.ID())
		case 3:
			n %= 600
		case 4:
			n = 1 << (n % 64)
		}
		at := r.IntN(512)
		if r.IntN(2) == 0 {
			at = []int{1, 2, 17, 33, 34, 48, 49, 50, 129, 130, 144, 145, 146}[r.IntN(13)]
		}
		mem.Uint64(s.Data(), 8*at).Store(n)
	}
}
