package lock

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"

	"github.com/sluice-ipc/sluice/internal/hook"
	"github.com/sluice-ipc/sluice/internal/mem"
	"github.com/sluice-ipc/sluice/internal/place"
	"github.com/sluice-ipc/sluice/internal/race"
	"github.com/sluice-ipc/sluice/shm"
)

// Event is a flag that processes wait for. It begins unset.
//
// A Set releases every Wait that began before it, also when a Clear follows at
// once. Nobody owns an event, so that no death leaves it in a state of its own:
// a process that dies in Set has set it or has not, and if it has, all waiters
// go on, at the latest within some 50 ms. Who dies waiting is not waited for.
//
// IsSet, Set and Clear take a bounded number of steps, whatever others do, and
// allocate nothing.
type Event struct {
	spot  place.Spot
	state *atomic.Uint64
	room  room
	key   uint64 // for the race detector
}

// The state of an event counts how often it changed, so that it is odd while
// the event is set, and a waiter that was stopped sees that it was set meanwhile.
const isSet = 1

// Where the words of an event lie.
const (
	eventState = 8
	eventWord  = 16
	eventSize  = mem.FalseShare
)

func (*Event) kind() string { return "event" }

func (*Event) size(*Options, int) (int64, error) { return eventSize, nil }

func (e *Event) attach(p place.Spot, _ *Options) error {
	e.spot, e.key = p, p.Key()
	e.state = mem.Uint64(p.Data, eventState)
	e.room = newRoom(mem.Uint32(p.Data, eventWord), p.Seg)
	return nil
}

// Set sets the event, and releases everybody who waits. What was done before it
// is visible to who is released. Setting what is set changes nothing. It fails
// only when the handle is closed, with [ErrClosed], or the segment cannot be used
// any more.
func (e *Event) Set() error {
	if err := e.spot.Seg.Retain(); err != nil {
		return wrap("set", e.spot.Name(), err)
	}
	hook.At("lock.event.set")
	race.Release(e.key)
	e.state.Or(isSet) //sync:event-state release: what was done before Set
	hook.At("lock.event.wake")
	e.room.ev.WakeAll() // also when it was set already: who did that may have died before this
	e.spot.Seg.Release()
	return nil
}

// Clear makes the event unset. Clearing what is unset changes nothing. It fails
// as Set does.
func (e *Event) Clear() error {
	if err := e.spot.Seg.Retain(); err != nil {
		return wrap("clear", e.spot.Name(), err)
	}
	if v := e.state.Load(); v&isSet != 0 {
		hook.At("lock.event.clear")
		// If somebody else clears it first, that was at the same time.
		e.state.CompareAndSwap(v, v+1)
	}
	e.spot.Seg.Release()
	return nil
}

// IsSet reports whether the event is set. It is one load, which sees what was
// done before the Set. After Close it still tells.
func (e *Event) IsSet() bool {
	v := e.state.Load() //sync:event-state acquire: what was done before Set
	runtime.KeepAlive(e)
	race.Acquire(e.key)
	return v&isSet != 0
}

// Wait returns nil when the event is set, or has been set since the call began;
// otherwise the context's error, or [ErrClosed] when the handle is closed. A
// context that is done already still finds a set event set.
func (e *Event) Wait(ctx context.Context) error {
	if err := e.spot.Seg.Retain(); err != nil {
		return wrap("wait for", e.spot.Name(), err)
	}
	defer e.spot.Seg.Release()
	hook.At("lock.event.look")
	from := e.state.Load() //sync:event-state acquire: what was done before Set
	defer race.Acquire(e.key)
	if from&isSet != 0 {
		return nil
	}
	return wrap("wait for", e.spot.Name(), e.wait(ctx, from))
}

// wait waits until the state is no longer from, at which the event was unset.
func (e *Event) wait(ctx context.Context, from uint64) error {
	c := &pulse{e, from}
	for {
		err := e.room.wait(ctx, c)
		switch {
		case c.passed():
			return nil
		case err != nil:
			return err
		case !e.spot.Seg.Usable():
			return e.spot.Seg.Retain() // which says why
		}
	}
}

// A pulse is the condition of who waits for an event.
type pulse struct {
	e    *Event
	from uint64
}

// passed reports whether the event has been set since.
func (p *pulse) passed() bool {
	return p.e.state.Load() != p.from //sync:event-state acquire: what was done before Set
}

// Ready reports whether to look again.
func (p *pulse) Ready() bool { return p.passed() || !p.e.spot.Seg.Usable() }

// String says whether the event is set.
func (e *Event) String() string {
	state := "unset"
	if e.IsSet() {
		state = "set"
	}
	return fmt.Sprintf("lock.Event(%s, %s)", e.spot.Name(), state)
}

// Segment returns the segment in which the event lies.
func (e *Event) Segment() *shm.Segment { return e.spot.Seg }

// Close gives up this handle. Waiting calls return [ErrClosed]; the event stays
// as it is. Closing a handle that came from At does nothing.
func (e *Event) Close() error { return e.spot.Close() }

// Handover implements shm.Handle: the child gets a handle of its own, with
// [Inherited].
func (e *Event) Handover() (shm.Handover, error) { return e.spot.Handover() }
