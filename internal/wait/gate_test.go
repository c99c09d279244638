package wait

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
)

func TestGateLetsOneIn(t *testing.T) {
	var g Gate
	var inside, total int // guarded by g
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 2000 {
				if err := g.Enter(context.Background()); err != nil {
					t.Error(err)
					return
				}
				if inside++; inside != 1 {
					t.Error("two inside")
				}
				total++
				inside--
				g.Leave()
			}
		})
	}
	all.Wait()
	if total != 16000 {
		t.Fatalf("%d of 16000 got in", total)
	}
}

func TestGateTryEnter(t *testing.T) {
	var g Gate
	if err := g.TryEnter(); err != nil {
		t.Fatal(err)
	}
	if err := g.TryEnter(); !errors.Is(err, ErrGateHeld) {
		t.Fatalf("second TryEnter = %v", err)
	}
	g.Leave()
	g.Close(func() {}, func() {})
	if err := g.TryEnter(); !errors.Is(err, ErrGateClosed) {
		t.Fatalf("TryEnter of a closed gate = %v", err)
	}
}

func TestGateQueueIsServedInOrder(t *testing.T) {
	var g Gate
	g.TryEnter()
	order := make(chan int, 10)
	for i := range 10 {
		go func() {
			if g.Enter(context.Background()) == nil {
				order <- i
				g.Leave()
			}
		}()
		queued(&g, i+1)
	}
	g.Leave()
	for i := range 10 {
		if got := <-order; got != i {
			t.Fatalf("%d came in as number %d", got, i)
		}
	}
}

// queued waits until n goroutines are in the queue.
func queued(g *Gate, n int) {
	for {
		runtime.Gosched()
		g.mu.Lock()
		have := len(g.queue)
		g.mu.Unlock()
		if have >= n {
			return
		}
	}
}

func TestGateCancelLeavesTheQueue(t *testing.T) {
	var g Gate
	g.TryEnter()
	ctx, cancel := context.WithCancel(context.Background())
	out := make(chan error)
	go func() { out <- g.Enter(ctx) }()
	queued(&g, 1)
	cancel()
	if err := <-out; !errors.Is(err, context.Canceled) {
		t.Fatalf("Enter = %v", err)
	}
	g.Leave()
	if err := g.TryEnter(); err != nil {
		t.Fatalf("the gate is not free: %v", err)
	}
}

// A turn that arrives together with the cancellation must not be lost.
func TestGateCancelRacesWithATurn(t *testing.T) {
	var g Gate
	for range 2000 {
		g.TryEnter()
		ctx, cancel := context.WithCancel(context.Background())
		out := make(chan error)
		go func() { out <- g.Enter(ctx) }()
		queued(&g, 1)
		go cancel()
		g.Leave()
		if <-out == nil {
			g.Leave()
		}
		if err := g.TryEnter(); err != nil {
			t.Fatalf("the gate is not free: %v", err)
		}
		g.Leave()
	}
}

func TestGateCloseRunsLastOnce(t *testing.T) {
	t.Run("free", func(t *testing.T) {
		var g Gate
		var ran int
		if !g.Close(func() {}, func() { ran++ }) || g.Close(func() {}, func() { ran++ }) {
			t.Error("not exactly the first Close is the first")
		}
		if ran != 1 {
			t.Fatalf("last ran %d times", ran)
		}
	})
	t.Run("on loan", func(t *testing.T) {
		var g Gate
		var ran int
		g.TryEnter()
		g.Close(func() {}, func() { ran++ }) // must not wait: we are the holder
		if ran != 0 {
			t.Fatal("last ran while the gate was held")
		}
		g.Leave()
		if ran != 1 {
			t.Fatalf("last ran %d times", ran)
		}
	})
	t.Run("blocked", func(t *testing.T) {
		var g Gate
		var ran atomic.Int32
		woken := make(chan struct{})
		g.TryEnter()
		g.Block()
		go func() {
			<-woken
			g.Unblock()
			g.Leave()
		}()
		g.Close(func() { close(woken) }, func() { ran.Add(1) })
		if ran.Load() != 1 {
			t.Fatal("Close did not wait for the blocked holder")
		}
	})
}

func TestGateCloseEmptiesTheQueue(t *testing.T) {
	var g Gate
	g.TryEnter()
	out := make(chan error)
	for i := range 5 {
		go func() { out <- g.Enter(context.Background()) }()
		queued(&g, i+1)
	}
	g.Close(func() {}, func() {})
	for range 5 {
		if err := <-out; !errors.Is(err, ErrGateClosed) {
			t.Fatalf("Enter = %v", err)
		}
	}
	g.Leave()
}

func TestGateCloseAgainstTraffic(t *testing.T) {
	for range 300 {
		var g Gate
		var ran atomic.Int32
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				for g.Enter(context.Background()) == nil {
					if ran.Load() != 0 {
						t.Error("inside after last")
					}
					g.Leave()
				}
			})
		}
		g.Close(func() {}, func() { ran.Add(1) })
		all.Wait()
		if ran.Load() != 1 {
			t.Fatalf("last ran %d times", ran.Load())
		}
	}
}
