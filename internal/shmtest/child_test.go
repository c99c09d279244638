package shmtest_test

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/sluice-ipc/sluice/internal/shmtest"
)

// A failing test is a testing.TB whose failure is what the test wants.
type failing struct {
	testing.TB
	failed   bool
	said     strings.Builder
	cleanups []func()
}

func (f *failing) Helper()          {}
func (f *failing) Failed() bool     { return f.failed }
func (f *failing) Log(a ...any)     { fmt.Fprintln(&f.said, a...) }
func (f *failing) Cleanup(c func()) { f.cleanups = append(f.cleanups, c) }

func (f *failing) Errorf(format string, a ...any) {
	f.failed = true
	fmt.Fprintf(&f.said, format+"\n", a...)
}

func (f *failing) Fatalf(format string, a ...any) {
	f.Errorf(format, a...)
	runtime.Goexit()
}

func (f *failing) Fatal(a ...any) { f.Fatalf("%s", fmt.Sprint(a...)) }

// fails runs body, and its cleanups, and wants it to fail and to say all of
// want.
func fails(t *testing.T, body func(t testing.TB), want ...string) {
	t.Helper()
	f := &failing{TB: t}
	done := make(chan bool)
	run := func(body func()) {
		go func() {
			defer func() { done <- true }()
			body()
		}()
		<-done
	}
	run(func() { body(f) })
	for len(f.cleanups) > 0 {
		last := len(f.cleanups) - 1
		c := f.cleanups[last]
		f.cleanups = f.cleanups[:last]
		run(c)
	}
	for _, w := range want {
		if !strings.Contains(f.said.String(), w) {
			t.Errorf("the failure does not say %q:\n%s", w, f.said.String())
		}
	}
	if !f.failed {
		t.Error("it passes")
	}
}

// quick makes the watchdog bite at once: for tests of what it does.
func quick(t *testing.T) { t.Setenv("SLUICE_TEST_SCALE", "0.002") }

func TestChildTalksInLines(t *testing.T) {
	shmtest.NoLeaks(t)
	c := shmtest.Start(t, "echo", "first argument", "-test.v", "--")
	c.Expect("first argument")
	c.Expect("-test.v")
	c.Expect("--")
	c.Send("a line")
	c.Expect("a line")
	c.Hang()
	if line, ok := c.Next(); ok {
		t.Errorf("%q after the end", line)
	}
	c.Exit()
}

func TestChildIsLaunchedByLaunch(t *testing.T) {
	c := shmtest.Command(t, "echo")
	c.Cmd.Env = append(c.Cmd.Env, "MARK=set")
	launched := false
	c.Launch = func(cmd *exec.Cmd) error {
		launched = true
		return cmd.Start()
	}
	c.Start()
	c.Exit()
	if !launched {
		t.Error("the child started otherwise")
	}
}

func TestExitCodeOfChild(t *testing.T) {
	if code := shmtest.Start(t, "fail").Wait(); code != 7 {
		t.Errorf("exit code %d, want 7", code)
	}
}

// Each of these goes wrong on purpose, and the harness has to notice.
func TestChildFailures(t *testing.T) {
	shmtest.NoLeaks(t)
	t.Run("another line", func(t *testing.T) {
		fails(t, func(t testing.TB) {
			shmtest.Start(t, "echo", "this").Expect("that")
		}, `"this"`, `"that"`)
	})
	t.Run("no more lines", func(t *testing.T) {
		fails(t, func(t testing.TB) {
			shmtest.Start(t, "fail").Line()
		}, "ended")
	})
	t.Run("silence", func(t *testing.T) {
		fails(t, func(tb testing.TB) {
			c := shmtest.Start(tb, "echo", "ready")
			c.Expect("ready")
			quick(t)
			c.Line()
		}, "timeout", "goroutine 1") // the child says where it is
	})
	t.Run("no end", func(t *testing.T) {
		fails(t, func(tb testing.TB) {
			c := shmtest.Start(tb, "echo", "ready")
			c.Expect("ready")
			quick(t)
			c.Wait()
		}, "does not end", "goroutine 1")
	})
	t.Run("exit code", func(t *testing.T) {
		fails(t, func(t testing.TB) { shmtest.Start(t, "fail").Exit() }, "with 7")
	})
	t.Run("unknown role", func(t *testing.T) {
		fails(t, func(t testing.TB) {
			shmtest.Start(t, "nobody").Exit()
		}, `no role "nobody"`)
	})
	t.Run("killed too late", func(t *testing.T) {
		fails(t, func(t testing.TB) {
			c := shmtest.Start(t, "fail")
			c.Next() // false: it has closed its output, and is about to end
			for c.Cmd.Process.Signal(os.Interrupt) == nil {
				runtime.Gosched()
				if c.Wait() == 7 {
					break
				}
			}
			c.Kill()
		}, "before it was killed")
	})
	t.Run("launch", func(t *testing.T) {
		fails(t, func(t testing.TB) {
			c := shmtest.Command(t, "echo")
			c.Launch = func(*exec.Cmd) error { return os.ErrPermission }
			c.Start()
		}, os.ErrPermission.Error())
	})
}

func TestEventuallyWaits(t *testing.T) {
	ready := make(chan bool)
	time.AfterFunc(5*time.Millisecond, func() { close(ready) })
	looks := 0
	shmtest.Eventually(t, func() bool {
		looks++
		select {
		case <-ready:
			return true
		default:
			return false
		}
	})
	if looks < 2 {
		t.Errorf("it looked %d times", looks)
	}
}

func TestEventuallyGivesUp(t *testing.T) {
	quick(t)
	fails(t, func(t testing.TB) {
		shmtest.Eventually(t, func() bool { return false }, "%d is %d", 1, 2)
	}, "1 is 2", "goroutine ")
}
