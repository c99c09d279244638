//go:build linux

package wait

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-ipc/sluice/internal/mem"
	"github.com/sluice-ipc/sluice/internal/shmtest"
	"github.com/sluice-ipc/sluice/internal/sys"
)

// ticket is a condition that holds once for each time it was granted.
type ticket struct{ n atomic.Int64 }

func (k *ticket) Ready() bool { return k.n.Load() > 0 }

// take takes one grant, if there is one.
func (k *ticket) take() bool {
	for {
		n := k.n.Load()
		if n <= 0 {
			return false
		}
		if k.n.CompareAndSwap(n, n-1) {
			return true
		}
	}
}

// Thousands of goroutines asleep on more words than a thread can sleep on cost
// a thread for each 127 words; each is woken, one for each wake, and none costs
// anything afterwards.
func TestManySleepersCostFewThreads(t *testing.T) {
	if !sys.HaveWaitv() {
		t.Skip("missing: futex_waitv in this kernel")
	}
	shmtest.NoLeaks(t)
	const words, each = 1000, 4
	shared := make([]atomic.Uint32, words)
	grants := make([]ticket, words)
	before := sys.Threads()
	var up, down sync.WaitGroup
	for i := range words {
		e := NewEvent(&shared[i], nil)
		for range each {
			up.Add(1)
			down.Go(func() {
				up.Done()
				for {
					if err := e.Wait(context.Background(), &grants[i], NewSpinner(Never)); err != nil {
						t.Error(err)
						return
					}
					if grants[i].take() {
						return
					}
				}
			})
		}
	}
	up.Wait()
	shmtest.Eventually(t, func() bool { return parked() >= words*each-int(maxDirect) })
	// The runtime starts threads of its own for each processor.
	slack := 8 + runtime.GOMAXPROCS(0)
	if n := sys.Threads() - before; n > words/(sys.VectorSize-1)+1+int(maxDirect)+slack {
		t.Errorf("%d more threads", n)
	}
	for range each {
		for i := range words {
			grants[i].n.Add(1)
			NewEvent(&shared[i], nil).Wake()
		}
	}
	down.Wait()
	if parked() != 0 || directs.Load() != 0 {
		t.Error(parked(), "still parked,", directs.Load(), "asleep")
	}
}

// parked returns how many goroutines are parked.
func parked() (n int) {
	mux.Lock()
	defer mux.Unlock()
	for _, e := range mux.words {
		n += len(e.waiters)
	}
	return n
}

// A goroutine that gives up does not take the wake-up of one in another process,
// or here, that goes on waiting: the thread has left the word when it returns.
func TestGivingUpLeavesNoSleeperBehind(t *testing.T) {
	park(t)
	shmtest.NoLeaks(t)
	var word atomic.Uint32
	e := NewEvent(&word, nil)
	for range 2000 {
		ctx, cancel := context.WithCancel(context.Background())
		var f flag
		done := make(chan error)
		go func() { done <- e.Wait(ctx, &f, NewSpinner(Never)) }()
		asleepOn(&word)
		go cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		if n, _ := sys.FutexWake(mem.Raw(&word), 1); n != 0 {
			t.Fatal("somebody still sleeps on the word")
		}
		word.Store(0)
	}
}

// Thousands give up together.
func TestManyGiveUp(t *testing.T) {
	park(t)
	shmtest.NoLeaks(t)
	const n = 3000
	shared := make([]atomic.Uint32, n/3)
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			err := NewEvent(&shared[i/3], nil).Wait(ctx, new(flag), NewSpinner(Never))
			if !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		})
	}
	shmtest.Eventually(t, func() bool { return parked() == n })
	cancel()
	all.Wait()
}

// Words come and go while their neighbours in the same thread's list are woken.
func TestParkingUnderWakes(t *testing.T) {
	park(t)
	shmtest.NoLeaks(t)
	const pairs, turns = 20, 300
	var all sync.WaitGroup
	for range pairs {
		var words [2]atomic.Uint32
		var grants [2]ticket
		for side := range 2 {
			all.Go(func() {
				mine, theirs := NewEvent(&words[side], nil), NewEvent(&words[1-side], nil)
				for range turns {
					if side == 0 {
						grants[1].n.Add(1)
						theirs.Wake()
					}
					if err := mine.Wait(context.Background(), &grants[side], NewSpinner(Never)); err != nil || !grants[side].take() {
						t.Error("woken for nothing:", err)
						return
					}
					if side == 1 {
						grants[0].n.Add(1)
						theirs.Wake()
					}
				}
			})
		}
	}
	all.Wait()
}

