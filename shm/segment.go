package shm

import (
	"errors"
	"os"
	"sync"
	"sync/atomic"

	"github.com/sluice-ipc/sluice/internal/hook"
	"github.com/sluice-ipc/sluice/internal/mem"
	"github.com/sluice-ipc/sluice/internal/sys"
	"github.com/sluice-ipc/sluice/internal/wait"
)

// Segment is one attachment of this process to a segment of shared memory: one
// participant. Its methods may be called by many goroutines at a time.
//
// A process may attach to the same segment several times; each attachment is a
// participant of its own, with its own mapping.
type Segment struct {
	name    string
	path    string     // absolute; "" when it was not reached by a name
	head    header     // our own copy, checked
	file    sys.FileID // which inode lockFD must lead to
	lockFD  int        // holds the lock of our slot; opened for nothing else
	mapping sys.Mapping
	maps    atomic.Int32 // who needs the mapping: the attachment, and each Keep
	ctl     *control
	slots   []slot
	id      ID
	created bool

	repairer  Repairer
	repairing []atomic.Bool // by slot: a goroutine of ours is at it

	pins  atomic.Int64          // see pin.go
	fault atomic.Pointer[error] // why the segment is poisoned

	// pass is held while the tick or a watcher looks at this segment, so
	// that Close can wait for that. It guards watched, covered and heeded.
	pass    sync.Mutex
	watched []watchedSlot
	covered bool          // everybody in the roster that watched goes by is watched
	heeded  int           // how often Heed has looked
	roster  atomic.Uint32 // the roster that watched goes by
	looked  atomic.Int64  // when somebody looked last, by the monotonic clock

	// mu guards sleepers, and is held while one of them is ticked: none is
	// once its Awake has returned.
	mu       sync.Mutex
	sleepers map[wait.Sleeper]int
	asleep   atomic.Int32 // len(sleepers)
}

// newSegment maps a file whose header has been checked. f stays the caller's;
// its description must hold no locks.
func newSegment(f *os.File, name string, h *header, o *Options) (*Segment, error) {
	file, err := sys.Stat(int(f.Fd()))
	if err != nil {
		return nil, err
	}
	m, err := sys.Map(int(f.Fd()), int64(h.fileLen))
	if err != nil {
		return nil, err
	}
	if err := prepare(m, o); err != nil {
		return nil, errors.Join(err, m.Unmap())
	}
	s := &Segment{
		name: name, head: *h, file: file, lockFD: -1, mapping: m,
		ctl:       mem.At[control](m.Bytes(), controlOff),
		slots:     mem.Slice[slot](m.Bytes(), int(h.tableOff), int(h.entries)),
		repairing: make([]atomic.Bool, h.entries),
		watched:   make([]watchedSlot, h.entries),
		sleepers:  make(map[wait.Sleeper]int),
	}
	s.pins.Store(onePin)
	s.maps.Store(1)
	register(s)
	return s, nil
}

// prepare does what the options ask of a mapping. Huge pages are advice: a
// kernel that cannot heed it is no error.
func prepare(m sys.Mapping, o *Options) error {
	if o.HugePages {
		if err := m.HugeAdvice(); err != nil && !errors.Is(err, errors.ErrUnsupported) {
			return err
		}
	}
	if o.Prefault {
		if err := m.Prefault(); err != nil {
			return err
		}
	}
	if o.Lock {
		return m.Lock()
	}
	return nil
}

// attach lets the kind's own code look at the data before we join.
func (s *Segment) attach(o *Options) (err error) {
	if o.Attach != nil {
		s.repairer, err = o.Attach(s)
	}
	return err
}

// discard gives up a segment that never became, or no longer is, one of its
// participants.
func (s *Segment) discard() error {
	var err error
	if s.lockFD >= 0 {
		err = sys.Close(s.lockFD)
		s.lockFD = -1
	}
	return errors.Join(err, s.Unkeep())
}

// Data returns the data area. It is readable and writable, begins at a
// multiple of 4096, and other processes change it at any time. It may be used
// until [Segment.Close], or, by who holds a [Segment.Retain] or
// [Segment.Keep], until the Release or Unkeep. Afterwards Data is nil, and
// touching what it returned before ends the process.
func (s *Segment) Data() []byte {
	if s.maps.Load() <= 0 {
		return nil
	}
	off, n := s.head.dataOff, s.head.dataLen
	return s.mapping.Bytes()[off : off+n : off+n]
}

