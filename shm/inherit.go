package shm

import (
	"fmt"
	"os"
	"sync"

	"github.com/sluice-ipc/sluice/internal/hook"
	"github.com/sluice-ipc/sluice/internal/sys"
)

// inherited is what the parent passed and nobody has asked for yet.
var inherited struct {
	sync.Mutex
	m map[string]entry
}

// init takes the handles out of the environment, and sees to it that children
// of this process get neither the descriptors nor the news of them: a copy of
// a lock's descriptor in a child would outlive us, and so would our slot.
func init() {
	env, ok := os.LookupEnv(envHandles)
	if !ok {
		return
	}
	os.Unsetenv(envHandles)
	inherited.m = make(map[string]entry)
	for e := range passed([]string{envHandles + "=" + env}) {
		if sys.SetCloexec(e.fd) == nil {
			inherited.m[e.name] = e
		}
	}
}

// Inherited attaches to what the parent passed under that name, and returns
// what its handle had to say. It succeeds once for each name; before that it
// may be tried again with other options. [ErrNotFound]: there is no such name,
// or somebody else is just attaching to it.
func Inherited(name string, o *Options) (s *Segment, detail string, err error) {
	inherited.Lock()
	e, ok := inherited.m[name]
	delete(inherited.m, name)
	inherited.Unlock() // Options.Attach may call Inherited for another name
	if !ok {
		return nil, "", fmt.Errorf("shm: inherit %q: %w", name, ErrNotFound)
	}
	defer func() {
		if s == nil { // also when Options.Attach panicked
			inherited.Lock()
			inherited.m[name] = e
			inherited.Unlock()
		}
	}()
	opt := o.withDefaults()
	if s, err = e.attach(&opt); err != nil {
		return nil, "", wrap("inherit "+name+" in", e.segment, err)
	}
	return s, e.detail, nil
}

// attach makes a segment of an inherited descriptor, and takes the descriptor
// over unless it fails.
func (e entry) attach(o *Options) (*Segment, error) {
	fd, err := reopen(e.fd)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), e.segment)
	defer f.Close()
	h, err := checkFile(f, e.segment)
	if err != nil {
		return nil, err
	}
	if h.uuid != e.uuid {
		return nil, &FormatError{e.segment, "uuid", fmt.Sprintf("%x", h.uuid),
			fmt.Sprintf("%x", e.uuid)}
	}
	if e.id != 0 {
		return e.adopt(f, h, o)
	}
	s, err := attachAgain(f, e.segment, o)
	if err == nil {
		err = sys.Close(e.fd)
	}
	return s, err
}

// adopt goes on as the participant that the parent moved to us. The inherited
// descriptor holds its lock.
func (e entry) adopt(f *os.File, h *header, o *Options) (*Segment, error) {
	if err := h.matches(e.segment, o); err != nil {
		return nil, err
	}
	if e.id.Slot() >= int(h.entries) {
		return nil, &FormatError{e.segment, "slot", e.id.Slot(),
			fmt.Sprintf("less than %d", h.entries)}
	}
	s, err := newSegment(f, e.segment, h, o)
	if err != nil {
		return nil, err
	}
	s.id = e.id
	s.lockFD = e.fd
	if err = Guard(func() error { return s.enterAs(int(f.Fd()), o) }); err != nil {
		s.lockFD = -1 // still the entry's
		s.discard()
		return nil, err
	}
	return s, nil
}

// enterAs becomes the participant s.id. fd is another description of the
// file, which can see whether the lock is held.
func (s *Segment) enterAs(fd int, o *Options) error {
	if err := s.attach(o); err != nil {
		return err
	}
	i := s.id.Slot()
	p := &s.slots[i]
	locked, err := sys.LockedOFD(fd, lockOf(i), 1)
	if err != nil {
		return err
	}
	if !locked || p.word.Load() != wordOf(Active, s.id.Incarnation()) {
		return fmt.Errorf("participant %v: %w", s.id, ErrLost)
	}
	s.introduce(p, o) // before the pid: it is read with these
	hook.At("shm.move.adopt")
	if !p.pid.CompareAndSwap(0, uint32(os.Getpid())) {
		return fmt.Errorf("participant %v was taken by another child: %w", s.id, ErrBusy)
	}
	s.ctl.roster.Add(1) //sync:shm-roster release: a slot has changed
	s.CheckPeers()
	return s.Err()
}
