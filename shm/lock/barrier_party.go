package lock

import (
	"sync"

	"github.com/sluice-ipc/sluice/internal/hook"
)

// A party is what a handle has to do with its participant's cell.
type party struct {
	mu      sync.Mutex
	in      bool // the handle is counted in the cell
	leaving bool // it has been closed, and is not to be counted any more
	inside  int  // calls of Wait, during which it is
}

// join makes this handle a party, if it is none, and notes a call of Wait. It
// fails if the barrier is broken: the cell may be that of a dead party, which
// nobody may forget before the barrier is broken.
func (b *Barrier) join() error {
	p := &b.party
	p.mu.Lock()
	defer p.mu.Unlock()
	for !p.in {
		if err := b.check(round(b.state.Load())); err != nil {
			return err
		}
		p.in = b.count(1)
	}
	p.leaving = p.leaving && b.spot.Own // who was placed may come back
	p.inside++
	return nil
}

// part changes the party, and takes a handle that is closed out of the cell when
// nobody waits through it.
func (b *Barrier) part(change func(*party)) {
	p := &b.party
	p.mu.Lock()
	defer p.mu.Unlock()
	change(p)
	if p.in && p.leaving && p.inside == 0 {
		b.count(-1)
		p.in = false
	}
}

// count adds by to how many handles our cell counts. It fails if the cell is that
// of somebody who had the slot before us.
func (b *Barrier) count(by int64) bool {
	id := b.spot.Seg.ID()
	cell := &b.cells[id.Slot()]
	for {
		old := cell.Load()
		if old != 0 && uint32(old>>32) != id.Incarnation() {
			return false
		}
		next := uint64(0)
		if n := int64(uint32(old)) + by; n > 0 {
			next = uint64(id.Incarnation())<<32 | uint64(uint32(n))
		}
		hook.At("lock.barrier.party")
		if cell.CompareAndSwap(old, next) { //sync:barrier-party release: that we are one, before we arrive
			return true
		}
	}
}

// bereft reports whether a party is known to be dead, or to have left without
// closing its handle.
func (b *Barrier) bereft() bool {
	for i := range b.cells {
		v := b.cells[i].Load() //sync:barrier-party acquire: who is a party
		if v != 0 && over(b.spot.Seg, uint64(i)<<32|v>>32) {
			return true
		}
	}
	return false
}

// forget removes the parties of whom bereft tells.
func (b *Barrier) forget() {
	for i := range b.cells {
		v := b.cells[i].Load()
		if v != 0 && over(b.spot.Seg, uint64(i)<<32|v>>32) {
			hook.At("lock.barrier.forget")
			b.cells[i].CompareAndSwap(v, 0)
		}
	}
}
