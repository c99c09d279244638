package conn

import (
	"fmt"
	"os"

	"github.com/sluice-ipc/sluice/internal/sys"
	"github.com/sluice-ipc/sluice/shm"
)

// A foreign is the number, plus one, of a descriptor that somebody else has sent,
// 0 if none was. It may be one of anything. What is done with it before it is known
// to be memory must be what no file system can leave unanswered: neither a call nor,
// worse, a question of the runtime's poller, for which everybody would wait.
type foreign int

const noFile foreign = 0

func foreignFile(fd int) foreign { return foreign(fd + 1) }

func (f foreign) fd() int { return int(f) - 1 }

// drop gives it back.
func (f foreign) drop() {
	if f != noFile {
		sys.CloseForeign(f.fd())
	}
}

// memory makes a file of it if that is memory of a fixed size; else it is dropped.
func (f foreign) memory(most int64) (*os.File, error) {
	if err := checkMemoryOf(f.fd(), "received", most); err != nil {
		f.drop()
		return nil, err
	}
	return os.NewFile(uintptr(f.fd()), "received"), nil
}

// file makes a file of it, whatever it is.
func (f foreign) file() (*os.File, error) { return sys.ForeignFile(f.fd(), "received") }

// maxImport is the most memory that another process may bring along with a
// connection that it sends over one.
const maxImport = 1 << 30

// checkMemory refuses a file that is not memory of a fixed size, or too large.
func checkMemory(f *os.File, most int64) error {
	c, err := f.SyscallConn()
	if err != nil {
		return err
	}
	err2 := c.Control(func(fd uintptr) { err = checkMemoryOf(int(fd), f.Name(), most) })
	if err2 != nil {
		return err2
	}
	return err
}

func checkMemoryOf(fd int, name string, most int64) error {
	m, err := sys.MemoryOf(fd)
	if err != nil {
		return err
	}
	wrong := func(field string, got any, want string) error {
		return &shm.FormatError{Segment: name, Field: field, Got: got, Want: want}
	}
	switch {
	case !m.Sealed:
		return wrong("file", "one that is no memory, or not sealed", "memory whose size is sealed")
	case !m.Ordinary:
		return wrong("file", "memory of huge pages", "ordinary memory") // which may be taken back
	case m.Size > most:
		return wrong("size", m.Size, fmt.Sprint("at most ", most))
	case m.Present < m.Size:
		return wrong("bytes that are there", m.Present, fmt.Sprint(m.Size)) // touching them would make them ours
	}
	return nil
}
