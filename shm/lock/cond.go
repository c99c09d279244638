package lock

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"sync/atomic"

	"github.com/sluice-ipc/sluice/internal/mem"
	"github.com/sluice-ipc/sluice/internal/place"
	"github.com/sluice-ipc/sluice/shm"
)

// Cond is a condition: goroutines of all processes that hold its mutex wait for
// others, who hold it too, to say that something has changed. It belongs to a
// mutex of its own, or to the one in the options; all who share the condition
// share that.
//
// Nobody waits for a waiter: Signal, Notify and Broadcast return whatever became
// of those they wake. A waiter that dies before it has the mutex leaves its
// notification to another one. When somebody dies with the mutex held, a notifier
// in the middle or a waiter just woken, the next one who gets the mutex is told by
// [ErrOwnerDied], be it a waiter or somebody in Lock. The notification may never
// come to the others, so that one calls Broadcast when it has put things right;
// those whom it concerns not wait again.
//
// A waiter may come back without having been notified when another one died, so
// call Wait in a loop that tests what it is for, or use [Cond.WaitFor]. In which
// order waiters are woken is not specified.
type Cond struct {
	spot   place.Spot
	m      *Mutex
	own    Mutex          // what m leads to by default
	tail   *atomic.Uint64 // ticket of the next waiter
	bound  *atomic.Uint64 // tickets below it have been notified
	grants *atomic.Uint64 // how many of those may still go on
	cells  []atomic.Uint64
	room   room
}

// A condition is laid out as
//
//	offset      size  field
//	     0         8  tag
//	     8         8  whose mutex: ownMutex or givenMutex
//	    16  8 each  3  tail, bound, grants
//	    40         4  event
//	   128       128  its own mutex, unused if another was given
//	   256  8 each     cells, one for each slot: waiters of that participant,
//	                  incarnation<<32 | how many
//
// All but the mutex and the event are changed only by who holds the mutex, a
// waiter's own cell excepted. A waiter has a ticket, and takes a grant if its
// ticket is below bound, so that later waiters are not affected; there are never
// more grants than waiters, so that none is kept for who comes later. Cells tell
// waiters that have died from those who wait.
const (
	condMutex  = 8
	condTail   = 16
	condBound  = 24
	condGrants = 32
	condEvent  = 40
	condOwn    = mem.FalseShare
	condCells  = condOwn + mutexSize
)

const (
	ownMutex   = 1
	givenMutex = 2
)

func (*Cond) kind() string { return "cond" }

func (*Cond) size(_ *Options, slots int) (int64, error) {
	return condCells + place.Round(8*int64(slots)), nil
}

func (c *Cond) attach(p place.Spot, o *Options) error {
	c.spot, c.m = p, o.Mutex
	whose := uint64(givenMutex)
	if c.m == nil {
		whose, c.m = ownMutex, &c.own
		mp := place.Spot{Seg: p.Seg, Data: p.Data[condOwn:condCells], Off: p.Off + condOwn}
		if _, err := mp.Claim(0, "kind of lock", tag(c.own.kind())); err != nil {
			return err
		}
		if err := c.own.attach(mp, o); err != nil {
			return err
		}
	}
	if _, err := p.Claim(condMutex, "mutex, 1: its own, 2: in the options,", whose); err != nil {
		return err
	}
	c.tail, c.bound = mem.Uint64(p.Data, condTail), mem.Uint64(p.Data, condBound)
	c.grants = mem.Uint64(p.Data, condGrants)
	c.cells = mem.Slice[atomic.Uint64](p.Data, condCells, p.Seg.Slots())
	c.room = newRoom(mem.Uint32(p.Data, condEvent), p.Seg)
	return nil
}

// Mutex returns the mutex that the condition belongs to.
func (c *Cond) Mutex() *Mutex { return c.m }

