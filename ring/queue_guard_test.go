//go:build linux

package ring_test

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"

	"github.com/sluice-ipc/sluice/internal/shmtest"
	"github.com/sluice-ipc/sluice/internal/sys"
	"github.com/sluice-ipc/sluice/ring"
	"github.com/sluice-ipc/sluice/shm"
)

// A file truncated under a queue with Guard is an error in every call, and
// neither the calls nor closing afterwards end the process, or leave anything.
func TestGuardQueueAgainstTruncation(t *testing.T) {
	shmtest.RequireFaults(t)
	shmtest.NoLeaks(t, fmt.Sprintf("sluice-queuetest-%d-", os.Getpid()))
	for name, call := range map[string]func(ring.JoinableQueue[[]byte], ring.Loan, ring.Message) error{
		"Put":    func(q ring.JoinableQueue[[]byte], _ ring.Loan, _ ring.Message) error { return q.Put(bg, nil) },
		"TryPut": func(q ring.JoinableQueue[[]byte], _ ring.Loan, _ ring.Message) error { return q.TryPut(nil) },
		"PutBatch": func(q ring.JoinableQueue[[]byte], _ ring.Loan, _ ring.Message) error {
			return second(q.PutBatch(bg, make([][]byte, 3)))
		},
		"Get":    func(q ring.JoinableQueue[[]byte], _ ring.Loan, _ ring.Message) error { return second(q.Get(bg)) },
		"TryGet": func(q ring.JoinableQueue[[]byte], _ ring.Loan, _ ring.Message) error { return second(q.TryGet()) },
		"GetBatch": func(q ring.JoinableQueue[[]byte], _ ring.Loan, _ ring.Message) error {
			return second(q.GetBatch(bg, make([][]byte, 3)))
		},
		"Take":      func(q ring.JoinableQueue[[]byte], _ ring.Loan, _ ring.Message) error { return second(q.Take(bg)) },
		"Loan":      func(q ring.JoinableQueue[[]byte], _ ring.Loan, _ ring.Message) error { return second(q.Loan(bg, 10)) },
		"CloseSend": func(q ring.JoinableQueue[[]byte], _ ring.Loan, _ ring.Message) error { return q.CloseSend() },
		"Flush":     func(q ring.JoinableQueue[[]byte], _ ring.Loan, _ ring.Message) error { return q.Flush(bg) },
		"Join":      func(q ring.JoinableQueue[[]byte], _ ring.Loan, _ ring.Message) error { return q.Join(bg) },
		"TaskDone":  func(q ring.JoinableQueue[[]byte], _ ring.Loan, _ ring.Message) error { return q.TaskDone() },
		"Commit":    func(_ ring.JoinableQueue[[]byte], o ring.Loan, _ ring.Message) error { return o.Commit(bg) },
		"Abort":     func(_ ring.JoinableQueue[[]byte], o ring.Loan, _ ring.Message) error { return o.Abort() },
		"Append":    func(_ ring.JoinableQueue[[]byte], _ ring.Loan, m ring.Message) error { return second(m.Append(nil)) },
		"Release":   func(_ ring.JoinableQueue[[]byte], _ ring.Loan, m ring.Message) error { return m.Release() },
		"Requeue":   func(_ ring.JoinableQueue[[]byte], _ ring.Loan, m ring.Message) error { return m.Requeue() },
	} {
		t.Run(name, func(t *testing.T) {
			path := queueName(t)
			q := must(ring.CreateJoinableQueue[[]byte](path, &ring.QueueOptions{Guard: true, Lanes: 2}))
			for range 4 {
				must0(q.Put(bg, []byte("hello")))
			}
			must(q.Get(bg)) // a task
			m, o := must(q.Take(bg)), must(q.Loan(bg, 5))
			if v, err := q.TryGet(); err != nil || string(v) != "hello" || q.Unfinished() != 4 {
				t.Fatal(v, err)
			}
			must0(os.Truncate(path, q.Segment().DataOffset()))
			var fault *shm.FaultError
			if err := call(q, o, m); !errors.As(err, &fault) {
				t.Fatalf("%v, want a FaultError", err)
			}
			if fault.Offset < q.Segment().DataOffset() || fault.Segment != path {
				t.Errorf("%v", fault)
			}
			for i, err := range []error{q.Put(bg, nil), second(q.Get(bg)), second(q.Take(bg)), q.Join(bg)} {
				if !errors.As(err, &fault) { // the handle stays unusable
					t.Errorf("call %d afterwards = %v", i, err)
				}
			}
			if s := q.Stats(); q.Len() != 0 || q.Full() || s.Chunks != 0 || q.Unfinished() != 0 {
				t.Errorf("%+v", s)
			}
			m.Release()
			o.Abort()
			q.Close()
		})
	}
}

