package shm

import (
	"fmt"

	"github.com/sluice-ipc/sluice/internal/hook"
	"github.com/sluice-ipc/sluice/internal/sys"
)

// Death is proven in one way: the slot's word says ACTIVE, the slot's lock is
// free, and the word still says ACTIVE of the same incarnation afterwards. The
// owner took the lock before it wrote the word, and frees the word before it
// gives up the lock; in between, only the kernel drops the lock, when no
// thread of the owner can touch the memory any more.

// Gone reports whether that participant's time is over: it left, or it is
// dead, which is tested here and now, recorded, and repaired as far as this
// attachment can. A process that is merely stopped is not gone. An ID that no
// participant ever had is gone. After Close it says false.
func (s *Segment) Gone(id ID) bool {
	if s.Retain() != nil {
		return false
	}
	defer s.Release()
	i := id.Slot()
	if i >= len(s.slots) {
		return true
	}
	w := s.slots[i].word.Load() //sync:shm-dead acquire: what it did before it died
	switch {
	case incarnationOf(w) != id.Incarnation():
		return true
	case isState(w, Active):
		return s.test(i, w)
	case isState(w, Dead):
		s.repair(i, w)
	}
	return true
}

// CheckPeers tests every participant's lock now, records the dead, and repairs
// what they left. Who waits in [Segment.Asleep] need not call it.
func (s *Segment) CheckPeers() {
	if s.Retain() != nil {
		return
	}
	defer s.Release()
	s.scan(func(int, uint64) bool { return true })
}

// scan looks at every slot but ours, at the active ones only if due says so.
func (s *Segment) scan(due func(i int, w uint64) bool) {
	for i := range s.slots {
		w := s.slots[i].word.Load() //sync:shm-dead acquire: what it did before it died
		switch {
		case i == s.id.Slot() && s.id != 0:
			if w != wordOf(Active, s.id.Incarnation()) {
				s.poison(ErrLost)
				return
			}
		case isState(w, Active) && due(i, w):
			s.test(i, w)
		case isState(w, Dead):
			s.repair(i, w)
		}
	}
}

// test looks for the death of slot i, whose word was w, ACTIVE. It reports
// whether that incarnation is over.
func (s *Segment) test(i int, w uint64) bool {
	if i == s.id.Slot() && s.id != 0 {
		return false
	}
	hook.At("shm.death.test")
	locked, err := sys.LockedOFD(s.lockFD, lockOf(i), 1)
	if err == nil && locked {
		return false
	}
	// About to declare a death. If something closed our descriptor, its
	// number may lead to another file by now, where nobody holds a lock.
	if !s.ownsFD() || err != nil {
		return false
	}
	hook.At("shm.death.mark")
	dead := wordOf(Dead, incarnationOf(w))
	if s.slots[i].word.CompareAndSwap(w, dead) { //sync:shm-dead release: the dead one's last stores
		hook.At("shm.death.marked")
		s.ctl.deaths.Add(1) //sync:shm-deaths release: a word says DEAD
		s.ctl.roster.Add(1) //sync:shm-roster release: a slot has changed
		s.repair(i, dead)
	}
	return true // if the CAS failed, it left, or somebody else was faster
}

// repair clears up after the dead owner of slot i, whose word was w, DEAD. One
// goroutine of a process is enough, and Repair may come back here through Gone.
func (s *Segment) repair(i int, w uint64) {
	if s.repairer == nil && s.Kind() != KindRaw {
		return // we do not know what it left; somebody else will
	}
	if !s.repairing[i].CompareAndSwap(false, true) {
		return
	}
	defer s.repairing[i].Store(false)
	hook.At("shm.repair")
	if s.slots[i].word.Load() != w {
		return
	}
	if s.repairer != nil && !s.repairer.Repair(makeID(i, incarnationOf(w))) {
		return
	}
	hook.At("shm.repair.free")
	if s.slots[i].word.CompareAndSwap(w, wordOf(Free, incarnationOf(w))) { //sync:shm-free release: nothing of the dead one is left
		s.ctl.deaths.Add(1) //sync:shm-deaths release: who marked it may have died before it counted
		s.ctl.roster.Add(1) //sync:shm-roster release: a slot has changed
	}
}

// makeRoom looks for dead participants so that one of their slots becomes
// free, and reports whether one did. It is called before we have joined.
func (s *Segment) makeRoom() bool {
	s.scan(func(int, uint64) bool { return true })
	for i := range s.slots {
		if isState(s.slots[i].word.Load(), Free) {
			return true
		}
	}
	return false
}

// ownsFD reports whether our descriptor still leads to our file, and poisons
// the segment if not.
func (s *Segment) ownsFD() bool {
	id, err := sys.Stat(s.lockFD)
	if err == nil && id.Same(s.file) {
		return true
	}
	s.poison(fmt.Errorf("%w: descriptor %d is not ours any more", ErrLost, s.lockFD))
	return false
}

// checkSelf finds out whether our own lock is still held, which only another
// description can see, and poisons the segment if not.
func (s *Segment) checkSelf() {
	if !s.ownsFD() {
		return
	}
	fd, err := sys.Reopen(s.lockFD)
	if err != nil {
		return // out of descriptors, say: no proof of anything
	}
	defer sys.Close(fd)
	locked, err := sys.LockedOFD(fd, lockOf(s.id.Slot()), 1)
	if err != nil || locked {
		return
	}
	s.poison(fmt.Errorf("%w: participant %v", ErrLost, s.id))
}
