//go:build linux

package ring_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/sluice-ipc/sluice/internal/shmtest"
	"github.com/sluice-ipc/sluice/internal/wait"
	"github.com/sluice-ipc/sluice/ring"
	"github.com/sluice-ipc/sluice/shm"
)

func init() {
	roles["worker"] = worker
	roles["drop-task"] = dropTask
}

func newJobs[T any](t testing.TB, o *ring.QueueOptions) ring.JoinableQueue[T] {
	t.Helper()
	q, err := ring.AnonymousJoinableQueue[T](t.Name(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { q.Close() })
	return q
}

// again attaches to a joinable queue a second time.
func again[T any](t testing.TB, q ring.JoinableQueue[T]) ring.JoinableQueue[T] {
	t.Helper()
	f := must(q.Segment().File())
	defer f.Close()
	other := must(ring.JoinableQueueFromFile[T](f, nil))
	t.Cleanup(func() { other.Close() })
	return other
}

// joined fails unless Join returns at once.
func joined[T any](t testing.TB, q ring.JoinableQueue[T]) {
	t.Helper()
	if err := q.Join(ended()); err != nil {
		t.Fatalf("Join = %v, with %d unfinished", err, q.Unfinished())
	}
}

// busy fails unless Join has to wait.
func busy[T any](t testing.TB, q ring.JoinableQueue[T], unfinished int) {
	t.Helper()
	if err := q.Join(ended()); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), q.Name()) {
		t.Fatalf("Join = %v with %d unfinished", err, q.Unfinished())
	}
	if n := q.Unfinished(); n != unfinished || q.Stats().Unfinished != n {
		t.Fatalf("%d unfinished, want %d", n, unfinished)
	}
}

func TestTasks(t *testing.T) {
	for name, start := range queueStarts(8) {
		t.Run(name, func(t *testing.T) {
			q := newJobs[string](t, ring.QueueOptions{Capacity: 8, ChunkSize: 4}.StartAt(start))
			other := again(t, q)
			joined(t, q)
			for range 3 { // more than once around
				for i, text := range []string{"a", "longer than a chunk", ""} {
					q.Put(bg, text)
					busy(t, q, i+1)
				}
				for i := range 3 {
					if _, err := other.Get(bg); err != nil {
						t.Fatal(err)
					}
					busy(t, other, 3-i)
					if err := other.TaskDone(); err != nil {
						t.Fatal(err)
					}
				}
				joined(t, q)
				joined(t, other)
			}
			for _, p := range []ring.JoinableQueue[string]{q, other} {
				if err := p.TaskDone(); !errors.Is(err, ring.ErrTooManyDone) || !strings.Contains(err.Error(), q.Name()) {
					t.Errorf("TaskDone without a task = %v", err)
				}
			}
			allFree(t, q.Queue)
		})
	}
}

// Only who has got a task can finish it.
func TestTaskDoneIsForWhoGotIt(t *testing.T) {
	q := newJobs[int](t, nil)
	other := again(t, q)
	q.Put(bg, 1)
	if err := q.TaskDone(); !errors.Is(err, ring.ErrTooManyDone) {
		t.Errorf("TaskDone before a Get = %v", err)
	}
	must(q.Get(bg))
	if err := other.TaskDone(); !errors.Is(err, ring.ErrTooManyDone) {
		t.Errorf("TaskDone of another's task = %v", err)
	}
	busy(t, q, 1)
	if err := q.TaskDone(); err != nil {
		t.Error(err)
	}
	joined(t, other)
}

// Taken tasks are finished by Release, each for itself, and go on by Requeue.
func TestTakenTasks(t *testing.T) {
	q := newJobs[int](t, nil)
	q.PutBatch(bg, []int{0, 1, 2})
	a, b := must(q.Take(bg)), must(q.Take(bg))
	if err := q.TaskDone(); !errors.Is(err, ring.ErrTooManyDone) {
		t.Errorf("TaskDone of what was taken = %v", err)
	}
	b.Release()
	busy(t, q, 2)
	a.Requeue()
	busy(t, q, 2)
	for i := range 2 {
		got := make([]int, 3)
		if n, err := q.GetBatch(bg, got); n != 1 || err != nil || got[0] != 2*i {
			t.Fatal(got[:n], err)
		}
	}
	busy(t, q, 2)
	for range 2 {
		if err := q.TaskDone(); err != nil {
			t.Fatal(err)
		}
	}
	joined(t, q)
	if err := a.Release(); !errors.Is(err, ring.ErrNotHeld) {
		t.Error(err)
	}
	joined(t, q)
}

