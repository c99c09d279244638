package ring

import (
	"github.com/sluice-ipc/sluice/internal/cpu"
	"github.com/sluice-ipc/sluice/internal/hook"
)

// In a batch each step is done for all messages before the next, so that the
// transfers of their lines overlap. The messages themselves are put and taken one
// by one, each with an announcement of its own.

const (
	// batchSize is how many messages are worked on together.
	batchSize = 16

	// batchChunk is the largest chunk that is worth it.
	batchChunk = 256

	// batchLinger is how many pauses, some 0.2 µs, a consumer waits for the
	// rest of what is being put.
	batchLinger = 8

	// batchLane is the lane of a participant that does batches, so that each
	// needs chunks for one only.
	batchLane = 0
)

// batch is how many chunks a participant may need for a batch.
func (g *geometry) batch() int {
	if g.chunkSize > batchChunk {
		return 1
	}
	return batchSize
}

// allocBatch fills b with chunks that are LOANED to us, as far as there are any,
// and returns how many. There is none unless there is room for one message.
func (l *lane) allocBatch(b []uint32) (n int) {
	if l.sawClosing = l.q.ctl.closing.Load(); l.sawClosing != 0 { //sync:queue-closing acquire: nobody may put any more
		return 0
	}
	if _, st := l.room(); st != done {
		return 0
	}
	for n < len(b) {
		if b[n] = l.alloc(); b[n] == noChunk {
			break
		}
		n++
	}
	return n
}

// publishBatch publishes the messages of b in order and returns how many there
// was room for. The others' chunks are given back.
func (l *lane) publishBatch(b []uint32) (n int) {
	q := l.q
	for n < len(b) {
		if l.publish(b[n]) != done {
			break
		}
		n++
		q.items.Wake()
		l.step(l.t, wordEmpty)
	}
	for _, c := range b[n:] {
		l.unused(c)
	}
	return n
}

// takeBatch takes messages of size bytes that are in the ring, up to len(b), and
// returns how many. It stops before anything that needs a closer look.
func (l *lane) takeBatch(b []uint32, size int) (n int) {
	q := l.q
	if q.ctl.epoch.Load() != l.seen {
		return 0
	}
	b = b[:l.count(len(b))]
	for n = 0; n < len(b); n++ {
		w := q.word(l.h.idx).Load()
		if w&^chkMask != wordOf(l.h.lap, wordFull, 0) || int(chunkOfWord(w)) >= q.geo.chunks {
			break
		}
		m, st := l.takeFrom(w)
		if st != done {
			break
		}
		if m.n != size || m.tries != 0 {
			hook.At("queue.take.strange")
			q.requeue(m)
			break
		}
		b[n] = m.c
	}
	return n
}

// count returns how many messages are in the ring, up to most, and asks for their
// lines. While they are coming it waits for more: to take the first from under the
// hands of who is putting the next would cost both of them a transfer for each.
func (l *lane) count(most int) (n int) {
	q, at := l.q, l.h
	for seen := -1; n > seen && n < most; {
		if seen = n; n > 0 {
			cpu.Pause(batchLinger)
		}
		for n < most {
			w := q.word(at.idx).Load()
			if w&^chkMask != wordOf(at.lap, wordFull, 0) {
				break
			}
			q.chunks.prefetch(chunkOfWord(w))
			at = q.size.next(at)
			n++
		}
	}
	return n
}
