//go:build amd64 || arm64

package sys

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// PeerCred returns who has connected, or listened, at the other end of a Unix
// socket: the process as it was at that moment.
func PeerCred(fd int) (pid, uid, gid int, err error) {
	c, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return 0, 0, 0, fmt.Errorf("sys: SO_PEERCRED: %w", err)
	}
	return int(c.Pid), int(c.Uid), int(c.Gid), nil
}

// Rights returns the control message that sends descriptors along.
func Rights(fds ...int) []byte { return unix.UnixRights(fds...) }

// Truncated is the flag of a message that did not fit.
const Truncated = unix.MSG_TRUNC

// RightsSpace is room for the control message of one descriptor. The kernel may
// put a second one into it.
var RightsSpace = unix.CmsgSpace(4)

// ParseRights returns the descriptors in control messages that were received.
// They are the caller's.
func ParseRights(oob []byte) (fds []int) {
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil
	}
	for i := range msgs {
		if f, err := unix.ParseUnixRights(&msgs[i]); err == nil {
			fds = append(fds, f...)
		}
	}
	return fds
}

// LockDir locks a directory against everybody else who does, until unlock; it
// waits as long as it takes. Nothing is written to it.
func LockDir(path string) (unlock func(), err error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("sys: open directory %s: %w", path, err)
	}
	for {
		err = unix.Flock(fd, unix.LOCK_EX)
		if err != unix.EINTR {
			break
		}
	}
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("sys: flock %s: %w", path, err)
	}
	return func() { unix.Close(fd) }, nil
}
