package shmtest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// A Child is a process of the test binary in a role. It is killed and reaped at
// the latest when its test ends. Its methods fail the test rather than return
// errors, and are called from the test's goroutine.
type Child struct {
	// Cmd may be given more files and environment before Start, as by
	// shm.Pass. Its standard streams are taken.
	Cmd *exec.Cmd
	// Launch starts Cmd. The default is Cmd.Start; shm.Start is another.
	Launch func(*exec.Cmd) error

	t      testing.TB
	role   string
	stdin  *os.File // our end of the child's standard input
	stdout *os.File
	lines  *bufio.Reader // over stdout
	stderr *os.File      // a file, so that no goroutine has to read it
	heard  []string      // the lines so far, for the dump

	started  bool
	reaped   bool
	timedOut atomic.Bool
	panicky  *time.Timer // kills the child before the test binary panics
}

// Start starts a child in a role of the calling package.
func Start(t testing.TB, role string, args ...string) *Child {
	t.Helper()
	c := Command(t, role, args...)
	c.Start()
	return c
}

// Command prepares a child that Start then starts.
//
// The flag in front of the arguments keeps a test binary whose TestMain does not
// call Main from running all its tests in the child, and so on for ever.
func Command(t testing.TB, role string, args ...string) *Child {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatalf("shmtest: %v", err)
	}
	argv := append(strings.Fields(os.Getenv(wrapperEnv)),
		exe, "-test.run=^$", "--")
	argv = append(argv, args...)
	c := &Child{t: t, role: role, Cmd: exec.Command(argv[0], argv[1:]...)}
	c.Cmd.Env = append(os.Environ(), roleEnv+"="+role)
	c.Launch = (*exec.Cmd).Start
	return c
}

// Start starts the child.
func (c *Child) Start() {
	c.t.Helper()
	if err := c.streams(); err != nil {
		c.t.Fatalf("shmtest: start %s: %v", c.role, err)
	}
	c.t.Cleanup(c.cleanup)
	err := c.Launch(c.Cmd)
	c.Cmd.Stdin.(io.Closer).Close()
	c.Cmd.Stdout.(io.Closer).Close()
	if err != nil {
		c.t.Fatalf("shmtest: start %s: %v", c.role, err)
	}
	c.started = true
	if at, ok := deadlineOf(c.t); ok {
		c.panicky = time.AfterFunc(time.Until(at)-time.Second, func() {
			fmt.Fprintf(os.Stderr, "out of time: %s", c.dump())
			c.Cmd.Process.Kill()
		})
	}
}

// streams opens what parent and child talk through.
func (c *Child) streams() error {
	in, ours, err := os.Pipe()
	if err != nil {
		return err
	}
	c.Cmd.Stdin, c.stdin = in, ours
	stdout, out, err := os.Pipe()
	if err != nil {
		return err
	}
	c.stdout, c.Cmd.Stdout = stdout, out
	c.lines = bufio.NewReader(stdout)
	if c.stderr, err = os.CreateTemp("", "sluice-child-"); err != nil {
		return err
	}
	c.Cmd.Stderr = c.stderr
	return nil
}

// Pid returns the child's process id.
func (c *Child) Pid() int { return c.Cmd.Process.Pid }

// Send sends a line, which the child gets from Hear.
func (c *Child) Send(format string, args ...any) {
	c.t.Helper()
	line := fmt.Sprintf(format, args...)
	if _, err := fmt.Fprintln(c.stdin, line); err != nil {
		c.t.Fatalf("shmtest: send %q: %v\n%s", line, err, c.dump())
	}
}

// Hang says that no more lines will be sent: Hear returns false.
func (c *Child) Hang() { c.stdin.Close() }

// Line waits for the next line that the child says. A child that says nothing
// for the length of Watchdog, or that ends, fails the test.
func (c *Child) Line() string {
	c.t.Helper()
	line, ok := c.Next()
	if !ok {
		c.t.Fatalf("shmtest: no line, the child has ended\n%s", c.dump())
	}
	return line
}

