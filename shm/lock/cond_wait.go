package lock

import (
	"context"
	"errors"

	"github.com/sluice-ipc/sluice/internal/hook"
)

// wait is Wait, and says whether the mutex is held afterwards.
func (c *Cond) wait(ctx context.Context) (held bool, err error) {
	v := c.m.l.w.Load()
	switch err := c.m.l.owned(v); {
	case err != nil:
		return false, err
	case c.m.holder.Load() != nil:
		return false, ErrNotOwner
	case v&inconsistent != 0:
		return true, ErrInconsistent // giving it up would make it unrecoverable
	}
	if err := c.spot.Seg.Retain(); err != nil {
		c.m.unlock(false)
		return false, err
	}
	defer c.spot.Seg.Release()
	w := &waiting{c, c.enter()}
	defer c.exit()
	for {
		if err := c.m.unlock(false); err != nil {
			return false, err // somebody else has unlocked it: not ours any more
		}
		late := w.sleep(ctx)
		err := c.m.Lock(context.Background())
		if err != nil && !errors.Is(err, ErrOwnerDied) {
			return false, err
		}
		switch {
		case c.take(w.ticket):
			return true, err
		case !c.spot.Seg.Usable():
			c.m.unlock(true)
			return false, c.spot.Seg.Retain() // which says why
		case late != nil || err != nil:
			return true, errors.Join(err, late)
		}
	}
}

// waiting is one who waits, and the condition of that one's sleep.
type waiting struct {
	c      *Cond
	ticket uint64
}

// sleep sleeps until it may be worth while to take the mutex again.
func (w *waiting) sleep(ctx context.Context) error {
	if s := w.c.m.spot.Seg; s != w.c.spot.Seg {
		// Who holds the mutex must be looked after as well.
		if err := s.Retain(); err != nil {
			return err
		}
		defer s.Release()
		s.Asleep(w)
		defer s.Awake(w)
	}
	return w.c.room.wait(ctx, w)
}

// Tick implements wait.Sleeper, for the segment of the mutex.
func (w *waiting) Tick() {
	if w.Ready() {
		w.c.room.ev.WakeAll()
	}
}

// Ready reports whether there is a grant for us, or nobody may be left to give
// one: the mutex was somebody's who died, or is lost.
func (w *waiting) Ready() bool {
	c := w.c
	return c.granted(w.ticket) || c.m.l.orphaned() ||
		!c.spot.Seg.Usable() || !c.m.spot.Seg.Usable()
}

// orphaned reports whether who locks now is told that an owner died, or that the
// lock is lost.
func (l *word) orphaned() bool {
	v := l.w.Load()
	owner := v & ownerBits
	return v&lost != 0 || owner == 0 && v&inconsistent != 0 || owner != 0 && over(l.seg, owner)
}

// granted reports whether one with that ticket may go on.
func (c *Cond) granted(ticket uint64) bool {
	return c.grants.Load() > 0 && int64(ticket-c.bound.Load()) < 0 //sync:cond-bound acquire: how many may go on
}

// What follows is done with the mutex held, and a death in the middle is told to
// a waiter by the mutex, whatever the words say then.

// enter makes us a waiter, and returns the ticket.
func (c *Cond) enter() uint64 {
	// Who took the place of a waiter that died has no claim to its grant.
	hook.At("lock.cond.enter")
	c.grants.Store(min(c.grants.Load(), c.waiting()))
	id := c.spot.Seg.ID()
	cell := &c.cells[id.Slot()]
	hook.At("lock.cond.cell")
	for {
		v := cell.Load()
		next := v + 1
		if uint32(v>>32) != id.Incarnation() {
			next = uint64(id.Incarnation())<<32 | 1 // of somebody who is gone
		}
		if cell.CompareAndSwap(v, next) {
			break
		}
	}
	hook.At("lock.cond.ticket")
	return c.tail.Add(1) - 1
}

// exit undoes the cell's part of enter. It needs no mutex.
func (c *Cond) exit() {
	id := c.spot.Seg.ID()
	cell := &c.cells[id.Slot()]
	hook.At("lock.cond.exit")
	for {
		v := cell.Load()
		if uint32(v>>32) != id.Incarnation() || uint32(v) == 0 || cell.CompareAndSwap(v, v-1) {
			return
		}
	}
}

// take takes a grant for one with that ticket, if there is one.
func (c *Cond) take(ticket uint64) bool {
	if !c.granted(ticket) {
		return false
	}
	hook.At("lock.cond.take")
	c.grants.Store(c.grants.Load() - 1)
	return true
}

// wakeOneByOne is up to how many sleepers are woken each by itself.
const wakeOneByOne = 64

// notify lets n more of those who wait go on.
func (c *Cond) notify(n uint64) {
	waiting := c.waiting()
	granted := min(c.grants.Load(), waiting)
	hook.At("lock.cond.grant")
	c.grants.Store(granted + min(n, waiting-granted))
	hook.At("lock.cond.bound")
	c.bound.Store(c.tail.Load()) //sync:cond-bound release: how many may go on
	hook.At("lock.cond.wake")
	if n >= min(waiting, wakeOneByOne) {
		c.room.ev.WakeAll()
		return
	}
	for range n {
		c.room.ev.Wake()
	}
}

// waiting returns how many wait who are not known to be dead.
func (c *Cond) waiting() (n uint64) {
	for i := range c.cells {
		v := c.cells[i].Load()
		if uint32(v) != 0 && !over(c.spot.Seg, uint64(i)<<32|v>>32) {
			n += uint64(uint32(v))
		}
	}
	return n
}
