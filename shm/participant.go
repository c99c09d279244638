package shm

import (
	"fmt"
	"os"
	"time"

	"github.com/sluice-ipc/sluice/internal/hook"
	"github.com/sluice-ipc/sluice/internal/sys"
)

// ID names one participant of one segment for good: the slot, and which of its
// owners. It is never 0, so that a word which holds an ID can say nobody. (The
// incarnation of a slot wraps after 2^32 joins.)
type ID uint64

func makeID(slot int, incarnation uint32) ID {
	return ID(uint64(slot)<<32 | uint64(incarnation))
}

// Slot returns the index in the participants table.
func (id ID) Slot() int { return int(id >> 32) }

// Incarnation returns which owner of that slot it is, counted from 1.
func (id ID) Incarnation() uint32 { return uint32(id) }

func (id ID) String() string {
	return fmt.Sprintf("%d.%d", id.Slot(), id.Incarnation())
}

// State is what a participant's slot says.
type State uint8

const (
	Free   State = 0
	Active State = 1 // somebody's, who may have died since
	Dead   State = 2 // proven dead, repair not finished
)

func (st State) String() string {
	switch st {
	case Free:
		return "free"
	case Active:
		return "active"
	case Dead:
		return "dead"
	}
	return fmt.Sprintf("state(%d)", uint8(st))
}

// The fields of a slot's word. A word with bits that should be zero is none of
// the three states: nobody joins, leaves, marks or repairs it.
func wordOf(st State, incarnation uint32) uint64 {
	return uint64(incarnation)<<32 | uint64(st)
}

func incarnationOf(w uint64) uint32 { return uint32(w >> 32) }

func isState(w uint64, st State) bool { return uint32(w) == uint32(st) }

// Locks. Slot i is locked by byte 2^40+i of the file, whoever replaces or
// removes its name by byte 2^41, whoever replaces a dead one by the whole
// file. The bytes lie beyond any data and need not exist.
const (
	lockBase = 1 << 40
	lockName = 1 << 41
)

func lockOf(slot int) int64 { return lockBase + int64(slot) }

// join makes us a participant, through lockFD. check is called with a slot
// locked, which keeps everybody from replacing the segment: it says whether
// the segment is still the one to join. errAgain means that others hold locks
// for a moment.
func (s *Segment) join(o *Options, check func() error) error {
	for range len(s.slots) + 1 {
		locked, err := s.tryJoin(o, check)
		if err != nil || s.id != 0 {
			return err
		}
		if locked {
			return errAgain
		}
		if !s.makeRoom() {
			return s.full(check)
		}
	}
	return errAgain
}

// full is what join returns when it saw no free slot. While somebody replaces
// the segment, the dead look alive, because all slots are locked.
func (s *Segment) full(check func() error) error {
	held, err := sys.LockedOFD(s.lockFD, lockName, 1)
	if err != nil {
		return err
	}
	if held {
		return errAgain
	}
	if err := check(); err != nil {
		return err
	}
	return ErrFull
}

// tryJoin tries all slots that are free. locked: some of those were locked,
// by others who are joining or leaving, or who replace the segment.
func (s *Segment) tryJoin(o *Options, check func() error) (locked bool, err error) {
	for i := range s.slots {
		w := s.slots[i].word.Load() //sync:shm-free acquire: nothing names the slot's past owners
		if !isState(w, Free) {
			continue
		}
		hook.At("shm.join.lock")
		if err := sys.LockOFD(s.lockFD, lockOf(i), 1); err == sys.ErrLocked {
			locked = true
			continue
		} else if err != nil {
			return false, err
		}
		hook.At("shm.join.locked")
		err := check()
		if err == nil && s.take(i, w, o) {
			return false, nil
		}
		locked = true // taken since we looked, and given back already
		if err2 := sys.UnlockOFD(s.lockFD, lockOf(i), 1); err == nil {
			err = err2
		}
		if err != nil {
			return false, err
		}
	}
	return locked, nil
}

