//go:build linux && (amd64 || arm64)

package sys_test

import (
	"bufio"
	"bytes"
	"errors"
	"os"
	"runtime"
	"sync"
	"syscall"
	"testing"

	"github.com/sluice-ipc/sluice/internal/sys"
)

func init() {
	children["idle"] = func() error { // until its input ends
		os.Stdout.WriteString("here\n")
		bufio.NewReader(os.Stdin).ReadByte()
		return nil
	}
}

// watched starts an idle child and watches it.
func watched(t *testing.T) (c *child, exited <-chan struct{}, stop func()) {
	t.Helper()
	c = start(t, "idle", -1)
	if s := c.line(); s != "here" {
		t.Fatalf("child says %q", s)
	}
	exited, stop, err := sys.WatchPid(c.Process.Pid)
	needPidfd(t, err)
	must(t, err)
	t.Cleanup(stop)
	return c, exited, stop
}

func needPidfd(t *testing.T, err error) {
	t.Helper()
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skipf("missing: pidfd_open (Linux 5.3): %v", err)
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func TestWatchPidSeesDeath(t *testing.T) {
	c, exited, stop := watched(t)
	must(t, c.Process.Signal(syscall.SIGSTOP))
	until(t, "the child to stop", func() bool {
		var ws syscall.WaitStatus
		pid, err := syscall.Wait4(c.Process.Pid, &ws, syscall.WUNTRACED|syscall.WNOHANG, nil)
		must(t, err)
		return pid == c.Process.Pid && ws.Stopped()
	})
	if isClosed(exited) {
		t.Fatal("closed while the process lives")
	}
	must(t, c.Process.Kill())
	within(t, "news of the death", exited) // nobody has reaped it
	stop()
	stop()
	late, stop, err := sys.WatchPid(c.Process.Pid) // a zombie
	must(t, err)
	within(t, "news of the zombie", late)
	stop()
}

func TestWatchPidStopLeavesNothing(t *testing.T) {
	_, first, stop := watched(t) // and makes the netpoller, which stays
	stop()
	if isClosed(first) {
		t.Fatal("stopped counts as exited")
	}
	until(t, "the first to end", func() bool { return watchers() == 0 })
	fds := descriptors(t)
	var stops []func()
	for range 50 {
		_, stop, err := sys.WatchPid(os.Getpid())
		must(t, err)
		t.Cleanup(stop)
		stops = append(stops, stop)
	}
	// Processes that earlier tests started have descriptors of their own, which
	// the garbage collector may close meanwhile.
	if w, d := watchers(), descriptors(t)-fds; w != 50 || d > 50 || d < 40 {
		t.Fatalf("50 watches cost %d goroutines, %d descriptors", w, d)
	}
	var wg sync.WaitGroup
	for _, stop := range stops {
		wg.Go(stop)
		wg.Go(stop) // both return when it is done
	}
	wg.Wait()
	if n := descriptors(t); n > fds {
		t.Errorf("%d descriptors before, %d after", fds, n)
	}
	until(t, "the goroutines to end", func() bool { return watchers() == 0 })
}

// watchers counts the goroutines that WatchPid has started.
func watchers() int {
	stacks := make([]byte, 1<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	return bytes.Count(stacks, []byte("created by github.com/sluice-ipc/sluice/internal/sys.WatchPid"))
}

func TestWatchPidReleasesAtDeathWithoutStop(t *testing.T) {
	c, exited, _ := watched(t)
	fds := descriptors(t)
	must(t, c.Process.Kill())
	within(t, "news of the death", exited)
	until(t, "the descriptor to close", func() bool { return descriptors(t) < fds })
}

func TestWatchPidNeedsNoThread(t *testing.T) {
	_, _, stop := watched(t)
	stop()
	const n = 200
	before := sys.Threads()
	for range n {
		_, stop, err := sys.WatchPid(os.Getpid())
		must(t, err)
		defer stop()
	}
	for range 100 {
		runtime.Gosched()
	}
	if now := sys.Threads(); now > before+n/4 {
		t.Fatalf("%d threads, %d with %d watches", before, now, n)
	}
}

func TestWatchPidStopRacesWithDeath(t *testing.T) {
	for range 5 {
		c, exited, stop := watched(t)
		go c.Process.Kill()
		stop()
		if isClosed(exited) { // then it must be true
			var ws syscall.WaitStatus
			pid, err := syscall.Wait4(c.Process.Pid, &ws, syscall.WNOHANG, nil)
			if pid != c.Process.Pid || err != nil {
				t.Fatalf("closed, and the process lives: %d, %v", pid, err)
			}
		}
	}
}

func TestPidfdErrors(t *testing.T) {
	fd, err := sys.PidfdOpen(os.Getpid())
	needPidfd(t, err)
	closing(t, fd, err)
	for _, tt := range []struct {
		pid  int
		want error
	}{
		{1<<22 + 1, syscall.ESRCH}, {0, syscall.EINVAL}, {-1, syscall.EINVAL},
	} {
		if _, err := sys.PidfdOpen(tt.pid); !errors.Is(err, tt.want) {
			t.Errorf("%d: got %v, want %v", tt.pid, err, tt.want)
		}
		if _, _, err := sys.WatchPid(tt.pid); !errors.Is(err, tt.want) {
			t.Errorf("watch %d: got %v, want %v", tt.pid, err, tt.want)
		}
	}
}

func TestDisablePidfd(t *testing.T) {
	sys.DisablePidfd(true)
	defer sys.DisablePidfd(false)
	if fd, err := sys.PidfdOpen(os.Getpid()); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("open: %d, %v", fd, err)
	}
	if _, _, err := sys.WatchPid(os.Getpid()); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("watch: %v", err)
	}
	sys.DisablePidfd(false)
	fd, err := sys.PidfdOpen(os.Getpid())
	needPidfd(t, err)
	closing(t, fd, err)
	wantCloexec(t, fd)
}
