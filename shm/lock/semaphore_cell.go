package lock

import (
	"context"
	"runtime"
	"time"

	"github.com/sluice-ipc/sluice/internal/hook"
	"github.com/sluice-ipc/sluice/internal/race"
	"github.com/sluice-ipc/sluice/internal/sys"
	"github.com/sluice-ipc/sluice/shm"
)

// A cell stands for one permit and says where that is:
//
//	bits 0-40   shm.ID of who holds it, 0: nobody
//	bits 41-60  how often the cell has changed
//	bit  62     ABSENT: there is no such permit at present
//	bit  63     FREE
//
// A cell that says none of this has never been used: it is FREE if the semaphore
// began with that many permits, else ABSENT. A permit whose holder is over is
// free, and whoever wants it replaces the exact word that it read.
const (
	freed   = 1 << 63
	absent  = 1 << 62
	oneMore = 1 << 41
	changes = 1<<61 - oneMore
)

// A state is what a cell says.
type state uint8

const (
	permitNone state = iota
	permitFree
	permitOurs
	permitTheirs
)

// state returns what v says of cell i.
func (s *Semaphore) state(i int, v uint64) state {
	owner := v & ownerBits
	switch {
	case v&freed != 0:
		return permitFree
	case v&absent != 0:
		return permitNone
	case owner == s.me:
		return permitOurs
	case owner == 0 && i >= s.permits:
		return permitNone
	case owner == 0 || over(s.spot.Seg, owner):
		return permitFree
	}
	return permitTheirs
}

// find looks for a cell in that state, from one on upwards or downwards. If there
// is none i is -1, and sum is the same in two looks only if nothing has changed
// between them.
func (s *Semaphore) find(what state, from, step int) (i int, v, sum uint64) {
	n := len(s.cells)
	i = from
	for range n {
		v = s.cells[i].Load()
		if s.state(i, v) == what {
			return i, v, 0
		}
		sum += v & changes / oneMore
		if i += step; i == n {
			i = 0
		} else if i < 0 {
			i = n - 1
		}
	}
	return -1, 0, sum
}

// looks is how often turn looks again at cells that others keep changing.
const looks = 16

// turn makes a cell that is in one state say something else, and reports whether
// there was one.
//
// A look at all cells may miss one, since others are changed meanwhile. So there
// is none only if nothing has changed from one look to the next.
func (s *Semaphore) turn(from state, to uint64, step int) bool {
	before := uint64(1<<64 - 1)
	for n := 0; n < looks; {
		hint := int(s.hint.Load())
		i, v, sum := s.find(from, hint, step)
		if i < 0 {
			if sum == before {
				return false
			}
			before = sum
			n++
			continue
		}
		hook.At("lock.permit.turn")
		race.Release(s.key)
		if s.cells[i].CompareAndSwap(v, (v&changes+oneMore)&changes|to) { //sync:lock-permit release: what we did with the permit
			if i != hint {
				s.hint.Store(int32(i))
			}
			race.Acquire(s.key)
			return true
		}
	}
	return false
}

// take takes a free permit: to is who holds it from now on, or absent.
func (s *Semaphore) take(to uint64) bool {
	return s.turn(permitFree, to, 1) //sync:lock-permit acquire: what the last holder did
}

// giving says that a permit of ours is being given back, if we have one.
func (s *Semaphore) giving() bool {
	for {
		n := s.held.Load()
		if n <= 0 {
			return false
		}
		if s.held.CompareAndSwap(n, n-1) {
			return true
		}
	}
}

// giveBack frees a permit of ours. Where we held the most recent ones, it is
// found at once.
func (s *Semaphore) giveBack() error {
	for range looks {
		if s.turn(permitOurs, freed, -1) {
			s.wake()
			return nil
		}
	}
	return &shm.FormatError{Segment: s.spot.Name(), Field: "permits of this participant", Got: 0, Want: 1}
}

// add makes a permit.
func (s *Semaphore) add() error {
	if !s.turn(permitNone, freed, 1) {
		return ErrOverRelease
	}
	s.wake()
	return nil
}

func (s *Semaphore) wake() {
	hook.At("lock.permit.wake")
	s.room.ev.Wake()
}

// probe finds out who has died, and reports whether that has freed something.
func (s *Semaphore) probe() bool {
	s.spot.Seg.CheckPeers()
	return (*permit)(s).Ready()
}

// wait takes a permit as soon as there is one.
func (s *Semaphore) wait(ctx context.Context, to uint64) error {
	s.spot.Seg.CheckPeers()
	if s.asked.Load() == 0 && s.take(to) {
		return nil // also if the context is done: the dead are no reason to fail
	}
	a := newAsker((*permit)(s), s.asked)
	defer a.free()
	for patient := false; ; {
		if !patient && s.spokenFor() {
			s.giveWay()
			patient = true // whoever it was has had its chance
		} else if err := s.room.wait(ctx, a); err != nil {
			return err
		}
		if !s.spot.Seg.Usable() {
			s.room.ev.Wake()           // as above, if it was for us
			return s.spot.Seg.Retain() // which says why
		}
		patient = patient || a.late()
		if (patient || s.asked.Load() == 0) && s.take(to) {
			return nil
		}
		if patient {
			if err := ctx.Err(); err != nil {
				return err // also if somebody takes down at once what we ask
			}
			hook.At("lock.permit.ask")
			a.ask()
		}
	}
}

// spokenFor reports whether there is a permit, for somebody who has waited for
// long.
func (s *Semaphore) spokenFor() bool { return s.asked.Load() != 0 && (*permit)(s).Ready() }

// giveWay leaves a permit to those who have waited for long. If they have died or
// given up, nobody has to wait for them again.
func (s *Semaphore) giveWay() {
	s.room.ev.Wake() // the wake-up that we do not use may be for them
	for since := time.Now(); s.spokenFor(); {
		if time.Since(since) > grace {
			s.asked.Store(0)
			return
		}
		runtime.Gosched() // it may be a goroutine of ours
		sys.Yield()
	}
}

// permit is the condition of who waits for one.
type permit Semaphore

// Ready reports whether to look for one.
func (c *permit) Ready() bool {
	s := (*Semaphore)(c)
	i, _, _ := s.find(permitFree, int(s.hint.Load()), 1)
	return i >= 0 || !s.spot.Seg.Usable()
}