// Wait gives the mutex up, waits until it is notified, and takes the mutex again.
// That last step is not cut short by the context.
//
// It returns nil when it was notified, and otherwise the context's error; a
// context that is done already makes it give the mutex up and take it again. The
// error is [ErrOwnerDied], perhaps together with the context's, when it got the
// mutex from one who died. In all these cases the mutex is held.
//
// It is not held after [ErrNotRecoverable], after [ErrClosed], which means that
// the handle on the condition or the mutex has been closed, and when a segment
// cannot be used any more.
//
// Nothing has happened when the error is [ErrNotLocked] or [ErrNotOwner]: this
// handle does not hold the mutex, or an [Owner] does, see WaitAs; or
// [ErrInconsistent]: it is held, and has yet to be marked consistent.
func (c *Cond) Wait(ctx context.Context) error {
	_, err := c.wait(ctx)
	return wrap("wait on", c.spot.Name(), err)
}

// WaitAs is Wait for a mutex that o holds, however often: it is given up
// altogether, and then held as often again.
func (c *Cond) WaitAs(ctx context.Context, o *Owner) error {
	if o.depth == 0 || o.m.l.w != c.m.l.w {
		return wrap("wait on", c.spot.Name(), ErrNotOwner)
	}
	depth := o.depth
	o.depth = 0
	o.m.holder.Store(nil)
	held, err := c.wait(ctx)
	if held {
		o.depth = depth
		o.m.holder.Store(o)
	}
	return wrap("wait on", c.spot.Name(), err)
}

// WaitFor waits until pred, which is called with the mutex held, returns true. It
// does not wait if it does so at once. The errors are those of Wait; when the
// context ends pred gets a last chance, and after [ErrOwnerDied] none.
func (c *Cond) WaitFor(ctx context.Context, pred func() bool) error {
	if err := c.m.l.owned(c.m.l.w.Load()); err != nil {
		return wrap("wait on", c.spot.Name(), err)
	}
	for !pred() {
		held, err := c.wait(ctx)
		if held && err != nil && !errors.Is(err, ErrOwnerDied) && pred() {
			return nil
		}
		if err != nil {
			return wrap("wait on", c.spot.Name(), err)
		}
	}
	return nil
}

// Signal wakes one waiter, if there is one. See Notify.
func (c *Cond) Signal() error { return c.Notify(1) }

// Broadcast wakes all waiters. See Notify.
func (c *Cond) Broadcast() error { return c.Notify(math.MaxInt) }

// Notify wakes up to n of those who wait now; who waits later is not affected.
// They go on when the caller gives the mutex up. n of 0 or less wakes nobody. It
// does not wait for them. The errors are [ErrNotLocked] and [ErrNotOwner] when
// this handle does not hold the mutex, and [ErrClosed].
func (c *Cond) Notify(n int) error {
	if err := c.spot.Seg.Retain(); err != nil {
		return wrap("notify", c.spot.Name(), err)
	}
	defer c.spot.Seg.Release()
	if err := c.m.l.owned(c.m.l.w.Load()); err != nil {
		return wrap("notify", c.spot.Name(), err)
	}
	if n > 0 {
		c.notify(uint64(n))
	}
	return nil
}

// String says how many wait, and who holds the mutex.
func (c *Cond) String() string {
	n := c.waiting()
	s := fmt.Sprintf("lock.Cond(%s, %d waiting, %s)", c.spot.Name(), n, describe(c.m.spot.Seg, c.m.Holder()))
	runtime.KeepAlive(c)
	return s
}

// Segment returns the segment in which the condition lies.
func (c *Cond) Segment() *shm.Segment { return c.spot.Seg }

// Close gives up this handle, and that on the condition's own mutex. Waiting
// calls return [ErrClosed]. Closing a handle that came from At does nothing.
func (c *Cond) Close() error { return c.spot.Close() }

// Handover implements shm.Handle: the child gets a handle of its own, with
// [Inherited]. A mutex from the options is passed to it separately.
func (c *Cond) Handover() (shm.Handover, error) { return c.spot.Handover() }
