package main

import (
	"sync/atomic"
	"time"

	"github.com/sluice-ipc/sluice/internal/mem"
	"github.com/sluice-ipc/sluice/internal/sys"
)

// The canary's memory: the word that passes to and fro, and the block that one
// writes and the other reads.
const (
	canaryBlockAt = 4 << 10
	canaryBlock   = 64 << 10
	canaryMemory  = canaryBlockAt + canaryBlock

	canaryTrips  = 4000 // a millisecond or so
	canaryWrites = 200  // likewise
	canaryWarmUp = 200
	canaryTime   = 300 * time.Millisecond // at most, for each of the three

	// Flags in the word beside the count. An odd count is the follower's turn.
	canaryReads = 1 << 62 // it reads the block
	canaryOver  = 1 << 63 // it answers for the last time
)

// A sighting is what a canary saw: where the two CPUs are.
type sighting struct {
	RTT float64 `json:"rtt_ns"` // one cache line to the other CPU and back
	BW  float64 `json:"gbps"`   // GB/s, writing lines that the other has just read
}

// class names the placement, by the bounds that it has always had: the letters
// of different runs must mean the same.
func (s sighting) class() string {
	switch {
	case s.BW > 25:
		return "A"
	case s.BW > 4:
		return "B"
	}
	return "C"
}

// noPlacement stands where there was no canary: one CPU, or no shared memory.
const noPlacement = "-"

// placement names where a repetition ran, given the canaries at its two ends:
// both letters when the CPUs moved meanwhile.
func placement(before, after *sighting) string {
	if before == nil || after == nil {
		return noPlacement
	}
	if b, a := before.class(), after.class(); a != b {
		return b + a
	}
	return before.class()
}

// pure reports whether a placement is that of a whole repetition.
func pure(placement string) bool { return len(placement) == 1 }

// A canary is one process's half of it.
type canary struct {
	word  *atomic.Uint64
	block []byte
	mine  []byte // what the first process writes
	turns uint64 // handed over so far, by either, and the flags
}

func newCanary(m sys.Mapping) *canary {
	b := m.Bytes()
	c := &canary{
		word:  mem.Uint64(b, 0),
		block: b[canaryBlockAt : canaryBlockAt+canaryBlock],
		mine:  make([]byte, canaryBlock),
	}
	for i := range c.mine {
		c.mine[i] = 1
	}
	return c
}

// pass hands the turn over and waits, polling, until it comes back. It never
// returns if the peer dies: the parent ends us then.
func (c *canary) pass() {
	c.word.Store(c.turns + 1)        //sync:bench-canary release: the peer's turn
	for c.word.Load() != c.turns+2 { //sync:bench-canary acquire: our turn
	}
	c.turns += 2
}

// repeat does f up to n times and returns how often it did: on a machine that
// is busy with something else a turn takes a time slice, and the time runs out.
func repeat(n int, f func()) int {
	deadline := time.Now().Add(canaryTime)
	for i := range n {
		f()
		if i%16 == 15 && time.Now().After(deadline) {
			return i + 1
		}
	}
	return n
}

// lead is the first process's part.
func (c *canary) lead() *sighting {
	repeat(canaryWarmUp, c.pass)
	began := time.Now()
	trips := repeat(canaryTrips, c.pass)
	rtt := float64(time.Since(began)) / float64(trips)
	c.turns |= canaryReads
	var writing time.Duration
	writes := repeat(canaryWrites, func() {
		began := time.Now()
		copy(c.block, c.mine)
		writing += time.Since(began)
		c.pass()
	})
	c.turns |= canaryOver
	c.pass()
	c.turns = 0
	c.word.Store(0)
	bytes := float64(writes * canaryBlock)
	return &sighting{RTT: rtt, BW: bytes / float64(max(writing, 1))}
}

// follow is the other's: it answers, and reads each block.
func (c *canary) follow() *sighting {
	var sum, turns uint64
	for turns&canaryOver == 0 {
		w := c.word.Load() //sync:bench-canary acquire: our turn
		if w&1 == 0 {
			continue
		}
		turns = w + 1
		if turns&canaryReads != 0 {
			sum += touch(c.block)
		}
		c.word.Store(turns) //sync:bench-canary release: the peer's turn
	}
	canarySum.Store(sum)
	return nil
}

// canarySum keeps the compiler from leaving the reads out.
var canarySum atomic.Uint64

// touch reads from each cache line.
func touch(b []byte) (sum uint64) {
	for at := 0; at < len(b); at += mem.CacheLine {
		sum += uint64(b[at])
	}
	return sum
}
