package lock

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"

	"github.com/sluice-ipc/sluice/internal/hook"
	"github.com/sluice-ipc/sluice/internal/mem"
	"github.com/sluice-ipc/sluice/internal/place"
	"github.com/sluice-ipc/sluice/shm"
)

// MaxParties is how many parties a barrier can have.
const MaxParties = 1<<12 - 1

// Barrier lets goroutines of all processes go on together: Wait returns when as
// many have called it as the barrier has parties, again and again. A fast one
// that calls it anew belongs to the next round and overtakes nobody.
//
// A barrier breaks, with an error for all who wait and for all who come later,
// rather than keep anybody waiting for somebody who will not come: when the
// context of one who waits ends, when the action fails, on Abort, and on the
// death of a party. A party is a process that has called Wait and has not closed
// its handle since, whether it is waiting or not; of one that dies before it calls
// Wait for the first time nobody knows. A party that dies when it has arrived may
// count in that round, and breaks the next one. Reset makes the barrier usable
// again. A process that is merely stopped is waited for.
type Barrier struct {
	spot    place.Spot
	state   *atomic.Uint64
	ends    ends
	cells   []atomic.Uint64 // of the participants
	parties int
	action  func() error
	party   party
	room    room
	key     uint64 // for the race detector
}

// A barrier is laid out as
//
//	offset      size  field
//	     0         8  tag
//	     8         8  parties
//	    16         8  state, see round
//	    24         4  event
//	    32  8 each  8  ends
//	   128  8 each     cells, one for each slot: incarnation<<32 | how many
//	                  handles of that participant are party
const (
	barrierParties = 8
	barrierState   = 16
	barrierEvent   = 24
	barrierEnds    = 32
	barrierCells   = mem.FalseShare
)

func (*Barrier) kind() string { return "barrier" }

func (*Barrier) size(o *Options, slots int) (int64, error) {
	if o.Parties < 0 || o.Parties > MaxParties {
		return 0, badParties(o.Parties)
	}
	return barrierCells + place.Round(8*int64(slots)), nil
}

// lay writes the number of parties of a barrier in a segment of its own, before
// anybody else can attach without saying it.
func (*Barrier) lay(b []byte, o *Options) {
	mem.Uint64(b, barrierParties).Store(uint64(o.Parties))
}

func (*Barrier) enough(o *Options) error {
	if o.Parties == 0 {
		return badParties(0)
	}
	return nil
}

func badParties(n int) error {
	return &OptionError{Field: "Parties", Value: n, Want: fmt.Sprint("1 to ", MaxParties)}
}

func (b *Barrier) attach(p place.Spot, o *Options) error {
	n, err := p.Claim(barrierParties, "number of parties", uint64(o.Parties))
	switch {
	case err != nil:
		return err
	case n == 0:
		return badParties(0)
	case n > MaxParties:
		return &shm.FormatError{Segment: p.Name(), Field: "number of parties", Got: n, Want: fmt.Sprint("1 to ", MaxParties)}
	}
	b.spot, b.parties, b.action, b.key = p, int(n), o.Action, p.Key()
	b.state = mem.Uint64(p.Data, barrierState)
	b.ends = mem.Slice[atomic.Uint64](p.Data, barrierEnds, remembered)
	b.cells = mem.Slice[atomic.Uint64](p.Data, barrierCells, p.Seg.Slots())
	b.room = newRoom(mem.Uint32(p.Data, barrierEvent), p.Seg)
	return nil
}

