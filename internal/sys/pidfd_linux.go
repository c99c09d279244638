//go:build amd64 || arm64

package sys

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

var pidfdOff atomic.Bool

// DisablePidfd makes this process do without pidfd, as on a kernel that lacks
// it. It is for tests of the tick; watches that stand are not touched.
func DisablePidfd(off bool) { pidfdOff.Store(off) }

// PidfdOpen returns a descriptor, not blocking, for the process that pid
// names now. It becomes readable when the process has exited, reaped or not.
// ESRCH: there is no such process; errors.ErrUnsupported: no pidfd here.
func PidfdOpen(pid int) (int, error) {
	if pidfdOff.Load() {
		return -1, unsupported("pidfd_open", nil)
	}
	fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
	if err == unix.EINVAL && pid > 0 { // before Linux 5.10
		if fd, err = unix.PidfdOpen(pid, 0); err == nil {
			err = unix.SetNonblock(fd, true)
		}
	}
	switch err {
	case nil:
		return fd, nil
	case unix.ENOSYS, unix.EPERM: // EPERM: a sandbox; the call has no such error
		return -1, unsupported("pidfd_open", err)
	}
	return -1, fmt.Errorf("sys: pidfd_open %d: %w", pid, err)
}

// WatchPid returns a channel that is closed when the process that pid names
// now has exited. A goroutine waits in the netpoller for it, no thread. stop
// ends the watch, and afterwards descriptor and goroutine are gone; it may be
// called many times and also after the exit, and leaves the channel open if
// the process had not exited. Without stop both last until the process exits.
// Errors are those of PidfdOpen.
func WatchPid(pid int) (exited <-chan struct{}, stop func(), err error) {
	fd, err := PidfdOpen(pid)
	if err != nil {
		return nil, nil, err
	}
	f := os.NewFile(uintptr(fd), "pidfd") // takes fd over
	conn, err := f.SyscallConn()
	if err == nil {
		err = f.SetReadDeadline(time.Time{}) // fails where it cannot be polled
	}
	if err != nil {
		f.Close()
		return nil, nil, unsupported("poll pidfd", err)
	}
	gone, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		if conn.Read(readable) == nil {
			close(gone)
		}
		f.Close()
	}()
	var once sync.Once
	stop = func() {
		once.Do(func() { f.Close() }) // ends the Read
		<-done
	}
	return gone, stop, nil
}

// readable reports, without waiting, whether there is something to read.
func readable(fd uintptr) bool {
	p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	for {
		n, err := unix.Poll(p, 0)
		if !errors.Is(err, unix.EINTR) {
			return n > 0 && err == nil
		}
	}
}