// Next is like Line and returns false when the child has ended.
func (c *Child) Next() (line string, ok bool) {
	c.t.Helper()
	c.stdout.SetReadDeadline(time.Now().Add(Watchdog()))
	line, err := c.lines.ReadString('\n')
	line = strings.TrimSuffix(line, "\n")
	if line != "" {
		c.heard = append(c.heard, line)
	}
	if err != nil && err != io.EOF {
		c.t.Fatalf("shmtest: no line: %v\n%s", err, c.dump())
	}
	return line, err == nil
}

// Expect waits for a line and fails the test when it is another one.
func (c *Child) Expect(want string) {
	c.t.Helper()
	if got := c.Line(); got != want {
		c.t.Fatalf("shmtest: the child says %q, want %q\n%s", got, want, c.dump())
	}
}

// Wait waits for the child's end and returns its exit code, -1 when a signal
// ended it.
func (c *Child) Wait() int {
	c.t.Helper()
	c.wait()
	if c.timedOut.Load() {
		c.t.Fatalf("shmtest: the child does not end\n%s", c.dump())
	}
	return c.Cmd.ProcessState.ExitCode()
}

// wait reaps the child, and kills it when Watchdog is over.
func (c *Child) wait() {
	dog := time.AfterFunc(Watchdog(), func() {
		c.timedOut.Store(true)
		c.quit()
	})
	c.Cmd.Wait()
	dog.Stop()
	c.reaped = true
}

// Exit closes the child's input and waits for it to end with code 0.
func (c *Child) Exit() {
	c.t.Helper()
	c.Hang()
	if code := c.Wait(); code != 0 {
		c.t.Fatalf("shmtest: the child ends with %d\n%s", code, c.dump())
	}
}

// Kill ends the child with SIGKILL and waits until it is gone: no thread of it
// runs any more, its descriptors are closed and its locks are free. A child that
// had ended by itself fails the test, for then nothing was killed.
func (c *Child) Kill() {
	c.t.Helper()
	err := c.Cmd.Process.Kill()
	if err != nil && !errors.Is(err, os.ErrProcessDone) {
		c.t.Fatalf("shmtest: kill: %v", err)
	}
	c.wait()
	if !killed(c.Cmd.ProcessState) {
		c.t.Fatalf("shmtest: the child ended before it was killed: %v\n%s",
			c.Cmd.ProcessState, c.dump())
	}
}

// quit ends the child by a signal at which it says where its goroutines are. A
// stopped child does not hear it and is killed.
func (c *Child) quit() {
	c.Cmd.Process.Signal(syscall.SIGQUIT)
	time.AfterFunc(quitGrace(), func() { c.Cmd.Process.Kill() })
}

// quitGrace is how long a child has to say where its goroutines are. That is not
// less for a test that wants its watchdog to bite early.
func quitGrace() time.Duration { return time.Duration(max(1, scale()) * float64(2*time.Second)) }

// cleanup ends what is left of the child and says what it said if the test
// failed.
func (c *Child) cleanup() {
	if c.panicky != nil {
		c.panicky.Stop()
	}
	if c.started && !c.reaped {
		if c.t.Failed() { // perhaps because it hangs
			c.quit()
		} else {
			c.Cmd.Process.Kill()
		}
		c.wait()
	}
	if c.t.Failed() {
		c.t.Log(c.dump())
	}
	c.stdin.Close()
	c.stdout.Close()
	c.stderr.Close()
	os.Remove(c.stderr.Name())
}

// dump returns what is known of the child.
func (c *Child) dump() string {
	errs := make([]byte, 64<<10)
	n, _ := c.stderr.ReadAt(errs, 0)
	state := "running"
	if !c.started {
		state = "not started"
	} else if c.Cmd.ProcessState != nil {
		state = c.Cmd.ProcessState.String()
	} else if c.reaped {
		state = "gone"
	}
	return fmt.Sprintf("child %q: %s\nit said: %q\nits standard error:\n%s",
		c.role, state, c.heard, errs[:n])
}
