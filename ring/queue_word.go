package ring

import "github.com/sluice-ipc/sluice/shm"

// Positions count messages. They are taken modulo the largest multiple of the
// capacity that 40 bits hold, so that a position always says which word of the
// ring it means, and laps modulo that many turns. At ten million messages a
// second a position comes again after 30 hours; two that are compared are never
// that far apart, unless a process was stopped for so long in the middle of an
// operation and wakes up at exactly the position it slept at.
const (
	posBits  = 40
	posMask  = 1<<posBits - 1
	chkBits  = 22
	chkMask  = 1<<chkBits - 1
	incBits  = 12
	slotBits = 9
)

// What the widths allow, and what is sensible.
const (
	maxItems     = 1 << 20
	maxChunks    = 1<<chkBits - 1
	maxChunkSize = 1 << 30
	maxSlots     = 1 << slotBits
	maxLanes     = 16
	maxHold      = 1 << 10
)

// A word of the ring:
//
//	bits 24-63  lap
//	bits 22-23  state
//	bits  0-21  chunk, when full
const (
	wordEmpty  = 0 // this lap's message has not been published
	wordFull   = 1 // published, not taken
	wordSealed = 2 // none will be: the queue ends here
)

func wordOf(lap uint64, state uint64, chunk uint32) uint64 {
	return lap<<24 | state<<22 | uint64(chunk)
}

func lapOfWord(w uint64) uint64   { return w >> 24 }
func stateOfWord(w uint64) uint64 { return w >> 22 & 3 }
func chunkOfWord(w uint64) uint32 { return uint32(w & chkMask) }

// lapsOf returns how many laps there are in a queue of n words.
func lapsOf(n uint64) uint64 { return (1 << posBits) / n }

// The state word of a chunk:
//
//	bits 61-63  kind
//	bits 52-60  slot of the owner; of an orphan all ones if it was put back
//	bits 40-51  its incarnation, truncated
//	bits  0-39  position; of a part: head and tag; of DONE: lane and ordinal
//
// A chunk that is free is zero.
const (
	kindFree    = 0
	kindLoaned  = 1 // being filled
	kindQueued  = 2 // in the ring at that position, or about to be
	kindHeld    = 3 // taken from that position
	kindOrphan  = 4 // its holder died or put it back
	kindPart    = 5 // continues the message whose head is that chunk
	kindDiscard = 6 // being freed
	kindDone    = 7 // a finished task that has not been counted for certain
	kindShift   = 61
	ownerShift  = posBits
	ownerMask   = (1<<(slotBits+incBits) - 1) << ownerShift
	putBack     = ownerMask // in place of the owner of an orphan: nobody died
)

func kindOf(s uint64) uint64 { return s >> kindShift }

// ownerOf returns the owner's bits of a participant.
func ownerOf(id shm.ID) uint64 {
	inc := uint64(id.Incarnation()) & (1<<incBits - 1)
	return (uint64(id.Slot())<<incBits | inc) << ownerShift
}

// stateOf makes a state word. owner is in place already, rest are the low bits.
func stateOf(kind, owner, rest uint64) uint64 { return kind<<kindShift | owner | rest }

// A part's low bits are its head and a tag that is different for each chain of
// its producer, so that a repairer who slept does not take one for another. The
// tag wraps after 2^18 chains.
const tagBits = posBits - chkBits

func partOf(owner uint64, head uint32, tag uint64) uint64 {
	return stateOf(kindPart, owner, uint64(head)<<tagBits|tag&(1<<tagBits-1))
}

func headOf(s uint64) uint32 { return uint32(s >> tagBits & chkMask) }

// DONE's low bits are the lane and how many tasks that lane has finished with
// this one, which wraps after 2^36.
const ordinalBits = posBits - 4

func doneOf(owner uint64, lane int, n uint64) uint64 {
	return stateOf(kindDone, owner, uint64(lane)<<ordinalBits|n&(1<<ordinalBits-1))
}

// An announcement, in the taking word of a lane: the position and chunk that it
// is about to take, or zero.
//
//	bits 24-63  position
//	bits  2-23  chunk
//	bit   0     set
func announce(pos uint64, chunk uint32) uint64 { return pos<<24 | uint64(chunk)<<2 | 1 }

func announced(a uint64) (pos uint64, chunk uint32) {
	return a >> 24, uint32(a >> 2 & chkMask)
}

// The meta word of a chunk, which only its owner writes: of a head the length of
// the message, and how often it has been delivered before; of every chunk of a
// chain but the last which one comes next.
//
//	bits 32-63  length in bytes
//	bits 22-31  deliveries before, at most 1023
//	bits  0-21  next chunk
func metaOf(length int, tries int, next uint32) uint64 {
	return uint64(length)<<32 | uint64(min(tries, maxTries))<<chkBits | uint64(next)
}

const maxTries = 1<<10 - 1

func lengthOf(m uint64) int  { return int(m >> 32) }
func triesOf(m uint64) int   { return int(m >> chkBits & maxTries) }
func nextOf(m uint64) uint32 { return uint32(m & chkMask) }

// A cursor is a position as lap and index.
type cursor struct {
	lap uint64
	idx uint32
}

// ringSize is what it takes to reckon with positions.
type ringSize struct {
	n    uint32 // words
	laps uint64
}

func sizeOfRing(n int) ringSize { return ringSize{uint32(n), lapsOf(uint64(n))} }

func (r ringSize) pos(c cursor) uint64 { return c.lap*uint64(r.n) + uint64(c.idx) }

func (r ringSize) cursorAt(pos uint64) cursor {
	return cursor{pos / uint64(r.n) % r.laps, uint32(pos % uint64(r.n))}
}

// positions is how many there are before they come again.
func (r ringSize) positions() uint64 { return r.laps * uint64(r.n) }

func (r ringSize) nextLap(lap uint64) uint64 {
	if lap++; lap == r.laps {
		return 0
	}
	return lap
}

func (r ringSize) next(c cursor) cursor {
	if c.idx++; c.idx == r.n {
		return cursor{r.nextLap(c.lap), 0}
	}
	return c
}

// advance returns the position n behind c; n is no more than the ring has words.
func (r ringSize) advance(c cursor, n uint32) cursor {
	if c.idx += n; c.idx >= r.n {
		return cursor{r.nextLap(c.lap), c.idx - r.n}
	}
	return c
}

// lapDiff returns a-b, the shorter way round.
func (r ringSize) lapDiff(a, b uint64) int64 { return signedDiff(a, b, r.laps) }

// distance returns how far a is ahead of b.
func (r ringSize) distance(a, b cursor) int64 {
	return signedDiff(r.pos(a), r.pos(b), r.positions())
}

func signedDiff(a, b, modulus uint64) int64 {
	d := int64(a) - int64(b)
	switch half := int64(modulus / 2); {
	case d > half:
		d -= int64(modulus)
	case d < -half:
		d += int64(modulus)
	}
	return d
}
