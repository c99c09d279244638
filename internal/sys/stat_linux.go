//go:build amd64 || arm64

package sys

import (
	"fmt"
	"io/fs"

	"golang.org/x/sys/unix"
)

// Stat says which file fd is.
func Stat(fd int) (FileID, error) {
	var st unix.Stat_t
	if err := retry(func() error { return unix.Fstat(fd, &st) }); err != nil {
		return FileID{}, fmt.Errorf("sys: stat descriptor %d: %w", fd, err)
	}
	return fileID(&st), nil
}

// StatPath says which file a name leads to (fs.ErrNotExist). Like Open it
// does not follow a symbolic link in the last element.
func StatPath(path string) (FileID, error) {
	var st unix.Stat_t
	if err := retry(func() error { return unix.Lstat(path, &st) }); err != nil {
		return FileID{}, fmt.Errorf("sys: stat %s: %w", path, err)
	}
	return fileID(&st), nil
}

func fileID(st *unix.Stat_t) FileID {
	return FileID{
		Dev:     st.Dev,
		Ino:     st.Ino,
		Size:    st.Size,
		Mode:    fileMode(st.Mode),
		UID:     st.Uid,
		GID:     st.Gid,
		Regular: st.Mode&unix.S_IFMT == unix.S_IFREG,
		Nlink:   uint64(st.Nlink),
	}
}

func fileMode(m uint32) fs.FileMode {
	mode := fs.FileMode(m & 0o777)
	switch m & unix.S_IFMT {
	case unix.S_IFDIR:
		mode |= fs.ModeDir
	case unix.S_IFLNK:
		mode |= fs.ModeSymlink
	case unix.S_IFIFO:
		mode |= fs.ModeNamedPipe
	case unix.S_IFSOCK:
		mode |= fs.ModeSocket
	case unix.S_IFCHR:
		mode |= fs.ModeDevice | fs.ModeCharDevice
	case unix.S_IFBLK:
		mode |= fs.ModeDevice
	}
	for _, b := range []struct {
		bit  uint32
		mode fs.FileMode
	}{
		{unix.S_ISUID, fs.ModeSetuid},
		{unix.S_ISGID, fs.ModeSetgid},
		{unix.S_ISVTX, fs.ModeSticky},
	} {
		if m&b.bit != 0 {
			mode |= b.mode
		}
	}
	return mode
}
