//go:build linux

package wait

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-ipc/sluice/internal/sys"
)

// flag is a condition that another goroutine makes true.
type flag struct {
	set    atomic.Bool
	looked atomic.Int64
}

func (f *flag) Ready() bool { f.looked.Add(1); return f.set.Load() }

// host is a Host that remembers who sleeps.
type host struct {
	mu     sync.Mutex
	asleep map[Sleeper]bool
	since  chan struct{} // one token for every Asleep
}

func newHost() *host {
	return &host{asleep: map[Sleeper]bool{}, since: make(chan struct{}, 1<<16)}
}

func (h *host) Asleep(s Sleeper) {
	h.mu.Lock()
	h.asleep[s] = true
	h.mu.Unlock()
	h.since <- struct{}{}
}

func (h *host) Awake(s Sleeper) {
	h.mu.Lock()
	delete(h.asleep, s)
	h.mu.Unlock()
}

func (h *host) tick() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for s := range h.asleep {
		s.Tick()
	}
}

// park has all sleepers park, none sleep in a call of its own.
func park(t *testing.T) {
	if !sys.HaveWaitv() {
		t.Skip("missing: futex_waitv in this kernel")
	}
	was := maxDirect
	maxDirect = 0
	t.Cleanup(func() { maxDirect = was })
}

// bothWays runs f with futex_waitv and without it, and with goroutines parked.
func bothWays(t *testing.T, f func(t *testing.T)) {
	t.Run("parked", func(t *testing.T) { park(t); f(t) })
	t.Run("waitv", func(t *testing.T) {
		if !sys.HaveWaitv() {
			t.Skip("no futex_waitv in this kernel")
		}
		f(t)
	})
	t.Run("fallback", func(t *testing.T) {
		sys.DisableWaitv(true)
		defer sys.DisableWaitv(false)
		f(t)
	})
}

// asleepOn waits until somebody has marked the word and so will sleep, or
// already does.
func asleepOn(w *atomic.Uint32) {
	for w.Load()&waiters == 0 {
		time.Sleep(10 * time.Microsecond)
	}
}

