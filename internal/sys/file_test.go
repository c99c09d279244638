//go:build linux && (amd64 || arm64)

package sys_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/sluice-ipc/sluice/internal/sys"
	"golang.org/x/sys/unix"
)

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	file, link, fifo := dir+"/file", dir+"/link", dir+"/fifo"
	must(t, os.WriteFile(file, []byte("x"), 0o600))
	must(t, os.Symlink(file, link))
	must(t, syscall.Mkfifo(fifo, 0o600))
	for _, tt := range []struct {
		name, path string
		readonly   bool
		want       error
	}{
		{"file", file, false, nil},
		{"file to read", file, true, nil},
		{"symbolic link", link, false, syscall.ELOOP},
		{"FIFO, which must not wait for a writer", fifo, true, nil},
		{"nothing", dir + "/nothing", false, fs.ErrNotExist},
		{"name with a zero byte", "a\x00b", false, syscall.EINVAL},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fd, err := sys.Open(tt.path, tt.readonly)
			if !errors.Is(err, tt.want) {
				t.Fatalf("got %v, want %v", err, tt.want)
			}
			if err != nil {
				if fd != -1 {
					t.Errorf("descriptor %d along with an error", fd)
				}
				return
			}
			defer sys.Close(fd)
			wantCloexec(t, fd)
			flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
			must(t, err)
			if flags&unix.O_NONBLOCK != 0 {
				t.Error("left non-blocking")
			}
			if ro := flags&unix.O_ACCMODE == unix.O_RDONLY; ro != tt.readonly {
				t.Errorf("read-only: %v", ro)
			}
		})
	}
}

func TestOpenExcl(t *testing.T) {
	path := t.TempDir() + "/file"
	fd, err := sys.OpenExcl(path, 0o600)
	closing(t, fd, err)
	wantCloexec(t, fd)
	if _, err := sys.OpenExcl(path, 0o600); !errors.Is(err, fs.ErrExist) {
		t.Fatalf("again: got %v, want ErrExist", err)
	}
}

// tmpfile makes an unnamed file in dir, or skips.
func tmpfile(t *testing.T, dir string) int {
	t.Helper()
	fd, err := sys.OpenTmp(dir, 0o600)
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skipf("missing: O_TMPFILE in %s", dir)
	}
	return closing(t, fd, err)
}

func TestUnnamedFileGetsAName(t *testing.T) {
	shm, err := os.MkdirTemp("/dev/shm", "sluice-sys-test-")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(shm) })
	for _, dir := range []string{shm, t.TempDir()} {
		fd := tmpfile(t, dir)
		wantCloexec(t, fd)
		id, err := sys.Stat(fd)
		must(t, err)
		if id.Nlink != 0 {
			t.Errorf("%d names before it has one", id.Nlink)
		}
		path := dir + "/name"
		must(t, sys.LinkFD(fd, path))
		named, err := sys.StatPath(path)
		must(t, err)
		if !named.Same(id) || named.Nlink != 1 {
			t.Errorf("%s leads to %+v, not to %+v", path, named, id)
		}

		other := tmpfile(t, dir)
		if err := sys.LinkFD(other, path); !errors.Is(err, fs.ErrExist) {
			t.Errorf("taken: got %v, want ErrExist", err)
		}
		if now, _ := sys.StatPath(path); !now.Same(id) {
			t.Error("a refused link replaced the file")
		}
		must(t, os.Symlink("nowhere", dir+"/link"))
		if err := sys.LinkFD(other, dir+"/link"); !errors.Is(err, fs.ErrExist) {
			t.Errorf("dangling link: got %v, want ErrExist", err)
		}
		err = sys.LinkFD(other, dir+"/no/name")
		if !errors.Is(err, fs.ErrNotExist) || strings.Contains(err.Error(), "/proc is") {
			t.Errorf("no directory: got %v, want ErrNotExist", err)
		}
	}
}

