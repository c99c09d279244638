//go:build amd64 || arm64

package sys

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Locks of open file descriptions (OFD locks). They belong to what open()
// made, not to the process: a Dup or an inherited descriptor holds the same
// lock, a Reopen is somebody else, even within one process. The kernel drops
// them when the last descriptor of the description is closed, which at the
// death of a process is after its last access to memory.

// LockOFD locks bytes off to off+n exclusively, without waiting; n 0 is to
// the end, however far the file grows. The bytes need not exist. ErrLocked:
// another description has a lock in there. Locking again what this
// description holds succeeds. fd must be open for writing.
func LockOFD(fd int, off, n int64) error {
	_, err := flock(fd, unix.F_OFD_SETLK, unix.F_WRLCK, off, n)
	if err == unix.EAGAIN || err == unix.EACCES {
		return ErrLocked
	}
	if err != nil {
		return fmt.Errorf("sys: lock byte %d of descriptor %d: %w", off, fd, err)
	}
	return nil
}

// UnlockOFD gives up what LockOFD took; unlocking what is not locked is no
// error.
func UnlockOFD(fd int, off, n int64) error {
	_, err := flock(fd, unix.F_OFD_SETLK, unix.F_UNLCK, off, n)
	if err != nil {
		return fmt.Errorf("sys: unlock byte %d of descriptor %d: %w", off, fd, err)
	}
	return nil
}

// LockedOFD reports whether a description other than fd's holds a lock in the
// range. It says false for a lock of fd's own.
func LockedOFD(fd int, off, n int64) (bool, error) {
	got, err := flock(fd, unix.F_OFD_GETLK, unix.F_WRLCK, off, n)
	if err != nil {
		return false, fmt.Errorf("sys: test lock at byte %d of descriptor %d: %w", off, fd, err)
	}
	return got != unix.F_UNLCK, nil
}

func flock(fd, cmd int, kind int16, off, n int64) (got int16, err error) {
	lk := unix.Flock_t{Type: kind, Whence: unix.SEEK_SET, Start: off, Len: n}
	err = retry(func() error { return unix.FcntlFlock(uintptr(fd), cmd, &lk) })
	return lk.Type, err
}
