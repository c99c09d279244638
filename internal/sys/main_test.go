//go:build linux && (amd64 || arm64)

package sys_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-ipc/sluice/internal/mem"
	"github.com/sluice-ipc/sluice/internal/shmtest"
	"github.com/sluice-ipc/sluice/internal/sys"
)

// The test binary is its own child, when this names what the child is to do.
const childEnv = "SLUICE_SYS_CHILD"

// wrapperEnv names the program that runs test binaries, for one that emulates
// another processor: what was given to `go test -exec`.
const wrapperEnv = "SLUICE_TEST_EXEC"

// children are the roles; each ends the process by returning.
var children = map[string]func() error{}

func TestMain(m *testing.M) {
	name := os.Getenv(childEnv)
	if name == "" {
		os.Exit(m.Run())
	}
	if err := children[name](); err != nil {
		fmt.Fprintf(os.Stderr, "child %s: %v\n", name, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// child is a process that plays a role. Its descriptor 3 is the memory that
// start was given.
type child struct {
	*exec.Cmd
	t   *testing.T
	in  io.WriteCloser
	out *bufio.Reader
}

// start runs a role; fd, unless it is -1, is descriptor 3 there. The child is
// killed at the end of the test at the latest.
func start(t *testing.T, role string, fd int, env ...string) *child {
	t.Helper()
	args := append(strings.Fields(os.Getenv(wrapperEnv)), os.Args[0])
	c := &child{Cmd: exec.Command(args[0], args[1:]...), t: t}
	c.Env = append(append(os.Environ(), childEnv+"="+role), env...)
	c.Stderr = os.Stderr
	if fd >= 0 {
		dup, err := sys.Dup(fd)
		must(t, err)
		f := os.NewFile(uintptr(dup), "memory")
		defer f.Close()
		c.ExtraFiles = []*os.File{f}
	}
	var err error
	c.in, err = c.StdinPipe()
	must(t, err)
	out, err := c.StdoutPipe()
	must(t, err)
	c.out = bufio.NewReader(out)
	err = c.Start()
	if errors.Is(err, syscall.ENOEXEC) {
		t.Skipf("missing: a way to start this binary again under emulation (set %s)", wrapperEnv)
	}
	must(t, err)
	t.Cleanup(func() {
		c.Process.Kill()
		c.Wait()
	})
	return c
}

// line reads what the child says next.
func (c *child) line() string {
	c.t.Helper()
	s := make(chan string, 1)
	go func() {
		l, err := c.out.ReadString('\n')
		if err != nil {
			l = "error: " + err.Error()
		}
		s <- strings.TrimSpace(l)
	}()
	return within(c.t, "a line from the child", s)
}

// finish waits for the child to succeed.
func (c *child) finish() {
	c.t.Helper()
	done := make(chan error, 1)
	go func() { done <- c.Wait() }()
	if err := within(c.t, "the child to end", done); err != nil {
		c.t.Fatalf("child: %v", err)
	}
}

// watchdog grows with SLUICE_TEST_SCALE.
var watchdog = max(2*time.Minute, 2*shmtest.Watchdog())

// within receives from c, and fails the test if that never happens.
func within[T any](t *testing.T, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(watchdog):
		t.Fatalf("waited %v for %s", watchdog, what)
		panic("unreachable")
	}
}

// until polls for a condition, and fails the test if it never holds.
func until(t *testing.T, what string, cond func() bool) {
	t.Helper()
	poll := time.NewTicker(200 * time.Microsecond)
	defer poll.Stop()
	dead := time.After(watchdog)
	for !cond() {
		select {
		case <-poll.C:
		case <-dead:
			t.Fatalf("waited %v for %s", watchdog, what)
		}
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// memfd makes a file in memory of 64 KiB that ends with the test.
func memfd(t testing.TB) int {
	t.Helper()
	fd, err := sys.MemfdCreate("sluice-test")
	must(t, err)
	t.Cleanup(func() { sys.Close(fd) })
	must(t, sys.Fallocate(fd, 64<<10))
	return fd
}

// mapped maps 64 KiB of fd until the test ends.
func mapped(t testing.TB, fd int) sys.Mapping {
	t.Helper()
	m, err := sys.Map(fd, 64<<10)
	must(t, err)
	t.Cleanup(func() { must(t, m.Unmap()) })
	return m
}

// word is a shared word and its address for the futex calls.
func word(m sys.Mapping, off int) (*atomic.Uint32, *uint32) {
	w := mem.Uint32(m.Bytes(), off)
	return w, mem.Raw(w)
}

// closing closes fd at the end of the test.
func closing(t testing.TB, fd int, err error) int {
	t.Helper()
	must(t, err)
	t.Cleanup(func() { sys.Close(fd) })
	return fd
}

// descriptors counts the open ones of this process.
func descriptors(t testing.TB) int {
	t.Helper()
	names, err := filepath.Glob("/proc/self/fd/*")
	must(t, err)
	return len(names)
}
