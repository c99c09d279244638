//go:build linux

package ring_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-ipc/sluice/internal/shmtest"
	"github.com/sluice-ipc/sluice/ring"
	"github.com/sluice-ipc/sluice/shm"
)

func init() {
	roles["flush-reader"] = flushReader
	roles["pass-queue"] = passQueue
}

// waitsOf starts a call of each kind that waits, on queues that are empty or full.
func waitsOf(ctx context.Context, t testing.TB, drained, filled *ring.Queue[int], tasks ring.JoinableQueue[int]) (all []chan error) {
	return []chan error{
		blocked(func() error { _, err := drained.Get(ctx); return err }),
		blocked(func() error { _, err := drained.Take(ctx); return err }),
		blocked(func() error { _, err := drained.GetBatch(ctx, make([]int, 3)); return err }),
		blocked(func() error {
			for _, err := range drained.All(ctx) {
				return err
			}
			return nil
		}),
		blocked(func() error { return filled.Put(ctx, 1) }),
		blocked(func() error { _, err := filled.PutBatch(ctx, []int{1, 2}); return err }),
		blocked(func() error {
			o, err := filled.Loan(ctx, 8)
			if err == nil {
				err = o.Commit(ctx)
				o.Abort()
			}
			return err
		}),
		blocked(func() error { return filled.Flush(ctx) }),
		blocked(func() error { return tasks.Join(ctx) }),
	}
}

// waiting makes the queues for waitsOf.
func waiting(t testing.TB, spin ring.Spin) (drained, filled *ring.Queue[int], tasks ring.JoinableQueue[int]) {
	o := &ring.QueueOptions{Capacity: 2, Spin: spin, Hold: 2, Lanes: 2, Segment: shm.Options{MaxParticipants: 4}}
	drained, filled, tasks = newQueue[int](t, o), newQueue[int](t, o), newJobs[int](t, o)
	filled.PutBatch(bg, []int{1, 2})
	tasks.Put(bg, 1)
	return drained, filled, tasks
}

func TestCloseWakesEveryLocalWaiter(t *testing.T) {
	shmtest.NoLeaks(t)
	for name, spin := range spins {
		t.Run(name, func(t *testing.T) {
			for range 10 {
				drained, filled, tasks := waiting(t, spin)
				others := []*ring.Queue[int]{openAgain(t, drained, nil), openAgain(t, filled, nil)}
				elsewhere := blocked(func() error { _, err := others[0].Get(bg); return err })
				waits := waitsOf(bg, t, drained, filled, tasks)
				shmtest.Eventually(t, func() bool {
					return drained.Stats().ConsumersWaiting == 5 && filled.Stats().ProducersWaiting == 3
				})
				for _, q := range []*ring.Queue[int]{drained, filled, tasks.Queue} {
					q.Close()
				}
				for i, c := range waits {
					if err := <-c; !errors.Is(err, ring.ErrClosed) || !errors.Is(err, os.ErrClosed) {
						t.Fatalf("call %d under Close = %v", i, err)
					}
				}
				// It is a matter of this handle's only.
				if err := others[0].Put(bg, 3); err != nil {
					t.Fatal(err)
				}
				if err := <-elsewhere; err != nil {
					t.Fatal(err)
				}
				if v := get(t, others[1]); v != 1 {
					t.Fatal(v)
				}
			}
		})
	}
}

func TestContextEndsEveryWait(t *testing.T) {
	for name, spin := range spins {
		t.Run(name, func(t *testing.T) {
			for _, deadline := range []bool{false, true} {
				drained, filled, tasks := waiting(t, spin)
				ctx, cancel := context.WithCancel(bg)
				want := context.Canceled
				if deadline {
					ctx, cancel = context.WithTimeout(bg, 10*time.Millisecond)
					want = context.DeadlineExceeded
				}
				waits := waitsOf(ctx, t, drained, filled, tasks)
				if !deadline {
					cancel()
				}
				for i, c := range waits {
					err := <-c
					cond := ring.ErrEmpty
					if i >= 4 {
						cond = ring.ErrFull
					}
					if !errors.Is(err, want) || i < 7 && !errors.Is(err, cond) {
						t.Fatalf("call %d = %v", i, err)
					}
				}
				cancel()
				if drained.Len() != 0 || filled.Len() != 2 || tasks.Unfinished() != 1 {
					t.Fatal("something was put or taken")
				}
				allFree(t, drained)
			}
		})
	}
}

