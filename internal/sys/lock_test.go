//go:build linux && (amd64 || arm64)

package sys_test

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"syscall"
	"testing"

	"github.com/sluice-ipc/sluice/internal/sys"
)

// far is where the lock bytes of a segment are: beyond any file's end.
const far = 1 << 40

func init() {
	children["lock"] = func() error { // locks far, and keeps it
		fd, err := sys.Reopen(3)
		if err != nil {
			return err
		}
		if err := sys.LockOFD(fd, far, 1); err != nil {
			return err
		}
		fmt.Println("locked")
		bufio.NewReader(os.Stdin).ReadByte()
		return nil
	}
}

// reopened is a description of its own.
func reopened(t *testing.T, fd int) int {
	t.Helper()
	fd, err := sys.Reopen(fd)
	return closing(t, fd, err)
}

func duplicate(t *testing.T, fd int) int {
	t.Helper()
	fd, err := sys.Dup(fd)
	return closing(t, fd, err)
}

func wantLocked(t *testing.T, fd int, off, n int64, want bool) {
	t.Helper()
	got, err := sys.LockedOFD(fd, off, n)
	must(t, err)
	if got != want {
		t.Fatalf("bytes %d+%d locked by another: %v, want %v", off, n, got, want)
	}
	if want {
		if err := sys.LockOFD(fd, off, n); !errors.Is(err, sys.ErrLocked) {
			t.Fatalf("lock %d+%d: got %v, want ErrLocked", off, n, err)
		}
	}
}

func TestOFDLockBelongsToTheDescription(t *testing.T) {
	named, err := sys.OpenExcl(t.TempDir()+"/file", 0o600)
	closing(t, named, err)
	for name, fd := range map[string]int{"memfd": memfd(t), "file": named} {
		t.Run(name, func(t *testing.T) {
			mine, dup, other := reopened(t, fd), 0, reopened(t, fd)
			wantLocked(t, other, far, 1, false)
			must(t, sys.LockOFD(mine, far, 1))
			must(t, sys.LockOFD(mine, far, 1))
			dup = duplicate(t, mine)
			wantLocked(t, other, far, 1, true)
			wantLocked(t, mine, far, 1, false) // one's own does not count
			wantLocked(t, dup, far, 1, false)
			must(t, sys.LockOFD(dup, far, 1)) // nor does a duplicate's conflict

			must(t, sys.UnlockOFD(dup, far, 1))
			wantLocked(t, other, far, 1, false)
			must(t, sys.LockOFD(other, far, 1))
			wantLocked(t, mine, far, 1, true)
			must(t, sys.UnlockOFD(mine, far, 1)) // not mine: no effect
			wantLocked(t, mine, far, 1, true)
		})
	}
}

func TestOFDLockRanges(t *testing.T) {
	fd := memfd(t)
	mine, other := reopened(t, fd), reopened(t, fd)
	must(t, sys.LockOFD(mine, far+3, 1))
	wantLocked(t, other, far+2, 1, false)
	wantLocked(t, other, far+4, 1, false)
	wantLocked(t, other, far+3, 1, true)
	wantLocked(t, other, far, 512, true)
	wantLocked(t, other, 0, 0, true)
	must(t, sys.LockOFD(other, far+4, 1))
	wantLocked(t, mine, far+4, 1, true)
	must(t, sys.UnlockOFD(other, 0, 0))
	must(t, sys.UnlockOFD(mine, 0, 0))

	must(t, sys.LockOFD(mine, 0, 0)) // the whole file, and beyond
	for _, off := range []int64{0, far, 1 << 41, 1<<63 - 1} {
		wantLocked(t, other, off, 1, true)
	}
	must(t, sys.UnlockOFD(mine, far+7, 1))
	wantLocked(t, other, far+7, 1, false)
	wantLocked(t, other, far+8, 1, true)
}

func TestOFDLockLastsUntilLastDuplicateCloses(t *testing.T) {
	fd := memfd(t)
	other := reopened(t, fd)
	mine, err := sys.Reopen(fd)
	must(t, err)
	dup, err := sys.Dup(mine)
	must(t, err)
	must(t, sys.LockOFD(mine, far, 1))

	// A POSIX lock would be lost here.
	unrelated, err := sys.Reopen(fd)
	must(t, err)
	must(t, sys.Close(unrelated))
	wantLocked(t, other, far, 1, true)

	must(t, sys.Close(mine))
	wantLocked(t, other, far, 1, true)
	must(t, sys.Close(dup))
	wantLocked(t, other, far, 1, false)
}

// A mapping keeps the description that it was made through, as Map says.
func TestOFDLockLastsWhileMapped(t *testing.T) {
	fd := memfd(t)
	other := reopened(t, fd)
	mine, err := sys.Reopen(fd)
	must(t, err)
	must(t, sys.LockOFD(mine, far, 1))
	m, err := sys.Map(mine, 4096)
	must(t, err)
	must(t, sys.Close(mine))
	wantLocked(t, other, far, 1, true)
	must(t, m.Unmap())
	wantLocked(t, other, far, 1, false)
}

func TestOFDLockNeedsWriteAccess(t *testing.T) {
	path := t.TempDir() + "/file"
	fd, err := sys.OpenExcl(path, 0o600)
	closing(t, fd, err)
	reader, err := sys.Open(path, true)
	closing(t, reader, err)
	err = sys.LockOFD(reader, far, 1)
	if !errors.Is(err, syscall.EBADF) {
		t.Fatalf("got %v, want EBADF", err)
	}
	must(t, sys.LockOFD(fd, far, 1))
	if locked, err := sys.LockedOFD(reader, far, 1); !locked || err != nil { // but sees
		t.Fatalf("locked %v, %v", locked, err)
	}
}

func TestOFDLockEndsWithItsProcessOnly(t *testing.T) {
	fd := memfd(t)
	mine := reopened(t, fd)
	c := start(t, "lock", fd)
	if s := c.line(); s != "locked" {
		t.Fatalf("child says %q", s)
	}
	wantLocked(t, mine, far, 1, true)

	must(t, c.Process.Signal(syscall.SIGSTOP))
	until(t, "the child to stop", func() bool {
		var ws syscall.WaitStatus
		pid, err := syscall.Wait4(c.Process.Pid, &ws, syscall.WUNTRACED|syscall.WNOHANG, nil)
		must(t, err)
		return pid == c.Process.Pid && ws.Stopped()
	})
	wantLocked(t, mine, far, 1, true) // stopped is not dead

	must(t, c.Process.Signal(syscall.SIGKILL))
	until(t, "the dead child's lock to go", func() bool { // unreaped, too
		return sys.LockOFD(mine, far, 1) == nil
	})
	var ws syscall.WaitStatus
	if pid, err := syscall.Wait4(c.Process.Pid, &ws, 0, nil); err != nil || !ws.Signaled() {
		t.Fatalf("child %d: %v, %v", pid, ws, err)
	}
}