// Close puts back what was not finished, also beside a Get.
func TestCloseGivesTasksBack(t *testing.T) {
	q := newJobs[int](t, &ring.QueueOptions{Capacity: 100, Hold: 100})
	for range 100 {
		q.PutBatch(bg, []int{0, 1, 2, 3})
		other := again(t, q)
		must(other.Get(bg))
		var wg sync.WaitGroup
		got := 0
		wg.Go(func() {
			for {
				if _, err := other.TryGet(); err != nil {
					if !errors.Is(err, ring.ErrClosed) && err != ring.ErrEmpty {
						t.Error(err)
					}
					return
				}
				got++
			}
		})
		other.Close()
		wg.Wait()
		if err := other.TaskDone(); !errors.Is(err, ring.ErrClosed) {
			t.Fatalf("TaskDone after Close = %v", err)
		}
		if s := q.Stats(); s.Unfinished != 4 || s.Depth != 4 || len(s.Participants) != 1 {
			t.Fatalf("after %d: %+v", got, s)
		}
		for range 4 {
			must(q.TryGet())
			must0(q.TaskDone())
		}
		joined(t, q)
	}
	allFree(t, q.Queue)
}

// A Get that returns an error has got no task, and has finished the one that
// could not be decoded.
func TestUndecodableTask(t *testing.T) {
	q := newJobs[map[string]int](t, nil)
	q.Put(bg, map[string]int{"a": 1})
	o := must(q.Loan(bg, 3))
	copy(o.Bytes(), "\xff\xff\xff")
	o.Commit(bg)
	q.Put(bg, map[string]int{"b": 1})
	must(q.Get(bg))
	var decode *ring.DecodeError
	if _, err := q.Get(bg); !errors.As(err, &decode) {
		t.Fatal(err)
	}
	busy(t, q, 2)
	must(q.Get(bg))
	for range 2 {
		if err := q.TaskDone(); err != nil {
			t.Fatal(err)
		}
	}
	joined(t, q)
	if err := q.TaskDone(); !errors.Is(err, ring.ErrTooManyDone) {
		t.Error(err)
	}
	if err := q.Put(bg, nil); err != nil {
		t.Fatal(err)
	}
	busy(t, q, 1)
}

// What could not be encoded is no task.
func TestUnencodableTask(t *testing.T) {
	q := newJobs[any](t, nil)
	if err := q.Put(bg, make(chan int)); err == nil {
		t.Fatal("a channel is encoded")
	}
	joined(t, q)
}

// A dropped task is a finished one.
func TestDroppedTasks(t *testing.T) {
	for when, left := range map[ring.WhenFull]int{ring.DropNewest: 2, ring.DropOldest: 2, ring.Fail: 2} {
		q := newJobs[int](t, &ring.QueueOptions{Capacity: 2, WhenFull: when})
		for i := range 5 {
			q.Put(bg, i)
		}
		busy(t, q, left)
		for range left {
			must(q.Get(bg))
			must0(q.TaskDone())
		}
		joined(t, q)
	}
}

// asleepIn runs f in a goroutine and waits until it sleeps.
func asleepIn(t testing.TB, f func() error) chan error {
	t.Helper()
	before := wait.Sleeps()
	out := blocked(f)
	shmtest.Eventually(t, func() bool { return wait.Sleeps() > before })
	return out
}

// All who wait return when the last task is finished, even when there is the
// next one before they look.
func TestJoinSeesEveryZero(t *testing.T) {
	for name, start := range queueStarts(4) {
		t.Run(name, func(t *testing.T) {
			q := newJobs[int](t, ring.QueueOptions{Capacity: 4, Spin: ring.SpinNever}.StartAt(start))
			other := again(t, q)
			for range 20 {
				q.Put(bg, 1)
				must(q.Get(bg))
				var joining []chan error
				for range 3 {
					joining = append(joining, asleepIn(t, func() error { return q.Join(bg) }))
				}
				if err := q.TaskDone(); err != nil {
					t.Fatal(err)
				}
				q.Put(bg, 2)
				for _, j := range joining {
					if err := <-j; err != nil {
						t.Fatal(err)
					}
				}
				busy(t, q, 1) // a zero of before is none
				must(other.Get(bg))
				busy(t, other, 1)
				must0(other.TaskDone())
			}
		})
	}
}