// With Guard all is as without, but for the price.
func TestGuardedQueueWorks(t *testing.T) {
	q := newQueue[int](t, &ring.QueueOptions{Guard: true, Capacity: 4})
	for range 3 {
		fifo(t, newQueue[int](t, &ring.QueueOptions{Guard: true, Capacity: 4}), 4)
	}
	if n, err := q.TryPutBatch(make([]int, 9)); n != 4 || err != nil {
		t.Fatal(n, err)
	}
	putting := blocked(func() error { return q.Put(bg, 1) })
	shmtest.Eventually(t, func() bool { return q.Stats().ProducersWaiting == 1 })
	q.Close()
	if err := <-putting; !errors.Is(err, ring.ErrClosed) {
		t.Fatal(err)
	}
}

// A file truncated under many calls ends all of them, those that wait for each
// other included.
func TestGuardEndsEveryCall(t *testing.T) {
	shmtest.RequireFaultsInUse(t)
	shmtest.NoLeaks(t, fmt.Sprintf("sluice-queuetest-%d-", os.Getpid()))
	rounds := 30
	if testing.Short() {
		rounds = 3
	}
	for range rounds {
		path := queueName(t)
		q := must(ring.CreateQueue[[]byte](path, &ring.QueueOptions{Guard: true, Hold: 1, Lanes: 2, Capacity: 4}))
		var ready, ended sync.WaitGroup
		for i := range 8 {
			ready.Add(1)
			ended.Go(func() {
				for n := 0; ; n++ {
					err := use(q, i)
					if n == 10 {
						ready.Done()
					}
					var fault *shm.FaultError
					if errors.As(err, &fault) {
						if n < 10 {
							t.Error(err)
						}
						return
					}
					if err != nil && err != ring.ErrEmpty && err != ring.ErrFull && !errors.Is(err, ring.ErrTooManyHeld) {
						t.Error(err)
						return
					}
				}
			})
		}
		ready.Wait()
		must0(os.Truncate(path, q.Segment().DataOffset()))
		ended.Wait()
		q.Close()
	}
}

// So it ends calls that are asleep, however many: those that have a thread, and
// those that share one.
func TestGuardEndsSleepers(t *testing.T) {
	shmtest.RequireFaultsInUse(t)
	shmtest.NoLeaks(t, fmt.Sprintf("sluice-queuetest-%d-", os.Getpid()))
	for name, without := range map[string]bool{"parked": false, "without futex_waitv": true} {
		t.Run(name, func(t *testing.T) {
			sys.DisableWaitv(without)
			defer sys.DisableWaitv(false)
			path := queueName(t)
			q := must(ring.CreateQueue[int](path, &ring.QueueOptions{Guard: true, Capacity: 4}))
			const n = 40
			ended := make(chan error, n)
			for range n {
				go func() { ended <- second(q.Get(bg)) }()
			}
			shmtest.Eventually(t, func() bool { return q.Stats().ConsumersWaiting == n }, "all wait")
			must0(os.Truncate(path, q.Segment().DataOffset()))
			for range n {
				var fault *shm.FaultError
				if err := <-ended; !errors.As(err, &fault) {
					t.Error(err)
				}
			}
			q.Close()
		})
	}
}

// use is one call or two of the i-th kind.
func use(q *ring.Queue[[]byte], i int) error {
	switch i % 4 {
	case 0:
		return q.TryPut([]byte("hello"))
	case 1:
		return second(q.TryGet())
	case 2:
		m, err := q.TryTake()
		if err == nil {
			err = m.Release()
		}
		return err
	}
	o, err := q.TryLoan(5)
	if err == nil {
		err = o.Abort()
	}
	return err
}
