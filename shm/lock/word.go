package lock

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-ipc/sluice/internal/hook"
	"github.com/sluice-ipc/sluice/internal/mem"
	"github.com/sluice-ipc/sluice/internal/place"
	"github.com/sluice-ipc/sluice/internal/race"
	"github.com/sluice-ipc/sluice/internal/sys"
	"github.com/sluice-ipc/sluice/internal/wait"
	"github.com/sluice-ipc/sluice/shm"
)

// The word of a mutex says who holds it:
//
//	bits 0-40   shm.ID of the owner, 0: nobody
//	bit  48     INCONSISTENT: an owner died, and the present one, if any, has
//	            been told and has not called MarkConsistent
//	bit  49     LOST: unlocked in that state; nobody gets it any more
//	bit  50     STARVING: somebody has waited for long; who has not, waits a
//	            little although the lock is free. Who gets it takes the bit
//	            down, and the next one of those who wait asks anew
//	bit  51     ENTERING: the owner waits for readers to leave, and has changed
//	            nothing yet; only in an RWMutex
//
// An ID names a participant for good, so a word that names a dead one can be
// replaced by whoever read it, at any later time: no other lock operation ever
// makes the same word again. Nothing else needs repair when an owner dies.
const (
	ownerBits    = 1<<41 - 1
	inconsistent = 1 << 48
	lost         = 1 << 49
	starving     = 1 << 50
	entering     = 1 << 51
)

// patience is how long a waiter lets others barge in before it asks them to
// wait, and grace how long those then wait for it.
const (
	patience = time.Millisecond
	grace    = time.Millisecond
)

// word is this process's handle on the word of a mutex, and on the event of
// those who wait for it.
type word struct {
	w    *atomic.Uint64
	me   uint64
	take uint64 // what the word becomes when we get it: me, and ENTERING
	seg  *shm.Segment
	room room
	key  uint64 // for the race detector

	// asked is in shared memory, and nil but in an RWMutex: not 0 when readers
	// have waited for long. Writers then leave the lock to them for a little,
	// if they have waited or not.
	asked *atomic.Uint32
}

// newWord returns a handle on the word and event at those bytes of p.
func newWord(p place.Spot, at, event int) word {
	me := uint64(p.Seg.ID())
	return word{
		w: mem.At[atomic.Uint64](p.Data, at), me: me, take: me,
		seg: p.Seg, room: newRoom(mem.Uint32(p.Data, event), p.Seg), key: p.Key(),
	}
}

// quick takes a lock that is free and has nothing to tell.
func (l *word) quick() bool {
	if !l.w.CompareAndSwap(0, l.take) { //sync:lock-word acquire: what the last owner did
		return false
	}
	race.Acquire(l.key)
	return true
}

// try takes the lock if it can be had now, and says whether it did. ErrOwnerDied
// comes with the lock, the other errors without it.
func (l *word) try(patient bool) (bool, error) {
	for {
		v := l.w.Load()
		owner := v & ownerBits
		switch {
		case v&lost != 0:
			return false, ErrNotRecoverable
		case owner != 0 && !over(l.seg, owner):
			return false, nil
		case owner == 0 && v&starving != 0 && !patient:
			return false, nil
		}
		next, err := l.take, error(nil)
		if v&inconsistent != 0 || owner != 0 && v&entering == 0 {
			next, err = next|inconsistent, ErrOwnerDied
		}
		hook.At("lock.take")
		if l.w.CompareAndSwap(v, next) { //sync:lock-word acquire: what the last owner did
			race.Acquire(l.key)
			return true, err
		}
	}
}

// lock waits for the lock. ErrOwnerDied comes with the lock, the other errors
// without it.
func (l *word) lock(ctx context.Context) error {
	l.letIn()
	ok, err := l.try(false)
	if !ok && err == nil && l.probe() {
		ok, err = l.try(false)
	}
	if ok || err != nil {
		return err
	}
	q := newQueued(l)
	defer q.free()
	for patient := false; ; {
		if !patient && l.spokenFor() {
			l.giveWay()
			patient = true // whoever it was has had its chance
		} else if err := l.room.wait(ctx, q); err != nil {
			return err
		}
		if !l.seg.Usable() {
			l.room.ev.Wake()      // if one was for us, somebody else can use it
			return l.seg.Retain() // which says why
		}
		patient = patient || q.late()
		l.letIn()
		if ok, err := l.try(patient); ok || err != nil {
			return err
		}
		if patient {
			if err := ctx.Err(); err != nil {
				return err // also if somebody takes down at once what we ask
			}
			l.ask()
		}
	}
}

// spokenFor reports whether the lock is free, and left to those who have waited
// for long.
func (l *word) spokenFor() bool {
	v := l.w.Load()
	return v&ownerBits == 0 && v&starving != 0
}

// ask asks those who have not waited for long to let us go first.
func (l *word) ask() {
	if v := l.w.Load(); unasked(v) {
		hook.At("lock.ask")
		l.w.CompareAndSwap(v, v|starving)
	}
}

// unasked reports whether a word of that value says that somebody has the lock,
// and that nobody has asked for it.
func unasked(v uint64) bool { return v&ownerBits != 0 && v&(lost|starving) == 0 }

