package ring

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/sluice-ipc/sluice/shm"
)

// StartAt sets the position at which a new ring begins, so that tests cross
// the wrap of positions.
func (o Options) StartAt(p uint64) *Options {
	o.start = p
	return &o
}

// The layout, for tests that write into a ring what no writer would.
const (
	ControlSize   = controlSize
	HeadOffset    = 128
	WriterOffset  = 512
	ReaderOffset  = 520
	MaxPieceBytes = maxPieceOnWire
)

// Header returns a header word, as a hostile writer would write it.
func Header(p, kind uint64, n int) uint64 { return header(p, kind, n) }

// ReaderAsleep reports whether the reader has shown itself as a sleeper.
func ReaderAsleep(r *Ring) bool { return r.ctl.data.Load()&1 != 0 }

// HideReader takes down the sleeper's flag, as a writer does that is about to wake
// the reader and dies.
func HideReader(r *Ring) { r.ctl.data.And(^uint32(1)) }

// StartAt sets the position at which a new queue begins. Positions are taken
// modulo the largest multiple of the capacity below 2^40.
func (o QueueOptions) StartAt(p uint64) *QueueOptions {
	o.start = p
	return &o
}

// WordsOfBytes copies bytes as words.
func WordsOfBytes(b []byte) []uint64 {
	w := make([]uint64, len(b)/8)
	for i := range w {
		w[i] = binary.NativeEndian.Uint64(b[8*i:])
	}
	return w
}

// CopyWords writes words as bytes.
func CopyWords(b []byte, words []uint64) {
	for i, w := range words {
		binary.NativeEndian.PutUint64(b[8*i:], w)
	}
}

// ChunkStates describes the chunks that are not free and what participants
// announce, for tests that fail.
func ChunkStates[T any](q *Queue[T]) string {
	var s strings.Builder
	for c := range q.q.geo.chunks {
		if v := q.q.state(uint32(c)).Load(); v != 0 {
			fmt.Fprintf(&s, "chunk %d: kind %d owner %#x position %d\n",
				c, kindOf(v), v&ownerMask>>ownerShift, v&posMask)
		}
	}
	for i := range q.q.table {
		if a := q.q.table[i].taking.Load(); a != 0 {
			pos, c := announced(a)
			fmt.Fprintf(&s, "slot %d lane %d: taking chunk %d at %d\n",
				i/q.q.geo.lanes, i%q.q.geo.lanes, c, pos)
		}
	}
	return s.String()
}

// Announced reports whether a participant that is not dead announces a message.
func Announced[T any](q *Queue[T]) bool {
	for slot := range q.q.geo.slots {
		for i := range q.q.geo.lanes {
			st, _ := q.q.peer.Slot(slot)
			if st == shm.Active && q.q.laneOf(slot, i).taking.Load() != 0 {
				return true
			}
		}
	}
	return false
}

// What follows leaves a queue as a death in the middle of an operation does.

// HalfPut leaves a message that is complete and was not published.
func HalfPut[T any](q *Queue[T], b []byte) {
	l := &q.q.lanes[0]
	c, st := l.newMessage(len(b))
	if _, full := l.room(); st != done || full != done {
		panic("no room")
	}
	q.q.setState(c, stateOf(kindQueued, q.q.me, q.q.size.pos(l.t)))
}

// HalfTake leaves the next message taken and not marked as held.
func HalfTake[T any](q *Queue[T]) {
	l := &q.q.lanes[0]
	l.h = q.q.findHead()
	p := &q.q.words[l.h.idx]
	w := p.Load()
	l.pub.taking.Store(announce(q.q.size.pos(l.h), chunkOfWord(w)))
	if !p.CompareAndSwap(w, wordOf(q.q.size.nextLap(l.h.lap), wordEmpty, 0)) {
		panic("not alone")
	}
}

// HalfLook leaves the next message announced, and in the ring.
func HalfLook[T any](q *Queue[T]) {
	l := &q.q.lanes[0]
	l.h = q.q.findHead()
	w := q.q.word(l.h.idx).Load()
	l.pub.taking.Store(announce(q.q.size.pos(l.h), chunkOfWord(w)))
}

// HalfFree leaves a chain of n bytes of which a part has been freed.
func HalfFree[T any](q *Queue[T], n int) {
	l := &q.q.lanes[0]
	head, st := l.newChain(n)
	if st != done {
		panic("no room")
	}
	q.q.setState(head, stateOf(kindDiscard, q.q.me, 0))
	l.free(l.chain[1])
}

// HalfDone leaves the next task finished and not counted.
func HalfDone[T any](q *Queue[T]) {
	l := &q.q.lanes[0]
	m, st := l.take()
	if st != done {
		panic("no task")
	}
	q.q.setState(m.c, doneOf(q.q.me, l.no, l.pub.done.Load()+1))
}
