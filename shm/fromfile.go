package shm

import (
	"os"

	"github.com/sluice-ipc/sluice/internal/sys"
)

// FromFile attaches to the segment that f is open on, as a new participant:
// one that came over a Unix socket, or the [Segment.File] of another
// attachment. f stays the caller's, and may be closed afterwards. A memfd must
// be sealed against shrinking. [ErrRetired]: the segment was replaced by
// another one.
func FromFile(f *os.File, o *Options) (*Segment, error) {
	name := f.Name()
	if _, err := pathOf("file"); err != nil {
		return nil, wrap("open", name, err)
	}
	own, err := reopenFile(f)
	if err != nil {
		return nil, wrap("open", name, err)
	}
	defer own.Close()
	opt := o.withDefaults()
	s, err := attachAgain(own, name, &opt)
	return s, wrap("open", name, err)
}

// attachAgain attaches to a segment that was not found by a name.
func attachAgain(f *os.File, name string, o *Options) (s *Segment, err error) {
	err = until(func() (err error) {
		s, err = attachFile(f, name, "", o)
		return err
	})
	return s, err
}

// reopenFile opens what f is open on once more, while nobody can close f.
func reopenFile(f *os.File) (own *os.File, err error) {
	c, err := f.SyscallConn()
	if err != nil {
		return nil, err
	}
	err2 := c.Control(func(fd uintptr) {
		// A name that does not exist, and a device must not be opened at all.
		var id sys.FileID
		if id, err = sys.Stat(int(fd)); err != nil {
			return
		}
		if !id.Regular {
			err = &FormatError{f.Name(), "file type", id.Mode.Type(), "regular file"}
			return
		}
		var own2 int
		if own2, err = reopen(int(fd)); err == nil {
			own = os.NewFile(uintptr(own2), f.Name())
		}
	})
	if err == nil {
		err = err2
	}
	return own, err
}