// While somebody waits, a task that is not the last wakes nobody.
func TestJoinSleepsThroughTasks(t *testing.T) {
	q := newJobs[int](t, &ring.QueueOptions{Spin: ring.SpinNever})
	q.Put(bg, 0)
	joining := asleepIn(t, func() error { return q.Join(bg) })
	before := wait.Sleeps()
	for i := range 1000 {
		q.Put(bg, i)
		must(q.Get(bg))
		must0(q.TaskDone())
	}
	if n := wait.Sleeps() - before; n > 100 {
		t.Errorf("who waits went to sleep %d times", n)
	}
	must(q.Get(bg))
	must0(q.TaskDone())
	if err := <-joining; err != nil {
		t.Fatal(err)
	}
}

func TestJoinEnds(t *testing.T) {
	for name, spin := range spins {
		t.Run(name, func(t *testing.T) {
			q := newJobs[int](t, &ring.QueueOptions{Spin: spin})
			q.Put(bg, 1)
			ctx, cancel := context.WithCancel(bg)
			joining := blocked(func() error { return q.Join(ctx) })
			cancel()
			if err := <-joining; !errors.Is(err, context.Canceled) {
				t.Fatalf("Join = %v", err)
			}
			joining = blocked(func() error { return q.Join(bg) })
			q.Close()
			if err := <-joining; !errors.Is(err, ring.ErrClosed) {
				t.Fatalf("Join under Close = %v", err)
			}
			if err := q.Join(bg); !errors.Is(err, ring.ErrClosed) || q.Unfinished() != 0 {
				t.Fatalf("Join after Close = %v", err)
			}
		})
	}
}

// worker doubles numbers until the end.
func worker(args []string) int {
	q := must(ring.InheritedJoinableQueue[int]("tasks", nil))
	out := must(ring.InheritedQueue[int]("results", nil))
	for v, err := range q.All(bg) {
		if err != nil {
			panic(err)
		}
		if err := out.Put(bg, 2*v); err != nil {
			panic(err)
		}
		if err := q.TaskDone(); err != nil {
			panic(err)
		}
	}
	q.Close()
	out.Close()
	return 0
}

// As Python's documentation has it: workers, tasks, Join, results.
func TestWorkerProcesses(t *testing.T) {
	q := newJobs[int](t, nil)
	out := newQueue[int](t, nil)
	var workers []*shmtest.Child
	for range 3 {
		c := shmtest.Command(t, "worker")
		c.Launch = shm.Start
		must0(shm.Pass(c.Cmd, "tasks", q))
		must0(shm.Pass(c.Cmd, "results", out))
		c.Start()
		workers = append(workers, c)
	}
	want := 0
	for i := range 500 {
		want += 2 * i
		if err := q.Put(bg, i); err != nil {
			t.Fatal(err)
		}
	}
	if err := q.Join(bg); err != nil {
		t.Fatal(err)
	}
	if q.Unfinished() != 0 || out.Len() != 500 {
		t.Fatalf("%d unfinished, %d results", q.Unfinished(), out.Len())
	}
	q.CloseSend()
	for _, c := range workers {
		c.Exit()
	}
	out.CloseSend()
	for v, err := range out.All(bg) {
		if err != nil {
			t.Fatal(err)
		}
		want -= v
	}
	if want != 0 {
		t.Errorf("the results are off by %d", want)
	}
	allFree(t, q.Queue)
}

// dropTask gets a task and waits to be killed.
func dropTask(args []string) int {
	q := must(ring.InheritedJoinableQueue[int]("tasks", nil))
	shmtest.Say("%d", must(q.Get(bg)))
	shmtest.Hear()
	return 0
}

// A worker that dies between Get and TaskDone neither loses its task nor keeps
// Join waiting.
func TestKilledWorkerLosesNoTask(t *testing.T) {
	q := newJobs[int](t, nil)
	q.PutBatch(bg, []int{0, 1, 2})
	c := shmtest.Command(t, "drop-task")
	c.Launch = shm.Start
	must0(shm.Pass(c.Cmd, "tasks", q))
	c.Start()
	c.Expect("0")
	joining := blocked(func() error { return q.Join(bg) })
	c.Kill()
	seen := 0
	for seen != 7 {
		v, err := q.Get(bg)
		if err != nil {
			t.Fatal(err)
		}
		seen |= 1 << v
		must0(q.TaskDone())
	}
	if err := <-joining; err != nil {
		t.Fatal(err)
	}
	if s := q.Stats(); s.Redelivered != 1 || s.Unfinished != 0 {
		t.Errorf("%+v", s)
	}
	q.CloseSend()
	if _, err := q.Get(bg); err != io.EOF {
		t.Error(err)
	}
	allFree(t, q.Queue)
}
