package shmtest_test

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/sluice-ipc/sluice/internal/shmtest"
)

func TestStopHoldsTheChildUntilCont(t *testing.T) {
	shmtest.NoLeaks(t)
	c := shmtest.Start(t, "echo", "ready")
	c.Expect("ready")
	c.Stop()
	c.Send("a line")
	c.Cont()
	c.Expect("a line")
	c.Stop()
	c.Kill() // a stopped child dies as well
}

func TestKilledChildHoldsNothing(t *testing.T) {
	c := shmtest.Command(t, "echo", "ready")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	c.Cmd.ExtraFiles = []*os.File{w}
	c.Start()
	w.Close()
	c.Expect("ready")
	c.Kill()
	// The child's was the last writing end, so there is no need to wait.
	if err := syscall.SetNonblock(int(r.Fd()), true); err != nil {
		t.Fatal(err)
	}
	n, err := syscall.Read(int(r.Fd()), make([]byte, 1))
	if n != 0 || err != nil {
		t.Errorf("read %d, %v: want the end of the pipe", n, err)
	}
}

func TestNoLeaksBites(t *testing.T) {
	quick(t)
	release := make(chan bool)
	defer close(release)
	prefix := fmt.Sprintf("sluice-shmtest-%d-", os.Getpid())
	file := "/dev/shm/" + prefix + "leak"
	defer os.Remove(file)
	var closers []func()
	for _, tt := range []struct {
		name string
		leak func(t testing.TB)
		want string
	}{
		{"goroutine", func(testing.TB) { go func() { <-release }() },
			"goroutines left behind"},
		{"descriptor", func(t testing.TB) {
			f, err := os.Open("/dev/null")
			if err != nil {
				t.Fatal(err)
			}
			closers = append(closers, func() { f.Close() })
		}, "/dev/null"},
		{"mapping", func(testing.TB) {
			b, err := syscall.Mmap(-1, 0, 4096, syscall.PROT_READ,
				syscall.MAP_SHARED|syscall.MAP_ANON)
			if err != nil {
				t.Fatal(err)
			}
			closers = append(closers, func() { syscall.Munmap(b) })
		}, "mappings left behind"},
		{"file", func(testing.TB) {
			if err := os.WriteFile(file, nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}, file},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fails(t, func(t testing.TB) {
				shmtest.NoLeaks(t, prefix)
				tt.leak(t)
			}, tt.want)
		})
	}
	for _, c := range closers {
		c()
	}
}

func TestThreadsCountsThisProcess(t *testing.T) {
	if n := shmtest.Threads(); n < 1 || n > 10_000 {
		t.Errorf("%d threads", n)
	}
	for _, fd := range shmtest.FDs() {
		if strings.HasPrefix(fd, "2 ") {
			return
		}
	}
	t.Errorf("no standard error in %q", shmtest.FDs())
}
