package wait

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"github.com/sluice-ipc/sluice/internal/mem"
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
// goroutine and left by another. Entering costs one atomic operation when nobody
// else is there, and leaving a plain store.
type Gate struct {
	held    atomic.Uint32 // 1: somebody is inside
	notice  atomic.Uint32 // what who enters or leaves must see to
	blocked atomic.Bool   // the holder waits for a peer: Close waits for it
	over    atomic.Bool   // closed, and the last function has run

	mu    sync.Mutex // guards what follows
	queue []chan error
	last  func()        // to run when the holder of a closed gate leaves
	done  chan struct{} // closed after last has run
}

// The notice word.
const (
	gateQueue  = 1 << iota // somebody waits in queue
	gateClosed             // nobody gets in any more
)

// TryEnter enters if nobody is inside.
func (g *Gate) TryEnter() error {
	if !g.held.CompareAndSwap(0, 1) {
		if g.Closed() {
			return ErrGateClosed
		}
		return ErrGateHeld
	}
	if g.Closed() {
		g.Leave()
		return ErrGateClosed
	}
	return nil
}

// Quick is TryEnter, small enough to be inlined, without a reason.
func (g *Gate) Quick() bool {
	if !g.held.CompareAndSwap(0, 1) {
		return false
	}
	if g.notice.Load()&gateClosed == 0 {
		return true
	}
	g.Leave()
	return false
}

// Enter waits until nobody is inside, first come first served.
func (g *Gate) Enter(ctx context.Context) error {
	if g.notice.Load() == 0 && g.held.CompareAndSwap(0, 1) {
		// Close sets its notice and then looks at held: one of us sees
		// the other.
		if g.notice.Load()&gateClosed == 0 {
			return nil
		}
		g.Leave()
		return ErrGateClosed
	}
	return g.enterSlow(ctx)
}

func (g *Gate) enterSlow(ctx context.Context) error {
	g.mu.Lock()
	if g.Closed() {
		g.mu.Unlock()
		return ErrGateClosed
	}
	// From here on whoever leaves serves the queue, unless it has left
	// already: then the gate is free.
	g.notice.Or(gateQueue)
	fence()
	if len(g.queue) == 0 && g.held.CompareAndSwap(0, 1) {
		g.notice.And(^uint32(gateQueue))
		g.mu.Unlock()
		return nil
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
	if light.Load() {
		mem.StoreRelease32(&g.held, 0)
	} else {
		g.held.Store(0)
	}
	if g.notice.Load() != 0 {
		g.next()
	}
}

// next does for who has left what the notice asks for. When somebody else is
// inside by now, that one will do it.
func (g *Gate) next() {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.Closed():
		if g.last != nil && g.held.CompareAndSwap(0, 1) {
			g.finish()
			close(g.done)
		}
	case len(g.queue) == 0:
		g.notice.And(^uint32(gateQueue))
	case g.held.CompareAndSwap(0, 1):
		turn := g.queue[0]
		if g.queue = g.queue[1:]; len(g.queue) == 0 {
			g.notice.And(^uint32(gateQueue))
		}
		turn <- nil
	}
}

// finish runs the last function. It is called inside the gate, with mu held.
func (g *Gate) finish() {
	last := g.last
	g.last = nil
	last()
	g.over.Store(true)
	g.held.Store(0)
}

// Block says that the holder is about to wait for a peer, and Unblock that it
// no longer does: a Close in between waits for the holder to leave. Block
// reports whether the gate is still open.
func (g *Gate) Block() bool {
	g.blocked.Store(true)
	return !g.Closed()
}

// Unblock ends what Block began.
func (g *Gate) Unblock() { g.blocked.Store(false) }

// Held reports whether somebody is inside.
func (g *Gate) Held() bool { return g.held.Load() != 0 }

// Closed reports whether Close has been called.
func (g *Gate) Closed() bool { return g.notice.Load()&gateClosed != 0 }

// Over reports whether the gate is closed and the last function has run.
func (g *Gate) Over() bool { return g.over.Load() }

// Close lets nobody in any more and runs last once, as soon as nobody is
// inside: at once, or when the present holder leaves. It calls wake so that a
// holder blocked on a peer notices, and waits for such a holder. It does not
// wait for a holder that is outside any call with memory still on loan. Only
// the first Close does anything; it reports whether this was the first.
//
// Preconditions: neither function uses the gate.
func (g *Gate) Close(wake, last func()) bool {
	first, blocked := g.shut(wake, last)
	if blocked {
		<-g.done
	}
	return first
}

// shut is Close up to the waiting for a holder that is blocked.
func (g *Gate) shut(wake, last func()) (first, blocked bool) {
	g.mu.Lock()
	defer g.mu.Unlock() // also when wake faults
	if g.Closed() {
		return false, false
	}
	g.notice.Or(gateClosed)
	fence()
	for _, turn := range g.queue {
		turn <- ErrGateClosed
	}
	g.queue = nil
	g.last, g.done = last, make(chan struct{})
	if g.held.CompareAndSwap(0, 1) {
		g.finish()
		return true, false
	}
	blocked = g.blocked.Load()
	wake() // before last can run, which needs mu: wake uses what last gives up
	return true, blocked
}
