package conn

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/sluice-ipc/sluice/internal/hook"
	"github.com/sluice-ipc/sluice/internal/sys"
)

// A boundFile is the file of a listener's socket.
type boundFile struct {
	path string      // absolute
	info fs.FileInfo // of the socket as we made it
	dir  string      // made for it alone; "" if it was not
}

// bind makes the socket of a listener.
func bind(addr string, mode fs.FileMode) (*net.UnixListener, *boundFile, error) {
	if strings.HasPrefix(addr, "@") {
		l, err := listenAt(addr, mode)
		if err != nil && inUse(err) {
			err = fmt.Errorf("%w: %w", ErrAddressInUse, err)
		}
		return l, nil, err
	}
	file := &boundFile{}
	if addr == "" {
		dir, err := os.MkdirTemp("", "sluice-")
		if err != nil {
			return nil, nil, err
		}
		file.dir, addr = dir, filepath.Join(dir, "socket")
	}
	var err error
	if file.path, err = absolute(addr); err != nil {
		return nil, nil, err
	}
	l, err := file.bind(addr, mode)
	if err != nil {
		if file.dir != "" {
			os.Remove(file.dir)
		}
		return nil, nil, err
	}
	return l, file, nil
}

// absolute makes a path absolute, and leaves it as it is otherwise: what ".." means
// behind a symbolic link only the kernel knows.
func absolute(path string) (string, error) {
	if filepath.IsAbs(path) {
		return path, nil
	}
	wd, err := os.Getwd()
	return wd + "/" + path, err
}

// listenAt binds and listens. The permissions of a socket's file are those of
// the socket at that moment, less the umask.
func listenAt(addr string, mode fs.FileMode) (*net.UnixListener, error) {
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) { sys.Chmod(int(fd), uint32(mode.Perm())) })
	}}
	l, err := lc.Listen(context.Background(), "unixpacket", addr)
	if err != nil {
		return nil, err
	}
	return l.(*net.UnixListener), nil
}

// bind binds the path, over the socket of a listener that is gone. Everybody who
// does that locks the directory, so that nobody takes a socket which does not
// listen yet for one that does not listen any more.
func (f *boundFile) bind(addr string, mode fs.FileMode) (*net.UnixListener, error) {
	unlock, err := lockDir(f.path[:strings.LastIndexByte(f.path, '/')+1])
	if err != nil {
		return nil, err
	}
	defer unlock()
	hook.At("conn.bind.locked")
	if err := f.clear(addr); err != nil {
		return nil, err
	}
	hook.At("conn.bind.clear")
	l, err := listenAt(addr, mode)
	if err != nil && inUse(err) { // by somebody who knows nothing of the lock
		err = fmt.Errorf("%w: %w", ErrAddressInUse, err)
	}
	if err != nil {
		return nil, err
	}
	hook.At("conn.bind.bound")
	l.SetUnlinkOnClose(false) // by then it may be another's
	err = os.Chmod(f.path, mode.Perm())
	if err == nil {
		f.info, err = os.Lstat(f.path)
	}
	if err != nil {
		return nil, errors.Join(err, os.Remove(f.path), l.Close())
	}
	return l, nil
}

// lockTime is how long Listen waits for the lock of the directory. Whoever may
// read that can hold it, and there are such that anybody may.
const lockTime = 2 * time.Second

var errLocked error = &sentinel{"conn: somebody keeps the directory locked", ErrBusy}

func lockDir(dir string) (unlock func(), err error) {
	for end := time.Now().Add(lockTime); ; {
		unlock, err = sys.LockDir(dir)
		switch {
		case err != sys.ErrLocked:
			return unlock, err
		case time.Now().After(end):
			return nil, errLocked
		}
		<-time.After(time.Millisecond)
	}
}

// clear removes a socket that nobody listens at.
func (f *boundFile) clear(addr string) error {
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
	c, err := net.DialUnix("unixpacket", nil, &net.UnixAddr{Name: addr, Net: "unixpacket"})
	switch {
	case err == nil:
		c.Close()
		return ErrAddressInUse
	case errors.Is(err, fs.ErrNotExist): // closed in the meantime
		return nil
	case !isStale(err): // of another kind, too busy, or not for us
		return fmt.Errorf("%w: %w", ErrAddressInUse, err)
	}
	return os.Remove(f.path)
}

// remove removes the file, unless it is another's by now. The socket still
// listens, so that nobody takes the file over meanwhile, and needs no lock.
func (f *boundFile) remove() error {
	if f == nil {
		return nil
	}
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