func TestOpenTmpWhereItCannotBe(t *testing.T) {
	_, err := sys.OpenTmp(t.TempDir()+"/none", 0o600)
	if !errors.Is(err, fs.ErrNotExist) || errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("no directory: got %v, want ErrNotExist", err)
	}
	_, err = sys.OpenTmp("/proc", 0o600)
	if errors.Is(err, fs.ErrPermission) {
		t.Skip("missing: permission to write to a file system without O_TMPFILE")
	}
	if !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("/proc: got %v, want unsupported", err)
	}
}

func TestWithoutProcTheErrorSaysSo(t *testing.T) {
	fd := memfd(t)
	defer sys.SetSelfFD(filepath.Join(t.TempDir(), "not mounted"))()
	_, err := sys.Reopen(fd)
	if err == nil || !strings.Contains(err.Error(), "/proc is not mounted") {
		t.Errorf("reopen: %v", err)
	}
	err = sys.LinkFD(fd, t.TempDir()+"/name")
	if err == nil || !strings.Contains(err.Error(), "/proc is not mounted") {
		t.Errorf("link: %v", err)
	}
}

func TestReopenIsTheSameFile(t *testing.T) {
	fd := memfd(t)
	again := reopened(t, fd)
	wantCloexec(t, again)
	a, err := sys.Stat(fd)
	must(t, err)
	b, err := sys.Stat(again)
	must(t, err)
	if !a.Same(b) || again == fd {
		t.Fatalf("%+v reopened is %+v", a, b)
	}
	if fd, err := sys.Reopen(1 << 20); err == nil || strings.Contains(err.Error(), "/proc is") {
		t.Fatalf("no descriptor: got %d, %v", fd, err)
	}
}

func TestSetCloexecAndDup(t *testing.T) {
	fd, err := unix.Open("/dev/null", unix.O_RDONLY, 0) // inheritable
	closing(t, fd, err)
	dup := duplicate(t, fd)
	wantCloexec(t, dup)
	must(t, sys.SetCloexec(fd))
	wantCloexec(t, fd)
	for _, err := range []error{sys.SetCloexec(1 << 20), sys.Close(1 << 20)} {
		if !errors.Is(err, syscall.EBADF) {
			t.Errorf("got %v, want EBADF", err)
		}
	}
}

func TestStat(t *testing.T) {
	dir := t.TempDir()
	path := dir + "/file"
	fd, err := sys.OpenExcl(path, 0o600)
	closing(t, fd, err)
	must(t, syscall.Ftruncate(fd, 12345))
	must(t, os.Link(path, dir+"/second"))
	must(t, os.Symlink(path, dir+"/link"))
	must(t, sys.Chmod(fd, 0o640))
	must(t, sys.Chgrp(fd, os.Getegid()))

	id, err := sys.Stat(fd)
	must(t, err)
	fi, err := os.Stat(path)
	must(t, err)
	st := fi.Sys().(*syscall.Stat_t)
	want := sys.FileID{
		Dev: uint64(st.Dev), Ino: st.Ino, Size: 12345, Mode: 0o640,
		UID: uint32(os.Geteuid()), GID: uint32(os.Getegid()), Regular: true, Nlink: 2,
	}
	if id != want {
		t.Errorf("got %+v\nwant %+v", id, want)
	}
	for _, name := range []string{"/file", "/second", "/link", ""} {
		fi, err := os.Lstat(dir + name)
		must(t, err)
		got, err := sys.StatPath(dir + name)
		must(t, err)
		same := name == "/file" || name == "/second"
		if got.Same(id) != same || got.Regular != same || got.Mode != fi.Mode() {
			t.Errorf("%q: %+v", name, got)
		}
	}
	if _, err := sys.StatPath(dir + "/none"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want ErrNotExist", err)
	}
	for path, mode := range map[string]fs.FileMode{
		"/dev/null": fs.ModeDevice | fs.ModeCharDevice, "/dev/shm": fs.ModeDir | fs.ModeSticky,
	} {
		if got, err := sys.StatPath(path); err != nil || got.Mode&^0o777 != mode {
			t.Errorf("%s: mode %v, %v; want %v", path, got.Mode, err, mode)
		}
	}
}
