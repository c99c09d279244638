//go:build amd64 || arm64

package sys

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"

	"golang.org/x/sys/unix"
)

// retry repeats f while signals interrupt it.
func retry(f func() error) error {
	for {
		if err := f(); err != unix.EINTR {
			return err
		}
	}
}

// open opens path with O_CLOEXEC. The error is the bare errno.
func open(path string, flags int, mode uint32) (fd int, err error) {
	err = retry(func() (err error) {
		fd, err = unix.Open(path, flags|unix.O_CLOEXEC, mode)
		return err
	})
	if err != nil {
		return -1, err
	}
	return fd, nil
}

// Open opens an existing file. It never follows a symbolic link in the last
// element (ELOOP) and never waits: a FIFO in the place of a file opens at
// once, and Stat says what it is.
func Open(path string, readonly bool) (fd int, err error) {
	flags := unix.O_RDWR
	if readonly {
		flags = unix.O_RDONLY
	}
	flags |= unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_NOCTTY
	if fd, err = open(path, flags, 0); err != nil {
		return -1, fmt.Errorf("sys: open %s: %w", path, err)
	}
	// The flag has done its work; os.NewFile would take it for a socket's.
	if err = unix.SetNonblock(fd, false); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("sys: open %s: %w", path, err)
	}
	return fd, nil
}

// OpenExcl makes a file that did not exist (fs.ErrExist), for reading and
// writing. The mode is subject to the umask.
func OpenExcl(path string, mode uint32) (fd int, err error) {
	const flags = unix.O_RDWR | unix.O_CREAT | unix.O_EXCL | unix.O_NOFOLLOW
	if fd, err = open(path, flags, mode); err != nil {
		return -1, fmt.Errorf("sys: create %s: %w", path, err)
	}
	return fd, nil
}

// OpenTmp makes a file without a name on the file system of dir, for LinkFD.
// It vanishes with its last descriptor and mapping if it never gets a name.
// The error satisfies errors.ErrUnsupported where the file system or the
// kernel cannot do that.
func OpenTmp(dir string, mode uint32) (fd int, err error) {
	fd, err = open(dir, unix.O_RDWR|unix.O_TMPFILE, mode)
	switch {
	case err == nil:
		return fd, nil
	case err == unix.EOPNOTSUPP, err == unix.EISDIR, err == unix.EINVAL:
		// EISDIR: a kernel that does not know the flag.
		return -1, unsupported("unnamed file in "+dir, err)
	}
	return -1, fmt.Errorf("sys: create unnamed file in %s: %w", dir, err)
}

// selfFD is where the kernel shows our descriptors; a test looks elsewhere.
var selfFD = "/proc/self/fd"

// procFD is the name by which the kernel leads to an open file.
func procFD(fd int) string { return selfFD + "/" + strconv.Itoa(fd) }

// procMissing explains an ENOENT on a procFD.
func procMissing() bool {
	var st unix.Stat_t
	return unix.Stat(selfFD, &st) != nil
}

// Reopen opens the file of fd again, for reading and writing: a new open file
// description of the same inode, so that its locks are its own. It works for
// files without a name, through /proc, and says so where that is not mounted.
func Reopen(fd int) (newfd int, err error) {
	newfd, err = open(procFD(fd), unix.O_RDWR, 0)
	if err == nil {
		return newfd, nil
	}
	if errors.Is(err, fs.ErrNotExist) && procMissing() {
		return -1, fmt.Errorf("sys: reopen descriptor %d: /proc is not mounted: %w", fd, err)
	}
	return -1, fmt.Errorf("sys: reopen descriptor %d: %w", fd, err)
}

// LinkFD gives a file made by OpenTmp a name. fs.ErrExist: the name is taken,
// by whatever it may be; nothing is ever replaced.
func LinkFD(fd int, path string) error {
	err := retry(func() error {
		return unix.Linkat(unix.AT_FDCWD, procFD(fd), unix.AT_FDCWD, path,
			unix.AT_SYMLINK_FOLLOW)
	})
	if err == nil {
		return nil
	}
	if errors.Is(err, fs.ErrNotExist) && procMissing() {
		return fmt.Errorf("sys: link %s: /proc is not mounted: %w", path, err)
	}
	return fmt.Errorf("sys: link %s: %w", path, err)
}

// Close closes fd, which is gone afterwards whatever the error says.
func Close(fd int) error {
	if err := unix.Close(fd); err != nil && err != unix.EINTR {
		return fmt.Errorf("sys: close descriptor %d: %w", fd, err)
	}
	return nil
}

// Dup returns another descriptor of the same open file description: the same
// locks, which last until both are closed.
func Dup(fd int) (int, error) {
	newfd, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return -1, fmt.Errorf("sys: duplicate descriptor %d: %w", fd, err)
	}
	return newfd, nil
}

// SetCloexec marks fd to be closed on exec.
func SetCloexec(fd int) error {
	_, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, unix.FD_CLOEXEC)
	if err != nil {
		return fmt.Errorf("sys: set close-on-exec of descriptor %d: %w", fd, err)
	}
	return nil
}

// Chmod sets the permission bits of the file, whatever the umask.
func Chmod(fd int, mode uint32) error {
	if err := unix.Fchmod(fd, mode); err != nil {
		return fmt.Errorf("sys: chmod descriptor %d: %w", fd, err)
	}
	return nil
}

// Chgrp sets the group of the file.
func Chgrp(fd, gid int) error {
	if err := unix.Fchown(fd, -1, gid); err != nil {
		return fmt.Errorf("sys: chgrp descriptor %d to %d: %w", fd, gid, err)
	}
	return nil
}
