// Package ring passes messages between processes through shared memory.
//
// A [Ring] carries messages of any length, in order, from one [Writer] to one
// [Reader]. A [Queue] carries values of a Go type from any number of producers to
// any number of consumers, each to one of them; a [JoinableQueue] also knows when
// all of them have been worked off. In both, messages can be written in place and
// read in place; who is blocked sleeps on a futex, and no system call is made
// while everybody is awake.
//
//	r, err := ring.Create("prices", nil)     // in one process
//	w, err := r.Writer()
//	err = w.Write(ctx, []byte("EURUSD 1.08"))
//
//	r, err := ring.Open("prices", nil)       // in another
//	rd, err := r.Reader()
//	for msg, err := range rd.All(ctx) { … }
//
//	q, err := ring.CreateQueue[Order]("orders", nil) // in one process
//	err = q.Put(ctx, order)
//
//	q, err := ring.OpenQueue[Order]("orders", nil)   // in any others
//	for order, err := range q.All(ctx) { … }
//
// Between two processes the ring is the quicker of the two. The queue is the one
// in which no participant, stopped or dead, holds up another. For a two-way
// connection with objects, use package conn, which stands on the ring.
//
// # Memory
//
// A ring lies in a segment of package shm, or in any memory that the caller
// provides ([Init], [Attach]); a queue in a segment.
//
// # Concurrency
//
// Each end of a ring is held by one process at a time; within that process any
// number of goroutines may use it, one at a time being inside. A memory loan
// (Reserve to Commit, Peek to Release) counts as being inside.
//
// A queue is used by as many processes as QueueOptions.Segment.MaxParticipants
// says, 64 by default, and by any number of goroutines in each, of which
// QueueOptions.Lanes are inside at a time. Loans and taken messages are not
// inside: they may be kept for any time and ended in any order.
//
// # Ordering
//
// Messages arrive in the order in which they were committed or put; those that a
// queue delivers again come before the others. What a process did before Commit
// or Put is visible to the one that gets the message, afterwards.
//
// # Crashes: rings
//
// Whenever a process dies, and at whatever instruction: a message is visible
// whole or not at all; what was committed stays and is delivered; a batch is
// visible whole or not at all; a message that had been peeked but not released
// is delivered to the next reader, again. The other end sees the death as io.EOF
// after the last message, or as ErrBrokenPipe. A new process can take over the
// end of the dead one. A message above [Ring.MaxFrame] travels in pieces, and is
// lost as a whole, which is reported, when either process dies in the middle of
// it. A process that is merely stopped is never taken for dead.
//
// # Crashes: queues
//
// Whenever a participant dies, and at whatever instruction: a message is in the
// queue whole or not at all; what was put is delivered; what it was lent is free
// again; what it had taken and not given back is delivered to another, with a
// count, or dropped and counted, as the options say. A Get has given its message
// back when it returns; Take, and Get from a JoinableQueue, have not. The death of
// all producers is not the end of a queue, unless QueueOptions.EndAlone says so.
// Others go on meanwhile, and also beside a participant that is merely stopped,
// which keeps what it has and no more. The protocol, and the few things that it
// does not promise, are in docs/queue.md.
//
// # Trust
//
// Whatever another process writes into the memory, this one neither panics nor
// reads or writes outside of it, nor loops for ever, nor allocates a length that
// it did not receive; it gets wrong data or an error that is ErrCorrupt.
//
// # Origin
//
// The byte ring with the frame header as its flag is the idea of the BPF ring
// buffer and of Agrona's one-to-one ring; clearing the word behind a frame
// before publishing it is what lets a successor find the end without repair. The
// queue passes the numbers of finished messages through its ring, so that nobody
// waits for who has begun one.
package ring
