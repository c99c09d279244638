//go:build linux

package ring_test

import (
	"runtime"
	"testing"

	"github.com/sluice-ipc/sluice/internal/race"
	"github.com/sluice-ipc/sluice/internal/wait"
	"github.com/sluice-ipc/sluice/ring"
)

type order struct {
	ID    uint64
	Price [5]float64
	Buy   bool
}

// Plain types and the zero-copy forms allocate nothing, and neither does putting
// bytes and strings.
func TestQueueNoAllocations(t *testing.T) {
	if race.Enabled {
		t.Skip("needs a build without the race detector, which allocates")
	}
	q := newQueue[order](t, &ring.QueueOptions{Capacity: 64})
	long := newQueue[[1000]byte](t, &ring.QueueOptions{ChunkSize: 100, Capacity: 16, Bytes: 16000})
	raw, text := newQueue[[]byte](t, nil), newQueue[string](t, nil)
	tasks := newJobs[order](t, nil)
	stamped := newQueue[order](t, &ring.QueueOptions{Stamp: true})
	guarded := newQueue[order](t, &ring.QueueOptions{Guard: true})
	drops := newQueue[order](t, &ring.QueueOptions{Capacity: 2, WhenFull: ring.DropOldest})
	in, out, buf := make([]order, 40), make([]order, 40), make([]byte, 5000)
	str := string(buf[:300])
	for name, f := range map[string]func(){
		"Put and Get":       func() { must0(q.Put(bg, in[0])); must(q.Get(bg)) },
		"TryPut and TryGet": func() { must0(q.TryPut(in[0])); must(q.TryGet()) },
		"full and empty": func() {
			for drops.Len() < 2 {
				drops.TryPut(in[0])
			}
			q.TryGet()
		},
		"PutBatch and GetBatch": func() {
			must(q.PutBatch(bg, in))
			for n := 0; n < len(in); {
				n += must(q.GetBatch(bg, out[n:]))
			}
		},
		"TryPutBatch and TryGetBatch": func() {
			must(q.TryPutBatch(in))
			for n := 0; n < len(in); {
				n += must(q.TryGetBatch(out[n:]))
			}
		},
		"Loan, Commit, Take and Release": func() {
			o := must(raw.Loan(bg, 1000))
			o.Bytes()[999]++
			must0(o.Commit(bg))
			m := must(raw.Take(bg))
			buf[0] = m.Bytes()[999]
			must0(m.Release())
		},
		"TryLoan, TryCommit, TryTake and Append": func() {
			must0(must(raw.TryLoan(5000)).TryCommit())
			m := must(raw.TryTake())
			must(m.Append(buf[:0]))
			must0(m.Release())
		},
		"Loan and Abort": func() { must0(must(raw.Loan(bg, 3000)).Abort()) },
		"Requeue and Value": func() {
			must0(q.Put(bg, in[0]))
			must0(must(q.Take(bg)).Requeue())
			m := must(q.Take(bg))
			must(q.Value(m))
			must0(m.Release())
		},
		"Put of bytes and strings": func() {
			must0(raw.Put(bg, buf))
			must0(text.TryPut(str))
			must0(must(raw.Take(bg)).Release())
			must0(must(text.Take(bg)).Release())
		},
		"Put over several chunks": func() {
			must0(long.Put(bg, [1000]byte{}))
			must0(must(long.Take(bg)).Release())
		},
		"with Stamp":    func() { must0(stamped.Put(bg, in[0])); must(stamped.Get(bg)) },
		"with Guard":    func() { must0(guarded.Put(bg, in[0])); must(guarded.Get(bg)) },
		"DropOldest":    func() { must0(drops.Put(bg, in[0])) },
		"Len and Flush": func() { q.Len(); q.Full(); must0(q.Flush(bg)) },
		"tasks": func() {
			must0(tasks.Put(bg, in[0]))
			must(tasks.Get(bg))
			must0(tasks.TaskDone())
			must0(tasks.Put(bg, in[0]))
			must0(must(tasks.Take(bg)).Release())
		},
	} {
		f() // what is allocated once is allocated now
		if n := testing.AllocsPerRun(1000, f); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

// That holds for calls that slept, too.
func TestQueueNoAllocationsAsleep(t *testing.T) {
	if race.Enabled {
		t.Skip("needs a build without the race detector, which allocates")
	}
	trips := 1000
	if testing.Short() {
		trips = 200
	}
	for name, o := range map[string]*ring.QueueOptions{
		"never": {Capacity: 1, Spin: ring.SpinNever}, "adaptive": {Capacity: 1},
	} {
		t.Run(name, func(t *testing.T) {
			there, back := newQueue[order](t, o), newQueue[order](t, o)
			echoed := blocked(func() error {
				for v, err := range there.All(bg) {
					// The answer comes when it is slept for, or nearly always:
					// who can run is let run first, and need not sleep then.
					seen := wait.Sleeps()
					for i := 0; i < 5000 && wait.Sleeps() == seen; i++ {
						runtime.Gosched()
					}
					if err == nil {
						err = back.Put(bg, v)
					}
					if err != nil {
						return err
					}
				}
				return nil
			})
			before := wait.Sleeps()
			trip := func() {
				for range 2 { // the second waits for room
					must0(there.Put(bg, order{}))
				}
				for range 2 {
					must(back.Get(bg))
				}
			}
			trip()
			if n := testing.AllocsPerRun(trips, trip); n != 0 {
				t.Errorf("%v allocations", n)
			}
			if n := wait.Sleeps() - before; n < uint64(trips)/2 {
				t.Errorf("it slept %d times only", n)
			}
			there.CloseSend()
			if err := <-echoed; err != nil {
				t.Error(err)
			}
		})
	}
}
