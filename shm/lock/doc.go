// Package lock is locks between processes that survive the death of who holds
// them.
//
// A [Mutex] protects what one at a time may change; an [Owner] of it takes it
// recursively. An [RWMutex] lets many read at a time. A [Semaphore] hands out a
// number of permits, or counts signals. A [Cond] is where those who hold a mutex
// wait for a change of what it protects. An [Event] is a flag to wait for, and a
// [Barrier] lets a fixed number of parties go on together. Between goroutines of
// one process, package sync is several times faster; for a number that several
// processes add to, package value needs no lock at all.
//
//	m, err := lock.OpenOrCreate[lock.Mutex]("accounts", nil)
//	if err != nil {
//		return err
//	}
//	defer m.Close()
//	err = m.Lock(ctx)
//	if errors.Is(err, lock.ErrOwnerDied) { // and we have the lock
//		repair()
//		err = m.MarkConsistent()
//	}
//	if err != nil {
//		return err
//	}
//	change()
//	return m.Unlock()
//
// # Memory
//
// Each lock lies in a segment of its own, by name ([Create], [Open],
// [OpenOrCreate]), without one ([Anonymous]) and then passed to children
// ([Inherited], with shm.Pass) or over sockets ([FromFile]); or several lie beside
// each other and beside data in a segment of the caller's ([At], [Size]). Memory
// that is zero is a lock that nobody holds.
//
// A handle that can be reached keeps its memory mapped. Close of a handle wakes
// those who wait through it, with [ErrClosed]. What is held through the handle
// stays held, and the handle with it a participant, until it is given back; so a
// handle that is forgotten with the lock held keeps the others out for as long as
// its process lives.
//
// # Concurrency
//
// All calls may be made by any number of goroutines and processes, those of one
// [Owner] by one goroutine at a time. Locks belong to a handle, not to a
// goroutine: who locks through one unlocks through the same, and a second
// handle of the same process is as much another as one of another process. (But
// what [At] returns for one and the same Segment is one holder, however often.) What
// the caller does not hold it cannot give up: that is an error and changes nothing.
//
// Calls that wait take a context, and end when it does. With one that is done
// already they try once. Deadlines go by the monotonic clock. Without contention
// no call makes a system call or allocates.
//
// # Ordering
//
// What was done before a lock was given up is visible to who gets it next, in
// any process; what a dead owner did, to who is told of its death. The same holds
// from Release to Acquire, from Set to Wait, and from each party that arrives at a
// barrier to each that goes on.
//
// # Crashes
//
// A process may die at any instruction, and nobody who lives waits for it. What
// then happens is never decided by a timeout: a process is dead when the kernel
// says so, and one that is merely stopped keeps what it holds. See package shm.
//
//   - Owner of a Mutex, writer of an RWMutex: the next one who locks gets the lock
//     together with [ErrOwnerDied], and no other is told. It repairs what the lock
//     protects and calls MarkConsistent. If it dies as well, the next one is
//     told; if it unlocks without that call, everybody gets [ErrNotRecoverable]
//     from then on, those who wait included. A process that ends in any other
//     way with the lock held counts as dead.
//   - Reader of an RWMutex: its read lock is void. Readers that come after the
//     death of a writer get [ErrInconsistent] until a writer has been told.
//   - Holder of a permit: the permit is free. A permit that was consumed, or made
//     by Release, stays so.
//   - Whoever waits, anywhere: it is as if it had never come. A party of a barrier
//     breaks it, with an error that is both [ErrBarrierBroken] and ErrOwnerDied.
//
// Deaths are noticed by those who wait, at once or within some 50 ms, and by those
// who come, at once. A process that dies just when it was to wake another may cost
// that one 50 ms.
//
// [Mutex.Locker] is for code that knows nothing of this: it calls a function of
// the caller's where Lock would return ErrOwnerDied.
//
// # Fairness
//
// Locks are not handed over in the order of arrival, which would cost a switch
// between processes each time: who is running gets a lock that is free. But who
// has waited for a millisecond asks for it, and those who have not leave it alone
// for up to a millisecond then. So nobody starves beside others that lock and
// unlock in a loop: each process gets a good part of its share. TryLock and its
// like do not give way.
//
// # Trust
//
// Whatever another process writes into the memory, calls here neither panic nor
// touch other memory nor loop for ever; they return the lock or an error. Whether
// it then excludes anybody is another matter: who can write into the memory can
// open every lock in it, and one that it says is held by a living process stays
// so. Touching a lock in a named segment whose file was truncated ends the
// process, unless that is done inside shm.Guard; what a call took that ended in
// this way is not given back.
//
// # Platforms
//
// Linux on amd64 and arm64, as package shm. Elsewhere nothing can be made or
// opened: errors.ErrUnsupported.
package lock