// DataOffset returns where in the file the data area begins.
func (s *Segment) DataOffset() int64 { return int64(s.head.dataOff) }

// Size returns the length of the data area in bytes.
func (s *Segment) Size() int64 { return int64(s.head.dataLen) }

// Name returns the name as it was given; of an anonymous segment, "memfd:" and
// its label.
func (s *Segment) Name() string { return s.name }

// Kind returns what the data area holds.
func (s *Segment) Kind() Kind { return Kind(s.head.kind) }

// Version returns the layout version of the kind.
func (s *Segment) Version() uint32 { return s.head.version }

// UUID returns the random identity of the segment. Another segment of the same
// name has another.
func (s *Segment) UUID() [16]byte { return s.head.uuid }

// Created reports whether this attachment made the segment.
func (s *Segment) Created() bool { return s.created }

// ID returns which participant this attachment is.
func (s *Segment) ID() ID { return s.id }

// Deaths returns a number that changes with each death that is recorded and
// with each repair that is finished, so that a change says to look again.
func (s *Segment) Deaths() uint32 {
	return s.ctl.deaths.Load() //sync:shm-deaths acquire: the dead one's word says DEAD
}

// File opens the memory once more, for passing it to another process, which
// attaches with [FromFile]. The caller closes the file. It holds no lock: it
// keeps the memory, but nobody alive.
func (s *Segment) File() (*os.File, error) {
	fd, err := s.reopen()
	if err != nil {
		return nil, wrap("reopen", s.name, err)
	}
	return os.NewFile(uintptr(fd), s.name), nil
}

func (s *Segment) reopen() (int, error) {
	if err := s.Retain(); err != nil {
		return -1, err
	}
	defer s.Release()
	return reopen(s.lockFD)
}

// Close gives up this attachment. The slot is free, the memory unmapped and
// the descriptor closed when Close returns, or, while calls are in progress or
// memory is on loan ([Segment.Retain]), when the last of those is released.
// Calling it again does nothing. It ticks those who are asleep on the segment
// (see [Segment.Asleep]), who find it no longer [Segment.Usable].
//
// It must not be called from [Repairer.Repair] or from a sleeper's Tick.
func (s *Segment) Close() error {
	if s.pins.Or(pinClosed)&pinClosed != 0 {
		return nil
	}
	s.nudge()
	err := s.unpin()
	// A tick that was looking at us has pinned us: wait for its end, so that
	// who closed the last attachment finds the segment without a participant.
	s.pass.Lock()
	defer s.pass.Unlock()
	return wrap("close", s.name, err)
}

// teardown leaves and gives everything back. The last pin is gone, so nobody
// else touches the segment.
func (s *Segment) teardown() error {
	s.unwatchAll()
	if s.Err() != nil {
		return s.tearPoisoned()
	}
	err := Guard(func() error { s.leave(); return nil })
	hook.At("shm.leave.unlock")
	err = errors.Join(err, sys.UnlockOFD(s.lockFD, lockOf(s.id.Slot()), 1))
	return errors.Join(err, s.discard())
}

// tearPoisoned closes without leaving: what we had is for others to repair.
// The descriptor may be somebody else's by now, and then stays open.
func (s *Segment) tearPoisoned() error {
	if id, err := sys.Stat(s.lockFD); err != nil || !id.Same(s.file) {
		s.lockFD = -1
	}
	return s.discard()
}

// Usable reports whether [Segment.Retain] would succeed: the attachment is
// neither closed nor failed.
func (s *Segment) Usable() bool { return s.pins.Load()&(pinClosed|pinPoisoned) == 0 }

// Err returns why this attachment must not be used any more: [ErrLost], or a
// [FaultError]. It is nil for one that is healthy or just closed.
func (s *Segment) Err() error {
	if p := s.fault.Load(); p != nil {
		return *p
	}
	return nil
}

// poison makes every further Retain fail with err. The first reason stays.
func (s *Segment) poison(err error) {
	s.fault.CompareAndSwap(nil, &err)
	s.pins.Or(pinPoisoned)
}
