//go:build amd64 || arm64

package sys

import (
	"fmt"
	"sync"

	"golang.org/x/sys/unix"
)

// maxMemfdName is what the kernel leaves of a file name after "memfd:".
const maxMemfdName = 249

// MemfdCreate makes an anonymous file in memory that can be sealed, is closed
// on exec, and cannot be made executable where the kernel knows how to forbid
// that (Linux 6.3). The name is for /proc only and is cut at 249 bytes. The
// file lives as long as a descriptor or a mapping of it, in any process.
func MemfdCreate(name string) (fd int, err error) {
	if len(name) > maxMemfdName {
		name = name[:maxMemfdName]
	}
	const flags = unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING
	fd, err = unix.MemfdCreate(name, flags|unix.MFD_NOEXEC_SEAL)
	if err == unix.EINVAL {
		fd, err = unix.MemfdCreate(name, flags)
	}
	if err != nil {
		return -1, fmt.Errorf("sys: memfd_create %q: %w", name, err)
	}
	return fd, nil
}

// AddSeals fixes the size of a memfd for good: nobody, not even its creator,
// can shrink or grow it or take that back.
func AddSeals(fd int) error {
	const seals = unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_SEAL
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals); err != nil {
		return fmt.Errorf("sys: seal descriptor %d: %w", fd, err)
	}
	return nil
}

// IsMemfd reports whether fd is a memfd, and whether it is sealed against
// shrinking, so that touching a mapping of it can never fault.
func IsMemfd(fd int) (memfd, sealed bool) {
	// Files under /dev/shm answer too, with F_SEAL_SEAL and nothing else, as
	// a memfd does that was made without MFD_ALLOW_SEALING: only the device
	// tells those two apart.
	seals, err := unix.FcntlInt(uintptr(fd), unix.F_GET_SEALS, 0)
	if err != nil {
		return false, false
	}
	if seals&unix.F_SEAL_SHRINK != 0 {
		return true, true
	}
	if seals&^unix.F_SEAL_SEAL != 0 {
		return true, false
	}
	var st unix.Stat_t
	if unix.Fstat(fd, &st) != nil {
		return false, false
	}
	dev, ok := memfdDev()
	return ok && st.Dev == dev, false
}

// memfdDev returns the device that all memfds of this kernel live on.
var memfdDev = sync.OnceValues(func() (dev uint64, ok bool) {
	fd, err := MemfdCreate("probe")
	if err != nil {
		return 0, false
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	err = unix.Fstat(fd, &st)
	return st.Dev, err == nil
})
