//go:build linux && (amd64 || arm64)

package sys_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"
	"testing"

	"github.com/sluice-ipc/sluice/internal/sys"
)

func TestFallocate(t *testing.T) {
	named, err := sys.OpenExcl(t.TempDir()+"/file", 0o600)
	closing(t, named, err)
	for name, fd := range map[string]int{"memfd": memfd(t), "file": named} {
		t.Run(name, func(t *testing.T) {
			must(t, sys.Fallocate(fd, 64<<10))
			syscall.Pwrite(fd, []byte("stays"), 100)
			must(t, sys.Fallocate(fd, 1<<20))
			wantReserved(t, fd, 1<<20)
			got := make([]byte, 5)
			if _, err := syscall.Pread(fd, got, 100); err != nil || string(got) != "stays" {
				t.Errorf("%q, %v", got, err)
			}
			must(t, sys.Fallocate(fd, 4096)) // never shrinks
			wantReserved(t, fd, 1<<20)
			if err := sys.Fallocate(fd, 0); !errors.Is(err, syscall.EINVAL) {
				t.Errorf("nothing: got %v, want EINVAL", err)
			}
		})
	}
}

func wantReserved(t *testing.T, fd int, size int64) {
	t.Helper()
	var st syscall.Stat_t
	must(t, syscall.Fstat(fd, &st))
	if st.Size != size || st.Blocks*512 < size {
		t.Fatalf("%d bytes long, %d reserved, want %d", st.Size, st.Blocks*512, size)
	}
}

func TestNoRoomIsAnError(t *testing.T) {
	const tooMuch = 1 << 50
	t.Run("memfd", func(t *testing.T) {
		fd := memfd(t)
		if err := sys.Fallocate(fd, tooMuch); !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("got %v, want ENOSPC", err)
		}
		wantReserved(t, fd, 64<<10)
	})
	t.Run("shm", func(t *testing.T) {
		fd := tmpfile(t, "/dev/shm")
		if err := sys.Fallocate(fd, tooMuch); !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("got %v, want ENOSPC", err)
		}
		wantReserved(t, fd, 0)
	})
	t.Run("small file system", func(t *testing.T) {
		c := start(t, "small file system", -1, "SLUICE_DIR="+t.TempDir())
		switch s := c.line(); s {
		case "ok":
		case "may not mount":
			t.Skip("missing: permission to mount a tmpfs")
		default:
			t.Fatal(s)
		}
		c.finish()
	})
}

func init() {
	// In a mount namespace of its own: files that fit until one does not.
	children["small file system"] = func() error {
		say := func(s string) error { _, err := os.Stdout.WriteString(s + "\n"); return err }
		dir := os.Getenv("SLUICE_DIR")
		err := smallMount(dir)
		if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EACCES) || errors.Is(err, syscall.ENOSYS) {
			return say("may not mount")
		}
		if err != nil {
			return say(err.Error())
		}
		a, err := sys.OpenExcl(dir+"/a", 0o600)
		if err != nil {
			return say(err.Error())
		}
		b, err := sys.OpenExcl(dir+"/b", 0o600)
		if err != nil {
			return say(err.Error())
		}
		if err := sys.Fallocate(a, 640<<10); err != nil {
			return say("the first: " + err.Error())
		}
		before, same := sys.FreeFD(b), sys.Free(dir)
		if before <= 0 || before > 384<<10 || before != same {
			return say(fmt.Sprintf("free: %d of the file, %d of the directory", before, same))
		}
		if err := sys.Fallocate(b, 640<<10); !errors.Is(err, syscall.ENOSPC) {
			return say("the second is not ENOSPC")
		}
		if id, err := sys.Stat(b); err != nil || id.Size != 0 || sys.FreeFD(b) != before {
			return say("the failure left something behind")
		}
		return say("ok")
	}
}

// smallMount mounts 1 MiB on dir, for this thread only, which the caller keeps.
func smallMount(dir string) error {
	runtime.LockOSThread()
	if err := syscall.Unshare(syscall.CLONE_NEWNS); err != nil {
		return err
	}
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return err
	}
	return syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=1m")
}

func TestReservingByWriting(t *testing.T) {
	fd := memfd(t)
	syscall.Pwrite(fd, []byte("stays"), 64<<10-5)
	must(t, sys.FillZero(fd, 64<<10, 1<<20+1))
	wantReserved(t, fd, 1<<20+1)
	got := make([]byte, 1<<20)
	syscall.Pread(fd, got, 64<<10-5)
	if !bytes.HasPrefix(got, []byte("stays\x00")) {
		t.Errorf("%q", got[:10])
	}
	must(t, sys.AddSeals(fd))
	if err := sys.FillZero(fd, 1<<20+1, 2<<20); !errors.Is(err, syscall.EPERM) {
		t.Errorf("sealed: got %v, want EPERM", err)
	}
}

func TestFree(t *testing.T) {
	for name, got := range map[string]int64{
		"/dev/shm": sys.Free("/dev/shm"), "temp dir": sys.Free(t.TempDir()),
		"memfd": sys.FreeFD(memfd(t)),
	} {
		if got <= 0 {
			t.Errorf("%s: %d bytes free", name, got)
		}
	}
	if a, b := sys.Free("/none/such"), sys.FreeFD(-1); a != -1 || b != -1 {
		t.Errorf("unknown is %d, %d, want -1", a, b)
	}
}

func TestFSName(t *testing.T) {
	dir := func(path string) int {
		fd, err := sys.Open(path, true)
		return closing(t, fd, err)
	}
	for _, tt := range []struct {
		what     string
		fd       int
		name     string
		coherent bool
	}{
		{"/dev/shm", dir("/dev/shm"), "tmpfs", true},
		{"/proc", dir("/proc"), "proc", false},
		{"memfd", memfd(t), "tmpfs", true},
	} {
		name, coherent, err := sys.FSName(tt.fd)
		must(t, err)
		if name != tt.name || coherent != tt.coherent {
			t.Errorf("%s: %s, coherent %v; want %s, %v", tt.what, name, coherent, tt.name, tt.coherent)
		}
	}
	if _, _, err := sys.FSName(-1); !errors.Is(err, syscall.EBADF) {
		t.Errorf("got %v, want EBADF", err)
	}
	known := sys.CoherentFS()
	for _, name := range []string{"nfs", "fuse", "9p", "cifs", "smb", "smb2", "ceph", "proc"} {
		if coherent, ok := known[name]; coherent || !ok {
			t.Errorf("%s: known %v, coherent %v", name, ok, coherent)
		}
	}
	for _, name := range []string{"tmpfs", "ext4", "xfs", "btrfs", "overlay"} {
		if !known[name] {
			t.Errorf("%s is refused", name)
		}
	}
}
