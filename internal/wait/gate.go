package wait

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
)

// Errors of a gate.
var (
	ErrGateClosed = errors.New("wait: gate is closed")
	ErrGateHeld   = errors.New("wait: gate is held")
)

// Gate lets one goroutine at a time use one end of something, can be closed
// under those that use it, and runs a last function once nobody does.
//
// It is a mutex whose Enter honours a context, and which may be entered by one
// goroutine and left by another. The state word:
//
//	bit 0  held: somebody is inside
//	bit 1  queue: somebody waits in queue to get in
//	bit 2  closed: nobody gets in any more
//	bit 3  blocked: the holder waits for a peer, so Close waits for it to leave
type Gate struct {
	state atomic.Uint32

	mu    sync.Mutex // guards what follows
	queue []chan error
	last  func()        // to run when the holder of a closed gate leaves
	done  chan struct{} // closed after last has run
}

const (
	gateHeld = 1 << iota
	gateQueue
	gateClosed
	gateBlocked
)

// TryEnter enters if nobody is inside.
func (g *Gate) TryEnter() error {
	for {
		if g.state.CompareAndSwap(0, gateHeld) {
			return nil
		}
		switch v := g.state.Load(); {
		case v&gateClosed != 0:
			return ErrGateClosed
		case v != 0:
			return ErrGateHeld
		}
	}
}

// Enter waits until nobody is inside, first come first served.
func (g *Gate) Enter(ctx context.Context) error {
	if g.state.CompareAndSwap(0, gateHeld) {
		return nil
	}
	return g.enterSlow(ctx)
}

func (g *Gate) enterSlow(ctx context.Context) error {
	g.mu.Lock()
	for {
		v := g.state.Load()
		if v&gateClosed != 0 {
			g.mu.Unlock()
			return ErrGateClosed
		}
		if v == 0 {
			if g.state.CompareAndSwap(0, gateHeld) {
				g.mu.Unlock()
				return nil
			}
			continue
		}
		if g.state.CompareAndSwap(v, v|gateQueue) {
			break // the holder will find us in the queue
		}
	}
	turn := make(chan error, 1)
	g.queue = append(g.queue, turn)
	g.mu.Unlock()
	select {
	case err := <-turn:
		return err
	case <-ctx.Done():
		return g.giveUp(ctx, turn)
	}
}

// giveUp leaves the queue; a turn that has just come is passed on.
func (g *Gate) giveUp(ctx context.Context, turn chan error) error {
	g.mu.Lock()
	for i, c := range g.queue {
		if c == turn {
			g.queue = append(g.queue[:i], g.queue[i+1:]...)
			g.mu.Unlock()
			return ctx.Err()
		}
	}
	g.mu.Unlock()
	if err := <-turn; err != nil {
		return err
	}
	g.Leave()
	return ctx.Err()
}

// Leave lets the next one in. Only who is inside may call it.
func (g *Gate) Leave() {
	if g.state.CompareAndSwap(gateHeld, 0) {
		return
	}
	g.mu.Lock()
	if g.state.Load()&gateClosed != 0 {
		g.finish()
		return
	}
	defer g.mu.Unlock()
	if len(g.queue) == 0 {
		g.set(0)
		return
	}
	next := g.queue[0]
	g.queue = g.queue[1:]
	if len(g.queue) == 0 {
		g.set(gateHeld)
	}
	next <- nil
}

// set replaces all flags but closed, which Close may be setting meanwhile.
func (g *Gate) set(flags uint32) {
	for {
		v := g.state.Load()
		if g.state.CompareAndSwap(v, v&gateClosed|flags) {
			return
		}
	}
}

// finish runs the last function for the holder that leaves a closed gate.
// It is called with mu held and releases it.
func (g *Gate) finish() {
	last, done := g.last, g.done
	g.last = nil
	g.set(0)
	g.mu.Unlock()
	if last != nil {
		last()
		close(done)
	}
}

// Block says that the holder is about to wait for a peer, and Unblock that it
// no longer does: a Close in between waits for the holder to leave. Block
// reports whether the gate is still open.
func (g *Gate) Block() bool {
	return g.state.Or(gateBlocked)&gateClosed == 0
}

// Unblock ends what Block began.
func (g *Gate) Unblock() { g.state.And(^uint32(gateBlocked)) }

// Held reports whether somebody is inside.
func (g *Gate) Held() bool { return g.state.Load()&gateHeld != 0 }

// Closed reports whether Close has been called.
func (g *Gate) Closed() bool { return g.state.Load()&gateClosed != 0 }

// Close lets nobody in any more and runs last once, as soon as nobody is
// inside: at once, or when the present holder leaves. It calls wake so that a
// holder blocked on a peer notices, and waits for such a holder. It does not
// wait for a holder that is outside any call with memory still on loan. Only
// the first Close does anything; it reports whether this was the first.
func (g *Gate) Close(wake, last func()) bool {
	g.mu.Lock()
	old := g.state.Or(gateClosed)
	if old&gateClosed != 0 {
		g.mu.Unlock()
		return false
	}
	for _, turn := range g.queue {
		turn <- ErrGateClosed
	}
	g.queue = nil
	if old&gateHeld == 0 {
		g.mu.Unlock()
		last()
		return true
	}
	g.last, g.done = last, make(chan struct{})
	done := g.done
	g.mu.Unlock()
	wake()
	if old&gateBlocked != 0 {
		<-done
	}
	return true
}
