//go:build linux && (amd64 || arm64)

package sys_test

import (
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/sluice-ipc/sluice/internal/sys"
	"golang.org/x/sys/unix"
)

func TestSealedMemfdKeepsItsSize(t *testing.T) {
	fd := memfd(t)
	must(t, syscall.Ftruncate(fd, 4096)) // not yet
	must(t, sys.Fallocate(fd, 64<<10))
	must(t, sys.AddSeals(fd))
	again, err := sys.Reopen(fd)
	closing(t, again, err)
	for _, size := range []int64{0, 4096, 64<<10 - 1, 64<<10 + 1, 1 << 20} {
		for _, fd := range []int{fd, again} {
			if err := syscall.Ftruncate(fd, size); !errors.Is(err, syscall.EPERM) {
				t.Errorf("truncate to %d: got %v, want EPERM", size, err)
			}
		}
	}
	if err := sys.Fallocate(fd, 1<<20); !errors.Is(err, syscall.EPERM) {
		t.Errorf("fallocate: got %v, want EPERM", err)
	}
	if err := sys.AddSeals(fd); !errors.Is(err, syscall.EPERM) {
		t.Errorf("more seals: got %v, want EPERM", err)
	}
	id, err := sys.Stat(fd)
	must(t, err)
	if id.Size != 64<<10 {
		t.Errorf("size is %d", id.Size)
	}
	mapped(t, fd)[64<<10-1] = 1 // sealing does not forbid writing
}

func TestIsMemfd(t *testing.T) {
	sealed := memfd(t)
	must(t, sys.AddSeals(sealed))
	unsealable, err := unix.MemfdCreate("unsealable", unix.MFD_CLOEXEC)
	closing(t, unsealable, err)
	unnamed, err := sys.OpenTmp("/dev/shm", 0o600)
	closing(t, unnamed, err)
	named, err := sys.OpenExcl(t.TempDir()+"/file", 0o600)
	closing(t, named, err)
	r, w, err := os.Pipe()
	must(t, err)
	defer r.Close()
	defer w.Close()

	for _, tt := range []struct {
		name          string
		fd            int
		memfd, sealed bool
	}{
		{"memfd", memfd(t), true, false},
		{"sealed memfd", sealed, true, true},
		{"memfd that cannot be sealed", unsealable, true, false},
		{"unnamed file in /dev/shm", unnamed, false, false},
		{"ordinary file", named, false, false},
		{"pipe", int(r.Fd()), false, false},
		{"no descriptor", -1, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			memfd, sealed := sys.IsMemfd(tt.fd)
			if memfd != tt.memfd || sealed != tt.sealed {
				t.Fatalf("memfd %v, sealed %v; want %v, %v", memfd, sealed, tt.memfd, tt.sealed)
			}
		})
	}
}

func TestMemfdCreate(t *testing.T) {
	fd, err := sys.MemfdCreate(strings.Repeat("long name ", 100))
	closing(t, fd, err)
	wantCloexec(t, fd)
	id, err := sys.Stat(fd)
	must(t, err)
	if id.Size != 0 || id.Nlink != 0 || !id.Regular {
		t.Errorf("%+v", id)
	}
}

func TestMemfdCannotBecomeExecutable(t *testing.T) {
	probe, err := unix.MemfdCreate("probe", unix.MFD_NOEXEC_SEAL)
	if err != nil {
		t.Skip("missing: MFD_NOEXEC_SEAL (Linux 6.3)")
	}
	sys.Close(probe)
	if err := sys.Chmod(memfd(t), 0o700); !errors.Is(err, syscall.EPERM) {
		t.Fatalf("got %v, want EPERM", err)
	}
}

func wantCloexec(t *testing.T, fd int) {
	t.Helper()
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	must(t, err)
	if flags&unix.FD_CLOEXEC == 0 {
		t.Error("would survive exec")
	}
}
