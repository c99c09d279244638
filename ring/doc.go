// Package ring passes messages between processes through shared memory.
//
// A [Ring] carries messages of any length, in order, from one [Writer] to one
// [Reader]. Messages are written in place and read in place; a blocked end
// sleeps on a futex, and no system call is made while its peer is awake.
//
//	r, err := ring.Create("prices", nil)     // in one process
//	w, err := r.Writer()
//	err = w.Write(ctx, []byte("EURUSD 1.08"))
//
//	r, err := ring.Open("prices", nil)       // in another
//	rd, err := r.Reader()
//	for msg, err := range rd.All(ctx) { … }
//
// For a two-way connection with objects, use package conn, which stands on
// this one.
//
// # Memory
//
// A ring lies in a segment of package shm, or in any memory that the caller
// provides ([Init], [Attach]).
//
// # Concurrency
//
// Each end is held by one process at a time; within that process any number of
// goroutines may use it, one at a time being inside. A memory loan (Reserve to
// Commit, Peek to Release) counts as being inside.
//
// # Ordering
//
// Messages arrive in the order in which they were committed. What the writing
// process did before Commit is visible to the reading one after Peek.
//
// # Crashes
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
// before publishing it is what lets a successor find the end without repair.
package ring