// giveWay leaves a free lock to somebody who has waited for long. If that one
// has died or given up, we take it after all.
func (l *word) giveWay() {
	l.room.ev.Wake() // the wake-up that we do not use may be for them
	for since := time.Now(); l.spokenFor() && time.Since(since) < grace; {
		runtime.Gosched() // it may be a goroutine of ours
		sys.Yield()
	}
}

// letIn leaves a free lock to readers who have waited for long. If they have died
// or given up, we go on after all.
func (l *word) letIn() {
	if l.asked == nil || l.asked.Load() == 0 {
		return
	}
	for since := time.Now(); l.asked.Load() != 0 && l.w.Load()&ownerBits == 0; {
		if time.Since(since) > grace {
			l.asked.Store(0)
			return
		}
		runtime.Gosched() // they may be goroutines of ours
		sys.Yield()
	}
}

// probe finds out, once for a wait, whether the owner is dead already: later
// deaths are noticed by the segment while somebody sleeps.
func (l *word) probe() bool {
	owner := l.w.Load() & ownerBits
	return owner != 0 && owner != l.me && l.seg.Gone(shm.ID(owner))
}

// unlock gives the lock up. Without MarkConsistent after ErrOwnerDied nobody
// gets it again, unless abandon says that the next one shall be told in turn.
func (l *word) unlock(abandon bool) error {
	for {
		v := l.w.Load()
		if err := l.owned(v); err != nil {
			return err
		}
		next := v & starving
		if v&inconsistent != 0 {
			next = lost
			if abandon {
				next = inconsistent
			}
		}
		hook.At("lock.free")
		race.Release(l.key)
		if !l.w.CompareAndSwap(v, next) { //sync:lock-word release: what we did under the lock
			continue
		}
		hook.At("lock.wake")
		if next == lost {
			l.room.ev.WakeAll()
		} else {
			l.room.ev.Wake()
		}
		return nil
	}
}

// owned says what keeps us from giving up a lock whose word is v.
func (l *word) owned(v uint64) error {
	switch v & ownerBits {
	case l.me:
		return nil
	case 0:
		return ErrNotLocked
	}
	return ErrNotOwner
}

// mark makes the lock consistent.
func (l *word) mark() error { return l.strip(inconsistent) }

// strip takes bits out of the word of a lock that we hold.
func (l *word) strip(bits uint64) error {
	for {
		v := l.w.Load()
		if err := l.owned(v); err != nil {
			return err
		}
		hook.At("lock.mark")
		if l.w.CompareAndSwap(v, v&^bits) {
			return nil
		}
	}
}

// revive makes a lost lock one whose owner died.
func (l *word) revive() {
	if v := l.w.Load(); v&lost != 0 {
		l.w.CompareAndSwap(v, inconsistent)
	}
}

// over reports whether that participant is known to have left or to have died.
// It tests nothing and is cheap.
func over(s *shm.Segment, owner uint64) bool {
	id := shm.ID(owner)
	if id.Slot() >= s.Slots() {
		return true // no participant ever had that
	}
	st, cur := s.Slot(id.Slot())
	return cur != id || st != shm.Active
}

// claim is the condition of who waits for a lock.
type claim word

// Ready reports whether to try again.
func (c *claim) Ready() bool {
	v := c.w.Load()
	owner := v & ownerBits
	return owner == 0 || v&lost != 0 || over(c.seg, owner) || !c.seg.Usable()
}

// queued is the condition of one who waits for a lock, and has to be told when it
// is time to ask for it: woken up again and again, it may find the lock held
// each time.
type queued struct {
	l     *word
	since time.Time
}

var queuedPool = sync.Pool{New: func() any { return new(queued) }}

func newQueued(l *word) *queued {
	q := queuedPool.Get().(*queued)
	q.l, q.since = l, time.Now()
	return q
}

func (q *queued) free() {
	q.l = nil
	queuedPool.Put(q)
}

// late reports whether it has waited for long.
func (q *queued) late() bool { return time.Since(q.since) > patience }

// Ready reports whether to try again, or to ask.
func (q *queued) Ready() bool {
	return (*claim)(q.l).Ready() || unasked(q.l.w.Load()) && q.late()
}

// A room is where the goroutines of this process wait for one event.
type room struct {
	ev   *wait.Event
	spin *wait.Spinner
	busy atomic.Bool // one of them is spinning, which is enough
}

// asleep makes waiters sleep at once.
var asleep = sync.OnceValue(func() *wait.Spinner { return wait.NewSpinner(wait.Never) })

func newRoom(ev *atomic.Uint32, s *shm.Segment) room {
	return room{ev: wait.NewEvent(ev, s), spin: wait.NewSpinner(wait.Adaptive)}
}

// wait waits until c is ready, or returns the context's error.
func (r *room) wait(ctx context.Context, c wait.Cond) error {
	if r.busy.CompareAndSwap(false, true) {
		ok := r.spin.Spin(c)
		r.busy.Store(false)
		if ok {
			return nil
		}
	}
	return r.ev.Sleep(ctx, c, asleep())
}