// After Close every call says so, and closing again is fine.
func TestCallsAfterClose(t *testing.T) {
	q := newJobs[int](t, nil)
	q.Put(bg, 1)
	name := q.Name()
	for range 3 {
		if err := q.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for i, err := range []error{
		q.Put(bg, 1), q.TryPut(1), second(q.PutBatch(bg, []int{1})), second(q.TryPutBatch([]int{1})),
		second(q.Get(bg)), second(q.TryGet()), second(q.GetBatch(bg, make([]int, 1))), second(q.TryGetBatch(make([]int, 1))),
		second(q.Take(bg)), second(q.TryTake()), second(q.Loan(bg, 8)), second(q.TryLoan(8)),
		q.CloseSend(), q.Flush(bg), q.Join(bg), q.TaskDone(),
	} {
		if !errors.Is(err, ring.ErrClosed) || !errors.Is(err, os.ErrClosed) || !strings.Contains(err.Error(), name) {
			t.Errorf("call %d after Close = %v", i, err)
		}
	}
	n := 0
	for _, err := range q.All(bg) {
		if n++; !errors.Is(err, ring.ErrClosed) {
			t.Error(err)
		}
	}
	if n != 1 {
		t.Errorf("All gives %d pairs after Close", n)
	}
	if _, err := q.Segment().File(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("the segment is open: %v", err)
	}
}

// Close may come at any time, from any goroutine: nothing touches memory that is
// gone, and nobody waits for ever.
func TestCloseBesideCalls(t *testing.T) {
	shmtest.NoLeaks(t)
	rounds := 200
	if testing.Short() {
		rounds = 20
	}
	for range rounds {
		q := must(ring.AnonymousQueue[int](t.Name(), &ring.QueueOptions{Capacity: 2, Segment: shm.Options{MaxParticipants: 2}}))
		var wg sync.WaitGroup
		for _, f := range []func() error{
			func() error { return q.Put(bg, 1) },
			func() error { _, err := q.Get(bg); return err },
			func() error {
				m, err := q.Take(bg)
				if err == nil {
					err = m.Requeue()
				}
				return err
			},
			func() error {
				o, err := q.Loan(bg, 8)
				if err == nil {
					if err = o.TryCommit(); err != nil {
						o.Abort()
					}
				}
				return err
			},
			func() error { q.Stats(); q.Len(); return q.Put(bg, 2) },
			func() error { _, err := q.PutBatch(bg, make([]int, 40)); return err },
			func() error { _, err := q.GetBatch(bg, make([]int, 40)); return err },
		} {
			wg.Go(func() {
				for {
					if err := f(); errors.Is(err, ring.ErrClosed) {
						return
					} else if err != nil && err != ring.ErrFull {
						t.Error(err)
						return
					}
				}
			})
		}
		q.Close()
		wg.Wait()
	}
}

// flushReader takes as many messages as it is told to.
func flushReader(args []string) int {
	q := must(ring.OpenQueue[int](args[0], nil))
	for {
		line, ok := shmtest.Hear()
		if !ok {
			return 0
		}
		if line == "take" {
			must(q.Take(bg))
		} else {
			must(q.Get(bg))
		}
		shmtest.Say("done")
	}
}

// Flush returns when what this handle put has been taken, whoever took it and
// whatever others have put.
func TestFlush(t *testing.T) {
	name := queueName(t)
	q := must(ring.CreateQueue[int](name, &ring.QueueOptions{Spin: ring.SpinNever, Lanes: 3}))
	defer q.Close()
	other := must(ring.OpenQueue[int](name, nil))
	defer other.Close()
	if err := q.Flush(ended()); err != nil {
		t.Fatalf("Flush of nothing = %v", err)
	}
	other.Put(bg, 0)
	q.PutBatch(bg, []int{1, 2})
	other.Put(bg, 3)
	c := shmtest.Start(t, "flush-reader", name)
	flushing := asleepIn(t, func() error { return q.Flush(bg) })
	for i := range 3 {
		if err := q.Flush(ended()); !errors.Is(err, context.Canceled) || errors.Is(err, ring.ErrFull) || !strings.Contains(err.Error(), name) {
			t.Fatalf("Flush after %d = %v", i, err)
		}
		c.Send("%s", []string{"get", "get", "take"}[i])
		c.Expect("done")
	}
	if err := <-flushing; err != nil {
		t.Fatal(err)
	}
	if err := q.Flush(ended()); err != nil {
		t.Fatal(err)
	}
	c.Kill() // what it held comes again, and was taken once
	if err := q.Flush(ended()); err != nil {
		t.Fatal(err)
	}
	q.Segment().CheckPeers()
	if m := must(q.Take(bg)); must(q.Value(m)) != 2 || !m.Redelivered() {
		t.Error("another message comes")
	}
}

func TestQueueNames(t *testing.T) {
	name := queueName(t)
	if _, err := ring.OpenQueue[int](name, nil); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("Open of nothing = %v", err)
	}
	a := must(ring.OpenOrCreateQueue[int](name, &ring.QueueOptions{Capacity: 3, Segment: shm.Options{MaxParticipants: 3}}))
	defer a.Close()
	b := must(ring.OpenOrCreateQueue[int](name, &ring.QueueOptions{Capacity: 99}))
	defer b.Close()
	if a.Cap() != 3 || b.Cap() != 3 || b.Name() != name || !a.Segment().Created() || b.Segment().Created() {
		t.Error("it is not one queue")
	}
	if _, err := ring.CreateQueue[int](name, nil); !errors.Is(err, os.ErrExist) {
		t.Errorf("Create of what is there = %v", err)
	}
	a.Put(bg, 7)
	c := must(ring.OpenQueue[int](name, nil))
	if v := get(t, c); v != 7 {
		t.Error(v)
	}
	if _, err := ring.OpenQueue[int](name, nil); !errors.Is(err, shm.ErrFull) || !strings.Contains(err.Error(), name) {
		t.Errorf("a participant too many = %v", err)
	}
	c.Close()
	d, err := ring.OpenQueue[int](name, nil)
	if err != nil {
		t.Fatal(err)
	}
	d.Close()
	tasks := queueName(t)
	for range 2 {
		q := must(ring.OpenOrCreateJoinableQueue[int](tasks, nil))
		defer q.Close()
	}
	q := must(ring.OpenJoinableQueue[int](tasks, nil))
	q.Close()
	if _, err := ring.CreateJoinableQueue[int](tasks, nil); !errors.Is(err, os.ErrExist) {
		t.Error(err)
	}
	if _, err := ring.OpenQueue[int](tasks, nil); err == nil {
		t.Error("a joinable queue is opened as a plain one")
	}
}

