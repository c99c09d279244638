package lock

import "fmt"

// A round is the state of a barrier:
//
//	bits 0-11   how many have arrived; all, while the last one runs its action
//	bit  12     BROKEN: nobody gets through any more; nobody counts as arrived
//	bit  13     DIED: it was the death of a party
//	bit  14     SCARRED: some round has ended without being complete
//	bits 15-23  how many rounds before this one were complete, without a break
//	            between them, at most 511
//	bits 24-31  whether each of the last 8 was complete, the latest in bit 24
//	bits 32-63  number of the round
//
// It ends a round to complete it, or to reset the barrier. Whoever is late, having
// been stopped, say, knows the number of its own round and finds in a later state
// what became of it. The number wraps after 2^32 rounds.
type round uint64

const (
	broken  round = 1 << 12
	died    round = 1 << 13
	scarred round = 1 << 14

	oneRun  round = 1 << 15
	runBits round = 511 * oneRun

	lastDone    round = 1 << 24
	historyBits round = 255 * lastDone
	history           = 8

	oneRound round = 1 << 32

	arrivedBits round = 1<<12 - 1
)

func (v round) arrived() int   { return int(v & arrivedBits) }
func (v round) number() uint32 { return uint32(v >> 32) }

// next is the state that the next round begins with.
func (v round) next(complete bool) round {
	n := v&^(oneRound-1) + oneRound
	n |= v & historyBits << 1 & historyBits
	if !complete {
		return n | scarred
	}
	return n | lastDone | v&scarred | min(v&runBits+oneRun, runBits)
}

// complete reports whether an earlier round of that number was complete, as far
// as v can tell.
func (v round) complete(number uint32) bool {
	ago := v.number() - number
	switch {
	case ago <= history:
		return v>>(ago-1)&lastDone != 0
	case v&scarred == 0:
		return true
	}
	return ago <= uint32(v&runBits/oneRun)
}

// errPartyDied is what a barrier says that broke because a party died.
var errPartyDied = fmt.Errorf("%w: a party died: %w", ErrBarrierBroken, ErrOwnerDied)

// outcome returns nil if the round of that number was complete, as far as v can
// tell, and otherwise why it was not. The present round is not.
func (v round) outcome(number uint32) error {
	switch {
	case number != v.number():
		if v.complete(number) {
			return nil
		}
	case v&died != 0:
		return errPartyDied
	}
	return ErrBarrierBroken
}
