//go:build amd64 || arm64

package sys

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Readable reports whether reading from fd would not block.
func Readable(fd int) (bool, error) {
	p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	for {
		n, err := unix.Poll(p, 0)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return false, fmt.Errorf("sys: poll: %w", err)
		case n > 0 && p[0].Revents&unix.POLLNVAL != 0:
			return false, fmt.Errorf("sys: poll: %w", os.ErrClosed)
		}
		return n > 0, nil
	}
}

// Epoll returns an epoll descriptor that is readable when fd is, and that the
// runtime can wait for whatever fd is. It is false for a file that never blocks.
func Epoll(fd int) (ep int, ok bool, err error) {
	ep, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return -1, false, fmt.Errorf("sys: epoll: %w", err)
	}
	err = unix.EpollCtl(ep, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLRDHUP})
	if err == nil {
		if err = unix.SetNonblock(ep, true); err == nil {
			return ep, true, nil
		}
	}
	unix.Close(ep)
	if err == unix.EPERM {
		return -1, false, nil
	}
	return -1, false, fmt.Errorf("sys: epoll: %w", err)
}

// Eventfd makes a descriptor that is readable once it was raised, until it is
// drained.
func Eventfd() (int, error) {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return -1, fmt.Errorf("sys: eventfd: %w", err)
	}
	return fd, nil
}

// RaiseEventfd makes it readable.
func RaiseEventfd(f *os.File) { f.Write([]byte{1, 0, 0, 0, 0, 0, 0, 0}) }

// DrainEventfd makes it no longer so. It does not wait.
func DrainEventfd(f *os.File) {
	c, err := f.SyscallConn()
	if err != nil {
		return
	}
	c.Control(func(fd uintptr) {
		var b [8]byte
		unix.Read(int(fd), b[:])
	})
}
