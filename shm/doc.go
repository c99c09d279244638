// Package shm is shared memory for several processes: segments, who is in
// them, and what happens when one of those dies. What lies in the memory is the
// affair of the packages above it; ring and value put queues and values there.
//
//	s, err := shm.OpenOrCreate("counters", &shm.Options{Size: 4096})
//	if err != nil {
//		return err
//	}
//	defer s.Close()
//	copy(s.Data(), "hello")
//
// # Names
//
// A name without a slash is a file of ours in /dev/shm; one with a slash is
// taken as a path, on any file system whose memory and locks all processes of
// this machine share (not NFS, FUSE, 9p and their like). A segment outlives its
// users: its name stays until [Remove], or until a [Create] finds that nobody is
// in it any more. [Anonymous] segments have no name and end with their last
// user; they are passed to children ([Pass]) or over sockets ([Segment.File],
// [FromFile]).
//
// # Concurrency
//
// Everything here may be called by many goroutines at a time. [Segment.Close]
// does not pull the memory from under a call that is in progress: the mapping
// and the slot stay until the last [Segment.Retain] is released.
//
// # Ordering
//
// Joining, leaving and death each synchronise with whoever reads of them: what
// a participant wrote before it died is visible to who sees it dead. The
// package orders nothing in the data area.
//
// # Crashes
//
// Every attachment is a participant with a slot in a table in the segment, and
// holds a lock of the kernel on it. A process is dead when the kernel has
// dropped that lock, which happens only when no thread of it can touch the
// memory any more; it is never dead because it was slow or stopped. The first
// to notice records the death, and then anybody repairs what it left, through
// the [Repairer] of what lies in the segment; the slot is reused only after
// that. While somebody sleeps ([Segment.Asleep]), deaths are noticed at once
// through a pidfd (where the kernel and the PID namespace allow it) and in any
// case within a tick of 50 ms, or of 500 µs for each segment that the process
// sleeps on if that is more. Who is too busy to sleep calls [Segment.Heed].
//
// Descriptors hold the locks. A program that closes descriptors which it did
// not open, as some daemon helpers do, must do so before it attaches: else its
// peers take it for dead. That is noticed within about a second while somebody
// sleeps, and the segment fails with [ErrLost] from then on. Between fork and
// exec a child has copies of all descriptors: if its parent is killed in this
// moment, it seems alive until the exec.
//
// A process that is stopped in the middle of Create, Open or Remove can make
// others who use the same name wait, and get [ErrBusy] after about two seconds.
//
// # Truncation
//
// All of a segment's memory is reserved when it is made, so touching it never
// fails for want of room. An anonymous segment cannot be truncated. The file of
// a named one can be, by anybody who may write to it, and then touching memory
// that is gone ends the process with SIGBUS, unless it is done inside [Guard].
//
// # Trust
//
// Participants share memory that each can write. Whatever another process
// writes into the header, the table or the file's name, this package does not
// panic, hang or touch memory outside the segment. It cannot keep another
// participant from spoiling data, from freeing slots that are not its own, or
// from declaring the living dead.
//
// # Platforms
//
// Linux on amd64 and arm64, with /proc. Elsewhere everything that makes or
// opens a segment returns errors.ErrUnsupported. Goroutines that wait cost a thread
// each where the system call futex_waitv is missing (before Linux 5.16) or forbidden,
// and Go ends a program with 10,000 threads; elsewhere one for each 127 words waited
// on, see debug.SetMaxThreads.
//
// The layout of a segment is in docs/format.md.
package shm
