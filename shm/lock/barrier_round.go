package lock

import (
	"fmt"
	"sync/atomic"

	"github.com/sluice-ipc/sluice/internal/hook"
)

// A round is the state of a barrier:
//
//	bits 0-11   how many have arrived; all, while the last one runs its action
//	bit  12     BROKEN: nobody gets through any more; nobody counts as arrived
//	bit  13     DIED: it was the death of a party
//	bits 14-33  era: how often the barrier was reset
//	bits 34-63  number of the round
//
// A round ends when it is complete, or by a reset, which begins a new era: so in
// an era all rounds before the present one were complete. Who is late, having been
// stopped, say, knows its own round, and finds out what became of it from a later
// state and, if that is of a later era, from what the resets have recorded.
//
// The number wraps after 2^30 rounds and the era after 2^20 resets, in the course
// of one wait.
type round uint64

const (
	arrivedBits round = 1<<12 - 1
	broken      round = 1 << 12
	died        round = 1 << 13
	eraShift          = 14
	roundShift        = 34
	oneEra      round = 1 << eraShift
	oneRound    round = 1 << roundShift
	eraBits           = oneRound - oneEra
	idBits            = ^(oneEra - 1) // which round it is
)

func (v round) arrived() int { return int(v & arrivedBits) }

// next is the state that the next round begins with.
func (v round) next(complete bool) round {
	n := v&idBits + oneRound
	if !complete {
		n = n&^eraBits | (n+oneEra)&eraBits
	}
	return n
}

// same reports whether two states are of one round.
func (v round) same(w round) bool { return (v^w)&idBits == 0 }

// erasLater returns how many eras v is after w.
func (v round) erasLater(w round) int {
	const unused = 32 - (roundShift - eraShift)
	return int(int32(uint32(v>>eraShift-w>>eraShift)<<unused) >> unused)
}

// roundsLater compares two states of one era.
func (v round) roundsLater(w round) int {
	const unused = 32 - (64 - roundShift)
	return int(int32(uint32(v>>roundShift-w>>roundShift)<<unused) >> unused)
}

// remembered is of how many eras it is known how they ended.
const remembered = 8

// ends says of each of the last eras which round was the last one, that did not
// become complete, and whether that was because a party died: its state without
// BROKEN and who had arrived.
type ends []atomic.Uint64

func (e ends) of(v round) *atomic.Uint64 { return &e[v>>eraShift%remembered] }

// record says that state v is the last one of its era. If a reset that stands
// aside for others has been here with an earlier state, or comes later, the latest
// state of the era remains: that is the one which was in fact replaced, because
// whoever replaced it recorded it first, and the era had no later one.
func (e ends) record(v round) {
	v &= idBits | died
	w := e.of(v)
	for {
		old := round(w.Load())
		era, number := v.erasLater(old), v.roundsLater(old)
		if era < 0 || era == 0 && (number < 0 || number == 0 && v <= old) {
			return
		}
		hook.At("lock.barrier.record")
		if w.CompareAndSwap(uint64(old), uint64(v)) {
			return
		}
	}
}

// errPartyDied is what a barrier says that broke because a party died.
var errPartyDied = fmt.Errorf("%w: a party died: %w", ErrBarrierBroken, ErrOwnerDied)

// why is the error of a round that did not become complete.
func (v round) why() error {
	if v&died != 0 {
		return errPartyDied
	}
	return ErrBarrierBroken
}

// outcome returns nil if the round of state mine was complete, and otherwise why
// it was not. now is a later state, or one of the same round, broken.
func (e ends) outcome(mine, now round) error {
	if mine.same(now) {
		return now.why()
	}
	if mine.erasLater(now) == 0 {
		return nil
	}
	last := round(e.of(mine).Load())
	switch {
	case last.erasLater(mine) != 0:
		return ErrBarrierBroken // too long ago
	case mine.roundsLater(last) < 0:
		return nil
	}
	return last.why()
}
