package ring

import (
	"sync"
	"sync/atomic"

	"github.com/sluice-ipc/sluice/internal/hook"
	"github.com/sluice-ipc/sluice/internal/wait"
	"github.com/sluice-ipc/sluice/shm"
)

// A role word says who has an end of the ring:
//
//	bits 60-63  PeerState
//	bits  0-59  shm.ID of who holds it, or held it last
//
// Only compare-and-swap changes it, so that a slow repairer changes nothing.
const roleState = 60

// PeerState is what has become of an end of the ring.
type PeerState uint8

const (
	PeerNone   PeerState = iota // nobody has held it yet
	PeerAlive                   // somebody holds it, as far as is known
	PeerClosed                  // the last holder has closed it
	PeerDied                    // the last holder died
)

func (s PeerState) String() string {
	switch s {
	case PeerNone:
		return "none"
	case PeerAlive:
		return "alive"
	case PeerClosed:
		return "closed"
	case PeerDied:
		return "died"
	}
	return "corrupt"
}

// departed reports whether the holder was there and is not any more.
func (s PeerState) departed() bool { return s == PeerClosed || s == PeerDied }

func role(s PeerState, id shm.ID) uint64 { return uint64(s)<<roleState | uint64(id) }

func roleOf(w uint64) (PeerState, shm.ID) {
	return PeerState(w >> roleState), shm.ID(w & (1<<roleState - 1))
}

// id returns our participant. Without a host there is only one.
func (r *Ring) id() shm.ID {
	if r.host == nil {
		return 1
	}
	return r.host.ID()
}

// takeTries bounds the attempts to take a role while others change it.
const takeTries = 64

// take makes word ours. A role that our participant already holds, because it
// was handed to this process, is simply resumed.
func (r *Ring) take(word *atomic.Uint64) error {
	for range takeTries {
		hook.At("ring.take.look")
		w := word.Load()
		state, id := roleOf(w)
		if state == PeerAlive {
			if r.host != nil && id == r.id() {
				if _, held := roles.LoadOrStore(word, r); held {
					return ErrBusy
				}
				return nil
			}
			// Gone proves it, or says that somebody lives. When it
			// proves a death it also repairs, which changes the word.
			if r.host == nil || !r.host.Gone(id) {
				return ErrBusy
			}
			hook.At("ring.take.bury")
			word.CompareAndSwap(w, role(PeerDied, id))
			continue
		}
		hook.At("ring.take.swap")
		if word.CompareAndSwap(w, role(PeerAlive, r.id())) { //sync:role acquire: the predecessor's last head or frame is ours to go on from
			roles.Store(word, r)
			return nil
		}
	}
	return ErrBusy
}

// roles has the role words that rings of this process use, so that a second
// Ring over the same memory is not taken for the successor that a participant
// which was moved here is.
var roles sync.Map // *atomic.Uint64 to *Ring

// peer returns what the role word of the writer or of the reader says, while
// the memory is there.
func (r *Ring) peer(writer bool) PeerState {
	if r.retain() != nil {
		return PeerNone
	}
	defer r.release()
	state, _ := roleOf(r.word(writer).Load())
	return state
}

// word returns a role word. Even to name it touches the memory, as Go checks the
// pointer to the control block.
func (r *Ring) word(writer bool) *atomic.Uint64 {
	if writer {
		return &r.ctl.writer
	}
	return &r.ctl.reader
}

// rouse wakes whoever sleeps at an end of ours that is being closed. Memory that is
// gone is left alone: who sleeps on it finds that out.
func (r *Ring) rouse(own *wait.Event) {
	var err error
	if r.opts.Guard {
		defer r.recoverFault(&err, armFaults())
	}
	own.Rouse()
}

// retire gives up an end for good: its role, to whom waits on the other end's
// event, and its hold on the memory. Memory that is gone is left alone.
func (r *Ring) retire(writer bool, peer *wait.Event) {
	defer r.release()
	var err error
	if r.opts.Guard {
		defer r.recoverFault(&err, armFaults())
	}
	r.give(r.word(writer))
	peer.WakeAll()
}

// give records that we have closed our role.
func (r *Ring) give(word *atomic.Uint64) {
	roles.Delete(word)
	hook.At("ring.give")
	word.CompareAndSwap(role(PeerAlive, r.id()), role(PeerClosed, r.id())) //sync:role release: all we published is visible to who sees us closed
}

// Repair implements shm.Repairer: roles of the dead become PeerDied, and
// everybody who waits looks again. A ring in memory of the caller's own gets
// it called by its host.
func (r *Ring) Repair(dead shm.ID) (clean bool) {
	for _, word := range []*atomic.Uint64{&r.ctl.writer, &r.ctl.reader} {
		hook.At("ring.repair")
		word.CompareAndSwap(role(PeerAlive, dead), role(PeerDied, dead)) //sync:role release: the death is visible to who wakes
	}
	r.data.WakeAll()
	r.space.WakeAll()
	return true
}
