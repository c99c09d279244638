// Package value is typed data in shared memory: what Value and Array are to
// Python's multiprocessing.
//
// [Value] is a number, changed atomically without locks. [Array] is a row of
// numbers. [Record] is one value of any plain type, a struct say, that is read
// whole and changed under a lock that survives its owner. [Blackboard] is such a
// value that one process writes and many read.
//
//	hits, err := value.OpenOrCreate[int64]("hits", 0, nil)
//	if err != nil {
//		return err
//	}
//	defer hits.Close()
//	hits.Add(1)
//
// Each is made with a name, or without one and passed to children (shm.Pass), or
// placed in a segment of the caller's, several next to each other. Memory that is
// zero is an object that nobody has used: numbers are 0. Objects lie 128 bytes
// apart, so that they do not slow each other down; what is to lie close together
// is one array or one record.
//
// # Python's type codes
//
//	'c', 'B'  byte (uint8)      'i'       int32     'f'  float32
//	'b'       int8              'I'       uint32    'd'  float64
//	'h'       int16             'l', 'q'  int64     'u'  rune (int32)
//	'H'       uint16            'L', 'Q'  uint64
//
// int and uint are shared as int64 and uint64, and refused where they are
// shorter. Named types of these are as good; who attaches may use another name. A
// string of C is an Array[byte], see [CString]. A struct is a [Record].
//
// # Locks
//
// A Value needs none: where Python writes with v.get_lock(): v.value += 1, call
// Add, or Update. Arrays and records have one each, or share one that their
// Options name: hold it, and change all of them with their Apply methods (and
// Values as they are), for others who do the same to see all of it or nothing.
//
// # Concurrency
//
// Everything here may be called by many goroutines at a time.
//
// # Ordering
//
// Who sees a number sees what was done before it was changed; so does who gets a
// lock after another. What is done to the memory of a [View] has no order of its
// own. The race detector knows nothing of other processes, nor of this memory.
//
// # Crashes
//
// A process that is killed, at any instruction, blocks nobody. What it was about
// to change is changed or not; only of an array may a part be, and the next
// locking call is told, see [Array]. A process that is stopped in the middle of a
// locking call holds up the locking calls of others until it goes on, and nothing
// else.
//
// # Trust
//
// Lengths and types are checked when an object is opened, against the memory that
// there is, and not read again. Whatever another process writes into the memory
// afterwards spoils data; it makes no call here panic, fault or loop for ever.
//
// # Lifetime
//
// Memory stays mapped for as long as a handle is reachable, so that reading a
// number costs what reading memory costs. Close leaves the segment; what is never
// closed is when its handle is collected. The file of a named segment can be cut
// off by anybody who may write to it; see [github.com/sluice-ipc/sluice/shm.Guard].
package value
