//go:build linux

package value_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-ipc/sluice/internal/shmtest"
	"github.com/sluice-ipc/sluice/value"
)

// A reader beside writers that store without a pause gets a value after a bounded
// number of tries: they pause for it when it asks.
func TestWritersPauseForAReader(t *testing.T) {
	for _, size := range []string{"64B", "4KiB", "64KiB"} {
		for _, writers := range []int{1, 2} {
			for _, fair := range []int{1, 8} {
				t.Run(fmt.Sprintf("%s/%d writers/asking after %d", size, writers, fair), func(t *testing.T) {
					sizeNamed(size).starve(t, size, writers, fair)
				})
			}
		}
	}
}

func starveFor[T payload](t *testing.T, size string, writers, fair int) {
	name := fresh(t)
	r := must(value.CreateRecord(name, fill[T](0), nil))
	defer r.Close()
	for range writers {
		shmtest.Start(t, "record-store", size, name).Expect("writing")
	}
	value.Impatient(r, fair)
	loads := fewer(5000)
	tries, most, asked := 0, 0, 0
	var longest time.Duration
	begin, first := time.Now(), r.Version()
	for range loads {
		start := time.Now()
		_, _, n := value.LoadCounted(r)
		longest = max(longest, time.Since(start))
		tries, most = tries+n, max(most, n)
		if n > fair {
			asked++
		}
	}
	stores := r.Version() - first
	t.Logf("%d loads took %d tries, one of them %d and at most %v; %d asked; a store took %v beside them",
		loads, tries, most, longest, asked, time.Since(begin)/time.Duration(stores+1))
	if most >= fair+value.LastTry {
		t.Error("a load gave up")
	}
}

// A reader that is overtaken again and again asks, as long as it has no value.
func TestReaderAsks(t *testing.T) {
	r := newRecord(t, trioOf(0))
	value.NeverWhole(r)
	var enough atomic.Bool
	var reader sync.WaitGroup
	defer reader.Wait()
	defer enough.Store(true)
	reader.Go(func() {
		for !enough.Load() {
			r.Load()
		}
	})
	shmtest.Eventually(t, func() bool { return hungry(r).Load() != 0 }, "the reader asks")
	enough.Store(true)
	reader.Wait()
	if h := hungry(r).Load(); h != 0 {
		t.Errorf("a reader that asks no more has left %#x", h)
	}
}
