//go:build amd64 || arm64

package sys

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Fallocate makes the file size bytes long and reserves all of them, so that
// no later access to a mapping can fail for want of room. What it holds
// already stays. No room: an error that satisfies syscall.ENOSPC, and the
// file's length is unchanged.
//
// A memfd has no limit but the memory of the machine, and reserving more than
// there is would bring the out-of-memory killer, not an error; so it is
// refused here beyond what Free gives.
func Fallocate(fd int, size int64) error {
	if unlimited(fd) {
		if free := memoryFree(); free >= 0 && size > free {
			return fmt.Errorf("sys: reserve %d bytes: %d available: %w", size, free, unix.ENOSPC)
		}
	}
	err := retry(func() error { return unix.Fallocate(fd, 0, 0, size) })
	if err == unix.EOPNOTSUPP {
		err = fillZero(fd, size)
	}
	if err == unix.ENOMEM {
		err = unix.ENOSPC
	}
	if err != nil {
		return fmt.Errorf("sys: reserve %d bytes: %w", size, err)
	}
	return nil
}

// fillZero reserves by writing, on file systems without fallocate. It starts
// where the file ends, and cuts the file back there when it fails.
func fillZero(fd int, size int64) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	zero := make([]byte, 256<<10)
	for off := st.Size; off < size; {
		n, err := unix.Pwrite(fd, zero[:min(int64(len(zero)), size-off)], off)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			_ = unix.Ftruncate(fd, st.Size)
			return err
		}
		off += int64(n)
	}
	return nil
}

// Free returns the bytes that an ordinary user may still allocate on the file
// system of dirOrFile, -1 when that cannot be told.
func Free(dirOrFile string) (bytes int64) {
	var st unix.Statfs_t
	err := retry(func() error { return unix.Statfs(dirOrFile, &st) })
	return freeOf(&st, err)
}

// FreeFD is Free for the file system of an open file. For a memfd it is the
// memory that the kernel thinks it could give.
func FreeFD(fd int) int64 {
	var st unix.Statfs_t
	err := retry(func() error { return unix.Fstatfs(fd, &st) })
	return freeOf(&st, err)
}

func freeOf(st *unix.Statfs_t, err error) int64 {
	if err != nil {
		return -1
	}
	if st.Type == unix.TMPFS_MAGIC && st.Blocks == 0 {
		return memoryFree()
	}
	return int64(st.Bavail) * st.Bsize
}

// unlimited reports whether fd is on a tmpfs without a limit, such as the
// kernel's own, where memfds live.
func unlimited(fd int) bool {
	var st unix.Statfs_t
	err := retry(func() error { return unix.Fstatfs(fd, &st) })
	return err == nil && st.Type == unix.TMPFS_MAGIC && st.Blocks == 0
}

// memoryFree is MemAvailable and SwapFree of /proc/meminfo in bytes, -1 when
// it cannot be read.
func memoryFree() int64 {
	f, err := os.Open("/proc/meminfo")
	if err != nil {
		return -1
	}
	defer f.Close()
	sum, known := int64(0), false
	for sc := bufio.NewScanner(f); sc.Scan(); {
		name, rest, _ := strings.Cut(sc.Text(), ":")
		if name != "MemAvailable" && name != "SwapFree" {
			continue
		}
		kb, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(rest, "kB")), 10, 64)
		if err != nil {
			continue
		}
		sum += kb << 10
		known = known || name == "MemAvailable"
	}
	if !known {
		return -1
	}
	return sum
}
