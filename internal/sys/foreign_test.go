//go:build linux && (amd64 || arm64)

package sys_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sluice-ipc/sluice/internal/shmtest"
	"github.com/sluice-ipc/sluice/internal/sys"
	"golang.org/x/sys/unix"
)

// The runtime must not poll a file whose poll may be anybody's, as that of a
// device is and that of a file in FUSE.
func TestForeignFile(t *testing.T) {
	shmtest.NoLeaks(t)
	named := filepath.Join(t.TempDir(), "named")
	must(t, os.WriteFile(named, []byte("content"), 0o600))
	for path, want := range map[string]string{named: "content", "/dev/random": ""} {
		fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		must(t, err)
		f, err := sys.ForeignFile(fd, "foreign")
		must(t, err)
		if err := f.SetReadDeadline(time.Time{}); !errors.Is(err, os.ErrNoDeadline) {
			t.Errorf("%s: SetReadDeadline = %v", path, err)
		}
		b := make([]byte, 7)
		if n, err := f.Read(b); n != 7 || err != nil || want != "" && string(b) != want {
			t.Errorf("%s: read %q, %v", path, b[:n], err)
		}
		if flags, err := unix.FcntlInt(f.Fd(), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
			t.Errorf("%s: flags %x, %v", path, flags, err)
		}
		must(t, f.Close())
	}
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC) // may wait for such a file too
	must(t, err)
	must(t, unix.SetNonblock(ep, true))
	e, err := sys.ForeignFile(ep, "epoll")
	must(t, err)
	if err := e.SetReadDeadline(time.Time{}); !errors.Is(err, os.ErrNoDeadline) {
		t.Errorf("SetReadDeadline of an epoll descriptor: %v", err)
	}
	must(t, e.Close())
	var p [2]int
	must(t, unix.Pipe2(p[:], unix.O_NONBLOCK|unix.O_CLOEXEC))
	defer unix.Close(p[1])
	f, err := sys.ForeignFile(p[0], "pipe")
	must(t, err)
	must(t, f.SetReadDeadline(time.Unix(1, 0)))
	if _, err := f.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read of a pipe: %v", err)
	}
	must(t, f.Close())
	if f, err := sys.ForeignFile(-1, "none"); err == nil {
		t.Errorf("a file of nothing: %v", f)
	}
}
