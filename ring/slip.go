package ring

import (
	"sync"
	"time"

	"github.com/sluice-ipc/sluice/internal/cpu"
	"github.com/sluice-ipc/sluice/internal/mem"
	"github.com/sluice-ipc/sluice/internal/race"
)

// slip keeps a reader at a distance from a writer that sends all the time.
//
// A reader that is faster than its writer meets every frame the moment that it
// is published, and each then costs a transfer of its line in both directions.
// Waiting a little, once, lets frames gather that cost far less each. (The
// observation is FastForward's, "temporal slipping".) A reader that waits for
// an answer must not do that. It is told apart by its waits, which are longer
// than those between two frames of a stream, and by what has gathered.
type slip struct {
	on    bool
	got   int // messages released since the last wait
	short int // waits in a row that were over at once
}

const (
	slipAfter = 64 // short waits in a row that make a stream
	slipShort = 5  // pauses, some 0.1 µs: a wait of at most that is short
	slipGain  = 4  // messages that must have gathered to go on slipping
)

// pollTime lies between two looks at a header. Each look takes the header's line
// away from a writer that is about to write it; looking all the time makes the
// writer wait longer than it brings the reader forward.
const pollTime = 80 * time.Nanosecond

var pauses = sync.OnceValue(func() uint32 {
	return uint32(max(pollTime/cpu.PauseTime(), 1))
})

// gather begins a wait of n polls, about a microsecond, and spends half of it at
// once when that has been paying.
func (s *slip) gather(n int) {
	if s.on {
		if s.on = s.got >= slipGain; s.on {
			cpu.Pause(uint32(n/2 + 1))
		}
	}
	s.got = 0
}

// won ends a wait that was over at the i-th poll.
func (s *slip) won(i int) {
	if i >= slipShort {
		s.short = 0
	} else if s.short++; s.short >= slipAfter {
		s.on, s.got, s.short = true, slipGain, 0
	}
}

// lost ends a wait that was in vain.
func (s *slip) lost() { s.short = 0 }

// glance polls n times, about a microsecond, for a frame at next.
func (rd *Reader) glance(n int) bool {
	s := &rd.slip
	s.gather(n)
	word := rd.r.words.At(rd.next)
	// A message of 64 bytes reaches into the next line. Looking at both lets
	// the processor fetch them together once the writer has changed them.
	behind := rd.r.words.At(rd.next + mem.CacheLine)
	step := int(rd.pauses)
	for i := 0; i < n; i += step {
		if !race.Enabled { // which takes it for an access, as the payload's
			behind.Load()
		}
		if word.Load() != 0 {
			rd.spin.Won(i)
			s.won(i)
			return true
		}
		cpu.Pause(rd.pauses)
	}
	s.lost()
	return false
}
