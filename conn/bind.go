package conn

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/sluice-ipc/sluice/internal/sys"
	"github.com/sluice-ipc/sluice/shm"
)

// A boundFile is the file of a listener's socket.
type boundFile struct {
	path string
	info fs.FileInfo // of the socket as we made it
	dir  string      // made for it alone; "" if it was not
}

// bind makes the socket of a listener.
func bind(addr string, mode fs.FileMode) (*net.UnixListener, *boundFile, error) {
	if strings.HasPrefix(addr, "@") {
		l, err := net.ListenUnix("unixpacket", &net.UnixAddr{Name: addr, Net: "unixpacket"})
		if errors.Is(err, syscall.EADDRINUSE) {
			err = fmt.Errorf("%w: %w", ErrAddressInUse, err)
		}
		return l, nil, err
	}
	file := &boundFile{path: addr}
	if addr == "" {
		dir, err := os.MkdirTemp("", "sluice-")
		if err != nil {
			return nil, nil, err
		}
		file.dir, file.path = dir, filepath.Join(dir, "socket")
	}
	l, err := file.bind(mode)
	if err != nil {
		if file.dir != "" {
			os.Remove(file.dir)
		}
		return nil, nil, err
	}
	return l, file, nil
}

// bind binds the path, over the socket of a listener that is gone. Everybody who
// does that locks the directory, so that nobody takes a socket which does not
// listen yet for one that does not listen any more.
func (f *boundFile) bind(mode fs.FileMode) (*net.UnixListener, error) {
	unlock, err := sys.LockDir(filepath.Dir(f.path))
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := f.clear(); err != nil {
		return nil, err
	}
	l, err := net.ListenUnix("unixpacket", &net.UnixAddr{Name: f.path, Net: "unixpacket"})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false) // by then it may be another's
	err = os.Chmod(f.path, mode)
	if err == nil {
		f.info, err = os.Lstat(f.path)
	}
	if err != nil {
		return nil, errors.Join(err, os.Remove(f.path), l.Close())
	}
	return l, nil
}

// clear removes a socket that nobody listens at.
func (f *boundFile) clear() error {
	info, err := os.Lstat(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("%w: a file that is no socket has the name", ErrAddressInUse)
	}
	c, err := net.DialUnix("unixpacket", nil, &net.UnixAddr{Name: f.path, Net: "unixpacket"})
	if err == nil {
		c.Close()
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return ErrAddressInUse // by one of ours, of another kind, or one that is too busy
	}
	return os.Remove(f.path)
}

// remove removes the file, unless it is another listener's by now.
func (f *boundFile) remove() error {
	if f == nil {
		return nil
	}
	unlock, err := sys.LockDir(filepath.Dir(f.path))
	if err != nil {
		return err
	}
	defer unlock()
	info, err := os.Lstat(f.path)
	switch {
	case err == nil && os.SameFile(info, f.info):
		err = os.Remove(f.path)
	case errors.Is(err, fs.ErrNotExist):
		err = nil
	}
	if f.dir != "" {
		err = errors.Join(err, os.Remove(f.dir))
	}
	return err
}

// maxImport is the most memory that another process may bring along with a
// connection that it sends over one.
const maxImport = 1 << 30

// checkMemory refuses a file that is not sealed memory, or too large.
func checkMemory(f *os.File, most int64) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	c, err := f.SyscallConn()
	if err != nil {
		return err
	}
	sealed := false
	if err := c.Control(func(fd uintptr) { _, sealed = sys.IsMemfd(int(fd)) }); err != nil {
		return err
	}
	if !sealed {
		return &shm.FormatError{Segment: f.Name(), Field: "file", Got: info.Mode().Type(), Want: "memory that is sealed against shrinking"}
	}
	if info.Size() > most {
		return &shm.FormatError{Segment: f.Name(), Field: "size", Got: info.Size(), Want: fmt.Sprint("at most ", most)}
	}
	return nil
}
