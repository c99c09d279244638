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
// What lies in memory, as a memfd and /dev/shm do, is refused here beyond what
// FreeFD gives. A memfd has no limit but the memory of the machine, a tmpfs may
// have one that is as large, and both allocate first and fail afterwards: asking
// the kernel would bring the out-of-memory killer, not an error.
func Fallocate(fd int, size int64) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return fmt.Errorf("sys: reserve %d bytes: %w", size, err)
	}
	need := size - st.Blocks*512
	if free := FreeFD(fd); inMemory(fd) && free >= 0 && need > free {
		return fmt.Errorf("sys: reserve %d bytes: %d available: %w", size, free, unix.ENOSPC)
	}
	err := retry(func() error { return unix.Fallocate(fd, 0, 0, size) })
	if err == unix.EOPNOTSUPP {
		err = fillZero(fd, st.Size, size)
	}
	if err == nil {
		return nil
	}
	if size > st.Size { // ext4 keeps what it got done
		_ = unix.Ftruncate(fd, st.Size)
	}
	if err == unix.ENOMEM {
		err = unix.ENOSPC
	}
	return fmt.Errorf("sys: reserve %d bytes: %w", size, err)
}

// fillZero makes a file longer by writing, on file systems without fallocate.
func fillZero(fd int, from, to int64) error {
	zero := make([]byte, 256<<10)
	for off := from; off < to; {
		n, err := unix.Pwrite(fd, zero[:min(int64(len(zero)), to-off)], off)
		if err != nil && err != unix.EINTR {
			return err
		}
		off += int64(max(n, 0))
	}
	return nil
}

// Free returns the bytes that an ordinary user may still allocate on the file
// system of dirOrFile, -1 when that cannot be told. For one in memory that is
// never more than the kernel thinks it could give.
func Free(dirOrFile string) (bytes int64) {
	var st unix.Statfs_t
	err := retry(func() error { return unix.Statfs(dirOrFile, &st) })
	return freeOf(&st, err)
}

// FreeFD is Free for the file system of an open file.
func FreeFD(fd int) int64 {
	var st unix.Statfs_t
	err := retry(func() error { return unix.Fstatfs(fd, &st) })
	return freeOf(&st, err)
}

func freeOf(st *unix.Statfs_t, err error) int64 {
	if err != nil {
		return -1
	}
	free := int64(st.Bavail) * st.Bsize
	if !isMemory(st) {
		return free
	}
	mem := memoryFree()
	if st.Blocks == 0 || mem >= 0 && mem < free { // no limit of its own, or a useless one
		return mem
	}
	return free
}

// inMemory reports whether fd is in memory, as a memfd and /dev/shm are.
func inMemory(fd int) bool {
	var st unix.Statfs_t
	err := retry(func() error { return unix.Fstatfs(fd, &st) })
	return err == nil && isMemory(&st)
}

func isMemory(st *unix.Statfs_t) bool {
	return st.Type == unix.TMPFS_MAGIC || st.Type == unix.RAMFS_MAGIC
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
