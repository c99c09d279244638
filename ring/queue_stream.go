package ring

import "github.com/sluice-ipc/sluice/internal/cpu"

// A stream keeps a lane at a distance from peers that are as busy as it is.
//
// A consumer that follows its producer step by step meets it in the same cache
// lines all the time: each access of the one takes the line away from the other,
// and both are as slow as the line travels. A little further behind it takes
// over whole lines that nobody needs any more, several times as fast. So a lane
// that has done many messages without a wait looks now and then whether there is
// work for some more, and if not lets it gather for a moment. The same goes for a
// producer that follows the consumers around a full ring. (The observation is
// FastForward's, "temporal slipping".)
//
// Who waits for an answer is never held up: it waits after each message.
type stream struct {
	got  int  // messages since the last wait
	far  bool // nobody was close by at the last look
	near int  // looks in a row that found a peer close by
	skip int  // looks to leave out
	off  int  // how many the next failure leaves out
}

const (
	streamLook  = 16  // messages from one look to the next
	streamLine  = 8   // words in a cache line
	streamAfter = 4   // looks in a row that have the lane wait
	streamAhead = 128 // messages to gather
	streamWait  = 16  // microseconds, about, that they are given
	streamMax   = 1 << 12
)

// step counts a message that was done at the position before at. state is what
// the word of a position says where there is work for this lane.
func (l *lane) step(at cursor, state uint64) {
	if l.stream.got++; l.stream.got%streamLook == 0 {
		l.look(at, state)
	}
	if l.stream.far && at.idx%streamLine == 0 {
		l.q.prefetchWord(at.idx + 2*streamLine)
	}
}

func (l *lane) look(at cursor, state uint64) {
	s := &l.stream
	if l.q.size.n < 2*streamAhead {
		return
	}
	if s.far = l.isWork(l.q.size.advance(at, streamAhead), state); s.far {
		s.near = 0
		return
	}
	if s.skip > 0 {
		s.skip--
		return
	}
	if s.near++; s.near < streamAfter {
		return
	}
	s.near = 0
	if l.gather(l.q.size.advance(at, streamAhead), state) {
		s.off = 1
		return
	}
	s.skip, s.off = s.off, min(2*s.off+1, streamMax)
}

func (l *lane) isWork(at cursor, state uint64) bool {
	return l.q.word(at.idx).Load()&^chkMask == wordOf(at.lap, state, 0)
}

// gather waits until there is work at the position at, for some microseconds.
func (l *lane) gather(at cursor, state uint64) bool {
	pauses := int(cpu.PerMicrosecond()) * streamWait
	for i := 0; i < pauses; i += int(l.pauses) {
		if l.isWork(at, state) {
			return true
		}
		cpu.Pause(l.pauses)
	}
	return false
}

// glance polls n times, about a microsecond, for a change of the word that stood
// in the way of the last try.
func (l *lane) glance(n int) bool {
	l.stream.got, l.stream.near, l.stream.far = 0, 0, false
	word, ctl := l.q.word(l.sawAt), l.q.ctl
	for i := 0; i < n; i += int(l.pauses) {
		if word.Load() != l.saw || ctl.closing.Load() != l.sawClosing {
			l.spin.Won(i)
			return true
		}
		cpu.Pause(l.pauses)
	}
	return false
}