func TestWakeEndsASleep(t *testing.T) {
	bothWays(t, func(t *testing.T) {
		for _, mode := range []Mode{Adaptive, Always, Never} {
			var word atomic.Uint32
			var f flag
			e := NewEvent(&word, nil)
			done := make(chan error)
			for range 200 {
				f.set.Store(false)
				go func() { done <- e.Wait(context.Background(), &f, NewSpinner(mode)) }()
				f.set.Store(true)
				e.WakeAll()
				if err := <-done; err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}

func TestWakeOneWakesEverybodyInTurn(t *testing.T) {
	bothWays(t, func(t *testing.T) {
		var word atomic.Uint32
		e := NewEvent(&word, nil)
		const n = 8
		var tokens atomic.Int64
		got := make(chan struct{}, n)
		for range n {
			go func() {
				c := take{&tokens}
				for {
					e.Wait(context.Background(), c, NewSpinner(Never))
					if v := tokens.Load(); v > 0 && tokens.CompareAndSwap(v, v-1) {
						got <- struct{}{}
						return
					}
				}
			}()
		}
		asleepOn(&word)
		for range n {
			tokens.Add(1)
			e.Wake()
		}
		for range n {
			<-got
		}
	})
}

type take struct{ n *atomic.Int64 }

func (c take) Ready() bool { return c.n.Load() > 0 }

func TestCancelEndsASleep(t *testing.T) {
	bothWays(t, func(t *testing.T) {
		var word atomic.Uint32
		var f flag
		e := NewEvent(&word, nil)
		for range 200 {
			ctx, cancel := context.WithCancel(context.Background())
			done := make(chan error)
			go func() { done <- e.Wait(ctx, &f, NewSpinner(Never)) }()
			asleepOn(&word)
			cancel()
			if err := <-done; !errors.Is(err, context.Canceled) {
				t.Fatalf("Wait = %v", err)
			}
			word.Store(0)
		}
	})
}

func TestCancelOfOneLeavesTheOthersAsleep(t *testing.T) {
	bothWays(t, func(t *testing.T) {
		var word atomic.Uint32
		var f, never flag
		h := newHost()
		e := NewEvent(&word, h)
		stays := make(chan error, 1)
		go func() { stays <- e.Wait(context.Background(), &f, NewSpinner(Never)) }()
		<-h.since
		for range 50 {
			ctx, cancel := context.WithCancel(context.Background())
			done := make(chan error)
			go func() { done <- e.Wait(ctx, &never, NewSpinner(Never)) }()
			<-h.since
			cancel()
			<-done
		}
		select {
		case err := <-stays:
			t.Fatalf("another's cancellation ended the wait: %v", err)
		default:
		}
		f.set.Store(true)
		e.WakeAll()
		if err := <-stays; err != nil {
			t.Fatal(err)
		}
	})
}

func TestDeadlineEndsASleep(t *testing.T) {
	bothWays(t, func(t *testing.T) {
		var word atomic.Uint32
		var f flag
		e := NewEvent(&word, nil)
		start := time.Now()
		const wait = 20 * time.Millisecond
		ctx, cancel := context.WithTimeout(context.Background(), wait)
		defer cancel()
		err := e.Wait(ctx, &f, NewSpinner(Never))
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("Wait = %v", err)
		}
		if took := time.Since(start); took < wait {
			t.Fatalf("returned after %v, before the deadline", took)
		}
	})
}

func TestPastDeadlineMakesOneLook(t *testing.T) {
	var word atomic.Uint32
	var f flag
	ctx, cancel := context.WithTimeout(context.Background(), -1)
	defer cancel()
	e := NewEvent(&word, nil)
	if err := e.Wait(ctx, &f, NewSpinner(Never)); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("Wait = %v", err)
	}
	f.set.Store(true)
	if err := e.Wait(ctx, &f, NewSpinner(Never)); err != nil {
		t.Fatalf("Wait on a ready condition = %v", err)
	}
}

// A waker that dies after publishing and before waking leaves a sleeper asleep.
// The tick must wake it, and must leave one with nothing to do alone.
func TestTickHealsAnUnsentWake(t *testing.T) {
	bothWays(t, func(t *testing.T) {
		var word atomic.Uint32
		var f flag
		h := newHost()
		e := NewEvent(&word, h)
		done := make(chan error, 1)
		go func() { done <- e.Wait(context.Background(), &f, NewSpinner(Never)) }()
		<-h.since
		asleepOn(&word)
		before := word.Load()
		h.tick()
		if word.Load() != before {
			t.Fatal("a tick with nothing to do touched the word")
		}
		f.set.Store(true) // published; the wake never comes
		h.tick()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	})
}

// The flag that a killed sleeper leaves behind costs its peers calls only until
// the first wake.
func TestStaleFlagIsCleared(t *testing.T) {
	for name, wake := range map[string]func(*Event){"one": (*Event).Wake, "all": (*Event).WakeAll} {
		t.Run(name, func(t *testing.T) {
			var word atomic.Uint32
			word.Store(waiters)
			e := NewEvent(&word, nil)
			wake(e)
			if word.Load()&waiters != 0 {
				t.Fatalf("word is %#x after a wake", word.Load())
			}
			_, before := sys.FutexCalls()
			wake(e)
			if _, after := sys.FutexCalls(); after != before {
				t.Fatal("a wake with nobody asleep made a system call")
			}
		})
	}
}

func TestNoCallWhileNobodySleeps(t *testing.T) {
	var word atomic.Uint32
	e := NewEvent(&word, nil)
	_, before := sys.FutexCalls()
	for range 1000 {
		e.Wake()
		e.WakeAll()
	}
	if _, after := sys.FutexCalls(); after != before {
		t.Fatalf("%d wake calls with nobody asleep", after-before)
	}
}

func TestHostilePeerCannotHoldAWaiter(t *testing.T) {
	bothWays(t, func(t *testing.T) {
		var word atomic.Uint32
		var f flag
		e := NewEvent(&word, nil)
		stop := make(chan struct{})
		var hostile sync.WaitGroup
		hostile.Go(func() {
			for i := uint32(0); ; i++ {
				select {
				case <-stop:
					return
				default:
					word.Store(i * 7)
				}
			}
		})
		for range 20 {
			ctx, cancel := context.WithTimeout(context.Background(), 2*time.Millisecond)
			if err := e.Wait(ctx, &f, NewSpinner(Never)); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Wait = %v", err)
			}
			cancel()
			e.WakeAll()
			e.Wake()
		}
		close(stop)
		hostile.Wait()
	})
}

func TestSleepAllocatesNothingWithoutCancellation(t *testing.T) {
	var word atomic.Uint32
	var f flag
	f.set.Store(true)
	e := NewEvent(&word, nil)
	s := NewSpinner(Adaptive)
	if n := testing.AllocsPerRun(100, func() {
		e.Wait(context.Background(), &f, s)
		e.WakeAll()
	}); n != 0 {
		t.Fatalf("%v allocations", n)
	}
}