// Wait arrives at the barrier and waits until all parties have. It returns in
// which place it arrived, counted from 0, a different one for each party of the
// round. The last one runs its handle's Action before anybody goes on; the action
// must not wait at the barrier.
//
// The error is [ErrBarrierBroken] when the barrier is broken already, or breaks
// before all have arrived; [ErrOwnerDied] as well if it was the death of a party;
// the context's as well if that ended, which breaks
// the barrier for all others; that of the action as well in the one who ran it.
// A context that is done already breaks the barrier unless this is the last
// arrival. [ErrClosed]: the handle was closed, which breaks the barrier if it is
// waiting.
//
// While the last one runs its action the next round has not begun: who comes
// then waits for its begin, and breaks nothing when its context ends.
//
// Once a round is complete all who waited get nil, however late they come to see
// it and whatever became of the barrier meanwhile. (After more than eight further
// resets it is not known any more: [ErrBarrierBroken].)
func (b *Barrier) Wait(ctx context.Context) (int, error) {
	if err := b.spot.Seg.Retain(); err != nil {
		return 0, wrap("wait at", b.spot.Name(), err)
	}
	defer b.spot.Seg.Release()
	place, err := b.meet(ctx)
	return place, wrap("wait at", b.spot.Name(), err)
}

// Abort breaks the barrier: all who wait and all who come get [ErrBarrierBroken],
// until Reset. It fails only with [ErrClosed], or when the segment cannot be used
// any more.
func (b *Barrier) Abort() error {
	if err := b.spot.Seg.Retain(); err != nil {
		return wrap("abort", b.spot.Name(), err)
	}
	defer b.spot.Seg.Release()
	for {
		v := round(b.state.Load())
		if v&broken != 0 {
			return nil
		}
		b.fail(v, 0)
	}
}

// Reset makes a broken barrier usable again, and forgets the parties that have
// died. Who waits gets [ErrBarrierBroken]. It fails as Abort does.
func (b *Barrier) Reset() error {
	if err := b.spot.Seg.Retain(); err != nil {
		return wrap("reset", b.spot.Name(), err)
	}
	defer b.spot.Seg.Release()
	b.spot.Seg.CheckPeers()
	b.check(round(b.state.Load())) // so that a death is not forgotten if we die behind forget
	b.forget()
	for {
		v := round(b.state.Load())
		b.ends.record(v)
		hook.At("lock.barrier.reset")
		if b.state.CompareAndSwap(uint64(v), uint64(v.next(false))) { //sync:barrier-round release: what was done before Reset
			b.room.ev.WakeAll()
			return nil
		}
	}
}

// Parties returns how many parties the barrier has.
func (b *Barrier) Parties() int { return b.parties }

// Waiting returns how many have arrived in this round and wait for the others: 0
// when the barrier is broken.
func (b *Barrier) Waiting() int {
	n := round(b.state.Load()).arrived()
	runtime.KeepAlive(b)
	return min(n, b.parties)
}

// Broken reports whether the barrier is broken: whether Wait would fail at once.
func (b *Barrier) Broken() bool {
	is := round(b.state.Load())&broken != 0 || b.bereft()
	runtime.KeepAlive(b)
	return is
}

// String says how many wait.
func (b *Barrier) String() string {
	state := fmt.Sprintf("%d of %d waiting", b.Waiting(), b.parties)
	if b.Broken() {
		state = "broken"
	}
	return fmt.Sprintf("lock.Barrier(%s, %s)", b.spot.Name(), state)
}

// Segment returns the segment in which the barrier lies.
func (b *Barrier) Segment() *shm.Segment { return b.spot.Seg }

// Close gives up this handle: this process is not a party through it any more,
// and the barrier need not break when it ends. Waiting calls return [ErrClosed],
// which breaks the barrier. A handle that came from At is not closed, only not a
// party until its next Wait; close it before the segment.
func (b *Barrier) Close() error {
	if b.spot.Seg.Retain() == nil {
		b.part(func(p *party) { p.leaving = true })
		b.spot.Seg.Release()
	}
	return b.spot.Close()
}

// Handover implements shm.Handle: the child gets a handle of its own, with
// [Inherited], and becomes a party when it first waits.
func (b *Barrier) Handover() (shm.Handover, error) { return b.spot.Handover() }