// take enters us into slot i, whose lock we hold and whose word was w. It
// fails if the word is no longer that.
func (s *Segment) take(i int, w uint64, o *Options) bool {
	n := incarnationOf(w) + 1
	if n == 0 {
		n = 1
	}
	p := &s.slots[i]
	if p.word.Load() != w {
		return false
	}
	if j, ok := s.repairer.(Joiner); ok {
		hook.At("shm.join.prepare")
		j.Join(i)
	}
	s.introduce(p, o)
	p.pid.Store(uint32(os.Getpid()))
	hook.At("shm.join.active")
	if !p.word.CompareAndSwap(w, wordOf(Active, n)) { //sync:shm-slot release: the fields say who we are, and Join is done
		return false
	}
	s.id = makeID(i, n)
	s.ctl.roster.Add(1) //sync:shm-roster release: a slot has changed
	return true
}

// introduce fills in what the others may want to know of us.
func (s *Segment) introduce(p *slot, o *Options) {
	p.pidNS.Store(sys.PidNamespace())
	p.start.Store(sys.StartTime(os.Getpid()))
	p.joined.Store(time.Now().UnixNano())
	setText(&p.label, o.Label)
}

// leave gives our slot up. The lock comes after the word, so that nobody takes
// the one for free and the other for a death.
func (s *Segment) leave() {
	i, n := s.id.Slot(), s.id.Incarnation()
	hook.At("shm.leave.free")
	if s.slots[i].word.CompareAndSwap(wordOf(Active, n), wordOf(Free, n)) { //sync:shm-free release: we own nothing any more
		s.ctl.roster.Add(1) //sync:shm-roster release: a slot has changed
	}
}

// Slots returns how many slots the segment has: the MaxParticipants of whoever
// made it, and one more than the largest [ID.Slot].
func (s *Segment) Slots() int { return len(s.slots) }

// Slot returns what slot i says now, and its owner: the last one if the slot
// is free, incarnation 0 if there was none. What no participant writes there
// passes for free. Nothing is tested; see [Segment.Gone].
//
// It is a single load, for code that keeps something in the data area for each
// participant. Of a slot that is not free, it sees what [Joiner.Join] did.
//
// Preconditions: i is at least 0 and less than Slots, and the memory is there,
// as for [Segment.Data].
func (s *Segment) Slot(i int) (State, ID) {
	w := s.slots[i].word.Load() //sync:shm-slot acquire: what Join has prepared
	id := makeID(i, incarnationOf(w))
	if isState(w, Active) || isState(w, Dead) {
		return State(w), id
	}
	return Free, id
}

// AnyDead reports whether somebody is known to be dead whose repair is not
// finished. Nothing is tested; see [Segment.CheckPeers].
//
// Preconditions: the memory is there, as for [Segment.Data].
func (s *Segment) AnyDead() bool {
	for i := range s.slots {
		if isState(s.slots[i].word.Load(), Dead) { //sync:shm-dead acquire: what it did before it died
			return true
		}
	}
	return false
}

// Participant is what a slot said when it was read. All but ID and State was
// written by the participant about itself, and may be old or wrong.
type Participant struct {
	ID     ID
	State  State
	PID    int // in its own PID namespace; 0: on its way to a child
	Label  string
	Joined time.Time
	Self   bool // this attachment
}

// Participants lists everybody who is in the segment, the dead that are not
// yet repaired included. It is nil after Close.
func (s *Segment) Participants() []Participant {
	if s.Retain() != nil {
		return nil
	}
	defer s.Release()
	var all []Participant
	for i := range s.slots {
		p := &s.slots[i]
		w := p.word.Load() //sync:shm-slot acquire: who the owner says it is
		if !isState(w, Active) && !isState(w, Dead) {
			continue
		}
		id := makeID(i, incarnationOf(w))
		all = append(all, Participant{
			ID: id, State: State(w), PID: int(p.pid.Load()),
			Label:  textOf(p.label[:]),
			Joined: time.Unix(0, p.joined.Load()),
			Self:   id == s.id,
		})
	}
	return all
}