// A call that is forbidden while goroutines are parked has them sleep on their
// own.
func TestParkedWithoutTheCall(t *testing.T) {
	park(t)
	var word atomic.Uint32
	var grant ticket
	e := NewEvent(&word, nil)
	done := make(chan error)
	go func() { done <- e.Wait(context.Background(), &grant, NewSpinner(Never)) }()
	shmtest.Eventually(t, func() bool { return parked() == 1 })
	sys.DisableWaitv(true)
	defer sys.DisableWaitv(false)
	e.flush() // the thread comes back, and cannot sleep again
	shmtest.Eventually(t, func() bool { return parked() == 0 && word.Load()&waiters != 0 })
	grant.n.Add(1)
	e.Wake()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// Memory that is gone is seen by who waits on it, not by the thread that sleeps
// for everybody.
func TestParkedOnMemoryThatGoes(t *testing.T) {
	var w waiter
	w.unpark = make(chan struct{}, 1)
	e := &entry{word: new(atomic.Uint32), bank: new(bank)}
	w.c = faulty{}
	e.add(&w)
	e.bank.entries = []*entry{e}
	e.look()
	if w.entry != nil || len(w.unpark) != 1 || len(e.bank.entries) != 0 {
		t.Error("not told")
	}
}

type faulty struct{}

func (faulty) Ready() bool { panic(fault{}) }

type fault struct{}

func (fault) Addr() uintptr { return 1 }
func (fault) Error() string { return "fault" }

// A wake-up for one of many who wait for the same has a few look, and more only
// when those have, as long as it is there.
func TestWakeOfOneDoesNotRouseAll(t *testing.T) {
	var grant ticket
	grant.n.Add(1)
	b := new(bank)
	e := &entry{word: new(atomic.Uint32), bank: b}
	b.entries = []*entry{e}
	all := make([]*waiter, 100)
	for i := range all {
		all[i] = &waiter{c: &grant, unpark: make(chan struct{}, 1)}
		e.add(all[i])
	}
	told := func() (n int) {
		for _, w := range all {
			n += len(w.unpark)
		}
		return n
	}
	if e.look(); told() != few || !e.more {
		t.Errorf("%d of %d were told at first", told(), len(all))
	}
	for range few {
		if e.fresh {
			t.Fatal("looks again before all have come")
		}
		e.came()
	}
	if !e.fresh {
		t.Fatal("does not look again")
	}
	if e.look(); told() != 3*few {
		t.Errorf("%d were told then", told())
	}
	grant.take()
	e.fresh = false
	for range 2 * few {
		e.came()
	}
	if e.look(); told() != 3*few || e.more || !e.fresh {
		t.Errorf("%d were told although there is nothing any more", told())
	}
	e.fresh = false
	grant.n.Add(1)
	if e.look(); told() != 4*few {
		t.Errorf("%d were told of the next one", told())
	}
}

// All who may go on do, although few are told at a time.
func TestWakeOfAllReachesAll(t *testing.T) {
	park(t)
	shmtest.NoLeaks(t)
	const crowd = 1000
	var word atomic.Uint32
	var all sync.WaitGroup
	e := NewEvent(&word, nil)
	for range 20 {
		var open ticket
		for range crowd {
			all.Go(func() {
				if err := e.Wait(context.Background(), &open, NewSpinner(Never)); err != nil {
					t.Error(err)
				}
			})
		}
		shmtest.Eventually(t, func() bool { return parked() == crowd })
		open.n.Add(1)
		e.WakeAll()
		all.Wait()
	}
}

// Who changes a word all the time has those wait who share its thread, but keeps
// no processor busy with it, and their wake-ups arrive.
func TestWordThatNeverRests(t *testing.T) {
	park(t)
	shmtest.NoLeaks(t)
	var restless, quiet atomic.Uint32
	var never, grant ticket
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	all.Go(func() { NewEvent(&restless, nil).Wait(ctx, &never, NewSpinner(Never)) })
	e := NewEvent(&quiet, nil)
	all.Go(func() {
		for range 20 {
			if err := e.Wait(context.Background(), &grant, NewSpinner(Never)); err != nil || !grant.take() {
				t.Error("woken for nothing:", err)
			}
		}
	})
	shmtest.Eventually(t, func() bool { return parked() == 2 })
	before, changes := Sleeps(), 0
	over := time.Now().Add(200 * time.Millisecond)
	for ; time.Now().Before(over); changes++ {
		NewEvent(&restless, nil).flush()
	}
	t.Logf("%d changes had the thread look %d times", changes, Sleeps()-before)
	if n := Sleeps() - before; n > 2000 {
		t.Errorf("it looked %d times", n)
	}
	for range 20 {
		grant.n.Add(1)
		e.Wake()
		for grant.Ready() {
			NewEvent(&restless, nil).flush()
		}
	}
	cancel()
	all.Wait()
}
