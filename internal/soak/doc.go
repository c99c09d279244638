// Package soak is a long test of ring.Queue: processes that put and get are
// killed all the time and replaced, and in the end every message is accounted
// for. It has no code but its test's; .ci/soak.sh runs that for as long as it is
// told.
//
// A life is one queue, made as one of several plans says. Four producers and four
// consumers, each a process, use it for one or more epochs; one of the eight,
// picked at random, is killed every 50 ms and replaced. Memory of the test's own,
// the ledger, survives them: a producer writes down that it begins to put a
// message, and then that it has put it or that it could not; a consumer writes
// down each delivery before it gives the message back. At the end of an epoch the
// queue is drained and the ledger audited:
//
//   - Every message that was put has been delivered, whole.
//   - None was delivered that was not begun, or whose put had failed.
//   - It was delivered again only after a consumer that had it was killed or put
//     it back, and then it was, with a higher count of deliveries.
//   - What one producer put, each consumer got in that order, but for what was
//     delivered again.
//   - Once a consumer was told of the end, nothing came for the first time.
//   - The queue is as new: all chunks are free, and nobody is in it. No file and
//     no descriptor is left.
//
// A Get has let go of its message when it returns, before the consumer can write
// it down. Plans that allow it allow one message for each consumer that was
// killed in the middle of one.
package soak
