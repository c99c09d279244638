//go:build linux && (amd64 || arm64)

package sys

import (
	"fmt"
	"math"
	"os"
	"sync/atomic"
	"unsafe"

	"github.com/edsrzf/mmap-go"
	"golang.org/x/sys/unix"
)

// Mapping is memory shared with everybody who maps the same file. Whoever
// called Map owns it and sees to it that nobody touches it after Unmap.
type Mapping []byte

// Map maps the first size bytes of the file for reading and writing, shared.
// fd stays the caller's and may be closed afterwards. The file must be that
// long: touching what lies beyond its end is a fault (SIGBUS).
//
// The kernel keeps fd's open file description for as long as the mapping
// stands, and with it that description's locks: map through another
// description than the one that holds locks.
func Map(fd int, size int64) (Mapping, error) {
	if size <= 0 || size > math.MaxInt {
		return nil, fmt.Errorf("sys: map %d bytes: %w", size, unix.EINVAL)
	}
	// mmap-go wants an *os.File, and that closes what it holds, at the latest
	// by a cleanup of the collector. So it gets a descriptor of its own,
	// which is closed before we return.
	dup, err := Dup(fd)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(dup), "mapping")
	defer f.Close()
	m, err := mmap.MapRegion(f, int(size), mmap.RDWR, 0, 0)
	if err != nil {
		return nil, fmt.Errorf("sys: map %d bytes: %w", size, err)
	}
	return Mapping(m), nil
}

// Bytes returns the memory.
func (m Mapping) Bytes() []byte { return m }

// Unmap gives the memory back. It must be called once, after the last use.
func (m Mapping) Unmap() error {
	mm := mmap.MMap(m)
	if err := mm.Unmap(); err != nil {
		return fmt.Errorf("sys: unmap: %w", err)
	}
	return nil
}

// Prefault makes every page present and writable, so that first touches cost
// no fault. It changes no byte, whatever others are doing with them.
func (m Mapping) Prefault() error {
	// Advice that nobody knows must be refused; if it is not, advice is
	// ignored here (emulators do), and its success means nothing.
	const noAdvice = 0x7fff
	err := error(unix.EINVAL)
	if unix.Madvise(m, noAdvice) != nil {
		err = retry(func() error { return unix.Madvise(m, unix.MADV_POPULATE_WRITE) })
	}
	if err == unix.EINVAL || err == unix.ENOSYS { // before Linux 5.14
		m.touch()
		return nil
	}
	if err != nil {
		return fmt.Errorf("sys: prefault %d bytes: %w", len(m), err)
	}
	return nil
}

// touch adds 0 to a word of every page: a write for the page tables, atomic
// and without effect for everybody else.
func (m Mapping) touch() {
	for off := 0; off+4 <= len(m); off += os.Getpagesize() {
		atomic.AddUint32((*uint32)(unsafe.Pointer(&m[off])), 0)
	}
}

// Lock keeps the memory from being swapped out (mlock), for as long as it is
// mapped. It is limited by RLIMIT_MEMLOCK: ENOMEM, EPERM.
func (m Mapping) Lock() error {
	if err := mmap.MMap(m).Lock(); err != nil {
		return fmt.Errorf("sys: lock %d bytes in memory: %w", len(m), err)
	}
	return nil
}

// HugeAdvice asks for huge pages. It satisfies errors.ErrUnsupported where
// the kernel was built without; whether it heeds the advice is its own
// affair (/sys/kernel/mm/transparent_hugepage/shmem_enabled).
func (m Mapping) HugeAdvice() error {
	err := unix.Madvise(m, unix.MADV_HUGEPAGE)
	if err == unix.EINVAL {
		return unsupported("huge pages", err)
	}
	if err != nil {
		return fmt.Errorf("sys: advise huge pages: %w", err)
	}
	return nil
}
