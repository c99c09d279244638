package shm

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"time"

	"github.com/sluice-ipc/sluice/internal/hook"
	"github.com/sluice-ipc/sluice/internal/sys"
)

// patience bounds how long processes that race for a name, or hold a lock for
// a moment, can make each other start over. A machine that is so busy that few
// attempts fit in is given those few.
var patience = 2 * time.Second // shorter in some tests

const minAttempts = 50

// until repeats f while it returns errAgain, and gives up with ErrBusy.
func until(f func() error) error {
	end := time.Now().Add(patience)
	for n := 1; n <= minAttempts || time.Now().Before(end); n++ {
		if err := f(); !errors.Is(err, errAgain) {
			return err
		}
		// The pauses double from about 50 µs to about 6 ms.
		pause := 25 * time.Microsecond << min(n, 8)
		time.Sleep(pause/2 + rand.N(pause))
	}
	return ErrBusy
}

// Open attaches to the segment of that name: fs.ErrNotExist if there is none.
// It attaches to a segment whose participants are all dead just as well, and
// repairs what they left.
//
// A file that is not a segment, or not one that the options accept, is a
// [FormatError]; so is one from before the machine was started last.
func Open(name string, o *Options) (*Segment, error) {
	opt := o.withDefaults()
	path, err := pathOf(name)
	if err != nil {
		return nil, wrap("open", name, err)
	}
	var s *Segment
	err = until(func() (err error) {
		s, err = openPath(name, path, &opt)
		return err
	})
	return s, wrap("open", name, err)
}

// openFile opens an existing file for reading and writing.
func openFile(path string) (*os.File, error) {
	fd, err := sys.Open(path, false)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), path), nil
}

// openPath tries once to attach to what the path leads to.
func openPath(name, path string, o *Options) (*Segment, error) {
	f, err := openFile(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return attachFile(f, name, path, o)
}

// checkFile reads the header of a file that may be a segment, and refuses a
// file that could change under our feet in ways we cannot see.
func checkFile(f *os.File, name string) (*header, error) {
	fsName, coherent, err := sys.FSName(int(f.Fd()))
	if err != nil {
		return nil, err
	}
	if !coherent {
		return nil, incoherent(fsName)
	}
	if memfd, sealed := sys.IsMemfd(int(f.Fd())); memfd && !sealed {
		return nil, &FormatError{name, "seal against shrinking", "missing", "present"}
	}
	return readHeader(f, name)
}

// attachFile joins the segment in f. A path that is not empty must still lead
// to it when a slot is locked, else errAgain.
func attachFile(f *os.File, name, path string, o *Options) (s *Segment, err error) {
	h, err := checkFile(f, name)
	if err == nil {
		err = h.matches(name, o)
	}
	if err != nil {
		return nil, err
	}
	if memfd, _ := sys.IsMemfd(int(f.Fd())); memfd {
		name = memfdName(textOf(h.label[:]))
	}
	if s, err = newSegment(f, name, h, o); err != nil {
		return nil, err
	}
	s.path = path
	if s.lockFD, err = reopen(int(f.Fd())); err == nil {
		err = Guard(func() error { return s.enter(o) })
	}
	if err != nil {
		s.discard()
		return nil, err
	}
	return s, nil
}

// enter makes us a participant of an existing segment.
func (s *Segment) enter(o *Options) (err error) {
	if err := s.attach(o); err != nil {
		return err
	}
	if err := s.join(o, s.stillThere); err != nil {
		return err
	}
	s.CheckPeers()
	return s.Err()
}

// stillThere reports whether the segment may still be joined. While the caller
// holds the lock of a slot the answer cannot become no, except that somebody
// removes the name.
func (s *Segment) stillThere() error {
	hook.At("shm.join.check")
	if s.path != "" {
		if err := leadsTo(s.path, s.file); err != nil {
			return err
		}
	}
	if s.ctl.lifecycle.Load() != lifeOpen { //sync:shm-retired acquire: nobody may join
		return ErrRetired
	}
	return nil
}

// leadsTo returns errAgain unless path still leads to that file.
func leadsTo(path string, file sys.FileID) error {
	id, err := sys.StatPath(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !id.Same(file) {
		return errAgain
	}
	return err
}

// reopen is sys.Reopen with a named error for a system without /proc.
func reopen(fd int) (int, error) {
	fd, err := sys.Reopen(fd)
	return fd, procError(err)
}

// procError makes ErrNoProc of an error that says a file does not exist, when
// it is /proc that is missing, so that nobody takes it for a missing segment.
func procError(err error) error {
	if errors.Is(err, fs.ErrNotExist) && !haveProc() {
		return fmt.Errorf("%w: %v", ErrNoProc, err)
	}
	return err
}

func haveProc() bool {
	_, err := os.Stat("/proc/self/fd")
	return err == nil
}
