//go:build amd64 || arm64

package sys

import (
	"fmt"
	"os"

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

// Flags of a message that did not fit, and of one whose descriptors did not, or
// for which this process has too many open.
const (
	Truncated       = unix.MSG_TRUNC
	RightsTruncated = unix.MSG_CTRUNC
)

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

// SendNow sends a packet, or fails with EAGAIN where it would have to wait.
func SendNow(fd int, p, oob []byte) error {
	for {
		_, err := unix.SendmsgN(fd, p, oob, nil, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
		if err != unix.EINTR {
			return err
		}
	}
}

// Writable reports whether sending would not have to wait: there is room, or
// nobody at the other end any more.
func Writable(fd int) bool {
	p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
	for {
		n, err := unix.Poll(p, 0)
		if err != unix.EINTR {
			return n > 0 || err != nil
		}
	}
}

// LockDir locks a directory against everybody else who does, until unlock. It is
// ErrLocked at present if somebody has. Nothing is written to it.
func LockDir(path string) (unlock func(), err error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("sys: open directory %s: %w", path, err)
	}
	switch err = unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB); err {
	case nil:
		return func() { unix.Close(fd) }, nil
	case unix.EWOULDBLOCK:
		err = ErrLocked
	default:
		err = fmt.Errorf("sys: flock %s: %w", path, err)
	}
	unix.Close(fd)
	return nil, err
}

// Memory is what is known of a file that may be memory.
type Memory struct {
	Sealed        bool  // nobody can change the size; else nothing more is known
	Ordinary      bool  // not of huge pages
	Size, Present int64 // bytes; of those that are present nobody has to pay any more
}

// MemoryOf returns what fd is. It asks a stranger's file nothing that only memory
// answers at once.
func MemoryOf(fd int) (m Memory, err error) {
	const size = unix.F_SEAL_SHRINK | unix.F_SEAL_GROW
	seals, err := unix.FcntlInt(uintptr(fd), unix.F_GET_SEALS, 0)
	if err != nil || seals&size != size {
		return m, nil
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return m, fmt.Errorf("sys: stat descriptor %d: %w", fd, err)
	}
	name, _, err := FSName(fd)
	return Memory{true, name == fileSystems[unix.TMPFS_MAGIC].name, st.Size, st.Blocks * 512}, err
}

// MaxFiles returns how many descriptors this process may have.
func MaxFiles() int {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil {
		return 1024
	}
	return int(min(limit.Cur, 1<<30))
}

// NoLinger makes closing fd return at once, if it is a socket whose last
// descriptor that is, and which would wait for a peer.
func NoLinger(fd int) {
	unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
}

// CloseForeign closes a descriptor that a stranger has sent.
func CloseForeign(fd int) error {
	NoLinger(fd)
	return Close(fd)
}

// ForeignFile makes a file of a descriptor that a stranger has sent, which is the
// file's from then on. The runtime polls pipes and sockets; of anything else it is
// not told that it could. Another file may belong to a file system whose owner does
// not answer (FUSE), or wait for one that does, and then the runtime would wait for
// that with all that it runs.
func ForeignFile(fd int, name string) (*os.File, error) {
	if isPipe(fd) || isSocket(fd) || isMemfd(fd) { // which cannot be polled
		return os.NewFile(uintptr(fd), name), nil
	}
	// A file looks for O_NONBLOCK when it is made, and whoever sent it can set
	// that at any time. So the file is made of another one.
	other, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err != nil {
		CloseForeign(fd)
		return nil, fmt.Errorf("sys: eventfd: %w", err)
	}
	f := os.NewFile(uintptr(other), name)
	err = unix.Dup3(fd, other, unix.O_CLOEXEC)
	go CloseForeign(fd) // which its file system may have wait
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("sys: duplicate descriptor %d: %w", fd, err)
	}
	return f, nil
}

// What a descriptor is, by questions that only such a one answers, and at once.
func isPipe(fd int) bool {
	_, err := unix.FcntlInt(uintptr(fd), unix.F_GETPIPE_SZ, 0)
	return err == nil
}

func isSocket(fd int) bool {
	_, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE)
	return err == nil
}

func isMemfd(fd int) bool {
	_, err := unix.FcntlInt(uintptr(fd), unix.F_GET_SEALS, 0)
	return err == nil
}
