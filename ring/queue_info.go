package ring

import (
	"context"
	"errors"
	"time"

	"github.com/sluice-ipc/sluice/internal/sys"
	"github.com/sluice-ipc/sluice/shm"
)

// Len returns how many messages are in the queue: put and not taken, or put back.
// It is right for an instant during the call, unless many others are at work.
// After Close it is 0.
func (q *Queue[T]) Len() (n int) {
	q.q.look(func() { n = q.q.depth() + q.q.orphans() })
	return n
}

// Cap returns the most messages that can be in the queue.
func (q *Queue[T]) Cap() int { return int(q.q.size.n) }

// Empty reports whether Len is zero.
func (q *Queue[T]) Empty() bool { return q.Len() == 0 }

// Full reports whether there are Cap messages in the queue, not counting those
// that were put back, so that a Put has to wait. It may have to wait for memory as
// well, see QueueOptions.Bytes. After Close it is false.
func (q *Queue[T]) Full() (full bool) {
	q.q.look(func() { full = q.q.depth() >= q.Cap() })
	return full
}

// MaxMessage returns the longest message in bytes, as it travels.
func (q *Queue[T]) MaxMessage() int { return q.q.maxMessage }

// ChunkSize returns how many bytes of a message lie together.
func (q *Queue[T]) ChunkSize() int { return q.q.chunkSize }

// Name returns the name of the queue's segment, as errors show it.
func (q *Queue[T]) Name() string { return q.q.name }

// Segment returns the segment that holds the queue.
func (q *Queue[T]) Segment() *shm.Segment { return q.q.seg }

// Handover implements shm.Handle: the child joins the queue as a participant of
// its own, with InheritedQueue.
func (q *Queue[T]) Handover() (shm.Handover, error) {
	return shm.Handover{Segment: q.q.seg}, nil
}

// CloseSend ends the queue for producers, in all processes: Put fails with
// ErrClosed, and consumers get io.EOF once everything has been taken. What Put
// returned nil for will be got, also when it ran at the same time.
func (q *Queue[T]) CloseSend() error { return q.q.closeSend() }

// Flush waits until everything that was put through this handle has been taken
// by a consumer. Other than Python's join_thread it is never needed to keep
// messages from being lost.
func (q *Queue[T]) Flush(ctx context.Context) error {
	if q.q.opts.Guard {
		return q.q.guard(func() error { return q.q.flush(ctx) })
	}
	return q.q.flush(ctx)
}

// Close gives up this handle, for no other process: blocked calls on it return
// ErrClosed. What has been put stays in the queue. Loans and taken messages may
// still be given back, and keep the memory mapped until then; unfinished tasks
// are put back. Close may be called twice.
func (q *Queue[T]) Close() error { return q.q.close() }

// QueueStats is what is known of a queue. All but Depth and Unfinished count since
// the queue was made, by all processes, and survive their deaths; a process that
// is killed between doing something and counting it leaves that out, except for
// Puts and Gets, which are exact.
type QueueStats struct {
	Depth     int // messages in the queue, orphans included
	Orphans   int // of them, those that were put back, by repair or by Requeue
	HighWater int // the largest depth that a producer has seen
	Capacity  int

	// OldestAge is how long ago the oldest message that is in the queue was
	// put, 0 if there is none or QueueOptions.Stamp was not set.
	OldestAge time.Duration

	Puts uint64 // messages published, modulo about 2^40
	Gets uint64 // messages taken from the ring the first time, modulo about 2^40

	Dropped     uint64 // because the queue was full: DropNewest, DropOldest
	Discarded   uint64 // instead of being delivered again
	Redelivered uint64 // delivered again
	Requeued    uint64 // put back by Requeue, or by a Close with unfinished tasks
	DeadLetters uint64 // given to a dead-letter handler
	Recovered   uint64 // chunks taken back from dead participants

	Chunks     int // in the pool
	FreeChunks int
	Held       int // messages that are lent, or taken and not given back; a long one is one
	Unfinished int // tasks, of a joinable queue

	ConsumersWaiting int  // calls of the living that wait for messages
	ProducersWaiting int  // calls of the living that wait for room
	Closed           bool // CloseSend was called

	Participants []shm.Participant
}

// Stats returns what is known of the queue. It may be called at any time, and
// costs a look at every chunk.
func (q *Queue[T]) Stats() (s QueueStats) {
	q.q.look(func() { s = q.q.stats() })
	return s
}

func (q *queue) stats() QueueStats {
	c := &q.ctl.count
	s := QueueStats{
		Orphans: q.orphans(), Capacity: int(q.size.n), OldestAge: q.oldestAge(),
		HighWater: int(min(c.high.Load(), uint64(q.size.n))),
		Puts:      q.since(q.findTail()), Gets: q.since(q.findHead()),
		Dropped: c.dropped.Load(), Discarded: c.discarded.Load(),
		Redelivered: c.redelivered.Load(), Requeued: c.requeued.Load(),
		DeadLetters: c.deadLetters.Load(), Recovered: c.recovered.Load(),
		Chunks: q.geo.chunks,
		Closed: q.ctl.closing.Load() != 0,
	}
	s.Depth = q.depth() + s.Orphans
	for i := range q.geo.slots {
		if st, _ := q.peer.Slot(i); st == shm.Active {
			s.ConsumersWaiting += int(q.waitsOf(i).getting.Load())
			s.ProducersWaiting += int(q.waitsOf(i).putting.Load())
		}
	}
	for i := range q.geo.chunks {
		switch kindOf(q.state(uint32(i)).Load()) {
		case kindFree:
			s.FreeChunks++
		case kindLoaned, kindHeld:
			s.Held++
		}
	}
	if q.joinable() {
		s.Unfinished = q.unfinished()
	}
	if q.seg != nil {
		s.Participants = q.seg.Participants()
	}
	return s
}

// oldestAge is the age of the oldest message in the queue, orphans included, 0 if
// it is not known.
func (q *queue) oldestAge() time.Duration {
	if q.stamps == nil {
		return 0
	}
	now := sys.Monotonic()
	age := func(c uint32) time.Duration {
		return time.Duration(max(0, now-int64(q.stamps[c].Load())))
	}
	if c, _ := q.oldestOrphan(); c != noChunk {
		return age(c) // orphans were taken before all that is in the ring
	}
	h := q.findHead()
	w := q.word(h.idx).Load()
	if c := chunkOfWord(w); stateOfWord(w) == wordFull && lapOfWord(w) == h.lap && int(c) < q.geo.chunks {
		return age(c)
	}
	return 0
}

// since is how many positions lie before c.
func (q *queue) since(c cursor) uint64 {
	n := q.size.positions()
	return (q.size.pos(c) + n - q.ctl.start.Load()%n) % n
}

func joinErrors(a, b error) error {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	}
	return errors.Join(a, b)
}

// Inherit implements shm.Inheritor, for package shm/proc.
func (*Queue[T]) Inherit(name string) (any, error) { return InheritedQueue[T](name, nil) }