// passQueue puts what it was told, and passes its queue on until told nothing.
func passQueue(args []string) int {
	q := must(ring.InheritedQueue[string]("q", nil))
	if len(args) > 1 {
		c := exec.Command(os.Args[0], append([]string{"-test.run=^$", "--"}, args[1:]...)...)
		c.Env = append(os.Environ(), "SLUICE_TEST_ROLE=pass-queue")
		must0(shm.Pass(c, "q", q))
		must0(shm.Start(c))
		must0(c.Wait())
	}
	must0(q.Put(bg, args[0]))
	q.Close()
	return 0
}

// A child has a queue of its own, and can pass it on; what it has put stays when
// all of them are gone.
func TestPassQueue(t *testing.T) {
	q := newQueue[string](t, nil)
	c := shmtest.Command(t, "pass-queue", "child", "grandchild")
	c.Launch = shm.Start
	must0(shm.Pass(c.Cmd, "q", q))
	c.Start()
	c.Exit()
	if a, b := get(t, q), get(t, q); a != "grandchild" || b != "child" {
		t.Errorf("%q, then %q", a, b)
	}
	if n := len(q.Stats().Participants); n != 1 {
		t.Errorf("%d participants", n)
	}
	q.Close()
	if err := shm.Pass(shmtest.Command(t, "pass-queue").Cmd, "q", q); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Pass of a closed queue = %v", err)
	}
	if _, err := ring.InheritedQueue[string]("q", nil); !errors.Is(err, shm.ErrNotFound) {
		t.Errorf("InheritedQueue of nothing = %v", err)
	}
}
