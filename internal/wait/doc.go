// Package wait blocks goroutines until another process, or another goroutine,
// has changed something.
//
// An [Event] is an eventcount: one 32-bit word in shared memory that sleepers
// mark before they sleep and wakers change before they wake. Whoever makes a
// condition true calls Wake or WakeAll afterwards, which costs one load of a
// normally read-shared line unless somebody sleeps. A waiter spins first, for a
// time that adapts (see [Spinner]), and then sleeps on a futex.
//
// The word holds a flag and a sequence, never a count of sleepers: a sleeper
// that is killed costs its peers one wasted system call, after which the word
// is clean again.
//
// A [Gate] orders the goroutines of one process that use the same end of
// something.
//
// # Ordering
//
// The waiter sets the flag and then looks at its condition; the waker publishes
// and then looks at the flag. At least one must see the other, or a wake-up is
// lost. Go's atomics order a store before a later load, so a waker that publishes
// with Store is safe. One that publishes with mem.StoreRelease is not, by
// itself, on amd64; there the waiter passes a fence on everybody's behalf between
// its two steps (see [Light]).
//
// # Crashes
//
// A waker that is killed between publishing and waking leaves a sleeper asleep
// although there is work. The [Host] closes that hole: it calls [Sleeper.Tick]
// after a participant's death and at a coarse tick.
package wait
