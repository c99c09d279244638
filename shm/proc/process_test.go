//go:build linux

package proc_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-ipc/sluice/conn"
	"github.com/sluice-ipc/sluice/internal/shmtest"
	"github.com/sluice-ipc/sluice/shm/proc"
)

func init() {
	proc.Register("upper", func() error {
		b, err := io.ReadAll(os.Stdin)
		fmt.Print(strings.ToUpper(string(b)))
		fmt.Fprint(os.Stderr, len(b), " bytes")
		return err
	})
	proc.Register("environment", func() {
		fmt.Printf("%q %q %d\n", os.Environ(), os.Args[1:], len(os.Args))
	})
}

func TestInputAndOutput(t *testing.T) {
	shmtest.NoLeaks(t)
	p := newProcess("upper")
	var out, complaints bytes.Buffer
	p.Cmd.Stdin, p.Cmd.Stdout, p.Cmd.Stderr = strings.NewReader("hello"), &out, &complaints
	launch(t, p)
	well(t, p)
	if out.String() != "HELLO" || complaints.String() != "5 bytes" {
		t.Errorf("%q, %q", out.String(), complaints.String())
	}
	// By default there is no input, and the output is ours.
	p = newProcess("upper")
	if p.Cmd.Stdout != os.Stdout || p.Cmd.Stderr != os.Stderr || p.Cmd.Stdin != nil {
		t.Errorf("%v", p.Cmd)
	}
	p.Cmd.Stderr = nil
	launch(t, p)
	well(t, p)
}

// A function that ended well, and whose output was lost, is not all well.
func TestLostOutput(t *testing.T) {
	shmtest.NoLeaks(t)
	p := newProcess("upper")
	p.Cmd.Stdin, p.Cmd.Stdout, p.Cmd.Stderr = strings.NewReader("hello"), noWriter{}, nil
	launch(t, p)
	if err := end(t, p); !errors.Is(err, errNoWriter) || p.ExitCode() != 0 {
		t.Errorf("%v, code %d", err, p.ExitCode())
	}
}

var errNoWriter = errors.New("no room")

type noWriter struct{}

func (noWriter) Write([]byte) (int, error) { return 0, errNoWriter }

// The child sees the environment that Cmd has, and nothing of ours besides.
func TestEnvironment(t *testing.T) {
	shmtest.NoLeaks(t)
	dir := t.TempDir()
	for _, c := range []struct {
		env, args []string
		dir, want string
	}{
		{env: []string{"A=1", "B=2"}, want: `["A=1" "B=2"] [] 1`},
		{env: []string{}, want: `[] [] 1`},
		{env: []string{"A=1"}, dir: dir, want: `["A=1"] [] 1`},
		{env: []string{}, args: []string{"-flag", "x"}, want: `[] ["-flag" "x"] 3`},
	} {
		p := newProcess("environment")
		var out strings.Builder
		p.Cmd.Env, p.Cmd.Dir, p.Cmd.Stdout = c.env, c.dir, &out
		if os.Getenv("SLUICE_EMULATED") != "" {
			p.Cmd.Env = append(p.Cmd.Env, "QEMU="+os.Getenv("QEMU")) // what runs it
			c.want = "QEMU"
		}
		p.Cmd.Args = append(p.Cmd.Args, c.args...)
		launch(t, p)
		well(t, p)
		if strings.TrimSpace(out.String()) != c.want && !(c.want == "QEMU" && !strings.Contains(out.String(), "SLUICE")) {
			t.Errorf("%s, want %s", out.String(), c.want)
		}
	}
	t.Setenv("PROC_TEST_MARK", "of the parent")
	p := newProcess("environment")
	var out strings.Builder
	p.Cmd.Stdout = &out
	launch(t, p)
	well(t, p)
	if s := out.String(); !strings.Contains(s, `"PROC_TEST_MARK=of the parent"`) || strings.Contains(s, "SLUICE_PROC") ||
		strings.Contains(s, "SLUICE_HANDLES") {
		t.Errorf("%s", s)
	}
}

// A child of the child, of whatever kind, gets none of its descriptors.
func TestDescriptorsStayInTheChild(t *testing.T) {
	shmtest.NoLeaks(t)
	ours, theirs := pipe(t)
	well(t, start(t, "descriptors", theirs, "data"))
	ours.Close()
}

func init() {
	proc.Register("descriptors", func(_ *conn.Conn, _ string) error {
		cmd := exec.Command("ls", "-l", "/proc/self/fd")
		cmd.Stdin, cmd.Stderr = nil, os.Stderr
		out, err := cmd.Output()
		// Of pipes there is the one of its output.
		if s := string(out); err != nil || strings.Contains(s, "memfd:") || strings.Count(s, " 3 -> ") == 0 ||
			strings.Contains(s, " 4 -> ") {
			return fmt.Errorf("a child of the child has: %s %v", s, err)
		}
		return nil
	})
}

func TestBeforeAndAfter(t *testing.T) {
	shmtest.NoLeaks(t)
	ours, theirs := pipe(t)
	p := newProcess("hold", theirs)
	if p.Alive() || p.Pid() != 0 || p.ExitCode() != -1 || p.Name() != "hold" || p.String() != "proc.Process(hold, not started)" {
		t.Errorf("%v", p)
	}
	for _, err := range []error{p.Kill(), p.Terminate(), p.Wait(bg)} {
		if !errors.Is(err, proc.ErrNotStarted) || err.Error() != "proc: not started: hold" {
			t.Errorf("before the start: %v", err)
		}
	}
	launch(t, p)
	if pid := hear(t, ours); pid != p.Pid() || !p.Alive() || p.ExitCode() != -1 ||
		p.String() != fmt.Sprintf("proc.Process(hold, process %d)", pid) {
		t.Errorf("%d, %v", pid, p)
	}
	select {
	case <-p.Done():
		t.Error("done")
	default:
	}
	if err := p.Start(); !errors.Is(err, proc.ErrStarted) || err.Error() != "proc: already started: hold" {
		t.Errorf("a second start: %v", err)
	}
	ours.Close() // the function returns
	<-p.Done()
	for range 2 {
		well(t, p)
	}
	if err := p.Wait(done); err != nil {
		t.Errorf("the end comes before the context's: %v", err)
	}
	for _, err := range []error{p.Kill(), p.Terminate(), p.Signal(syscall.SIGUSR1)} {
		if err != nil {
			t.Errorf("after the end: %v", err)
		}
	}
	if p.Alive() || p.Pid() == 0 || p.ExitCode() != 0 ||
		p.String() != fmt.Sprintf("proc.Process(hold, process %d, exit status 0)", p.Pid()) {
		t.Errorf("%v", p)
	}
	if err := p.Start(); !errors.Is(err, proc.ErrStarted) {
		t.Errorf("a start after the end: %v", err)
	}
}

func TestWaitWithAContext(t *testing.T) {
	shmtest.NoLeaks(t)
	p, ours := holding(t, "hold")
	if err := p.Wait(done); !errors.Is(err, context.Canceled) || err.Error() != "proc: wait for hold: context canceled" {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithTimeout(bg, time.Millisecond)
	defer cancel()
	if err := p.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	if !p.Alive() {
		t.Fatal("the child has ended")
	}
	ours.Close()
	well(t, p)
}

func TestWaitFromManyGoroutines(t *testing.T) {
	shmtest.NoLeaks(t)
	p, ours := holding(t, "hold")
	var g sync.WaitGroup
	errs := make([]error, 20)
	for i := range errs {
		g.Go(func() {
			errs[i] = p.Wait(bg)
			_, _, _, _ = p.Alive(), p.ExitCode(), p.Pid(), p.String()
		})
		if i == 10 {
			p.Kill()
		}
	}
	g.Wait()
	for _, err := range errs {
		if e, ok := errors.AsType[*proc.ExitError](err); !ok || e.Signal != syscall.SIGKILL {
			t.Errorf("%v", err)
		}
	}
	if v, err := ours.Recv(bg); err != io.EOF {
		t.Errorf("%v, %v", v, err)
	}
}

func TestTerminate(t *testing.T) {
	shmtest.NoLeaks(t)
	for _, c := range []struct {
		name string
		sig  syscall.Signal
		want string // the function's error
	}{
		{"hold", syscall.SIGTERM, "cancelled: terminated signal received"},
		{"hold", syscall.SIGINT, "cancelled: interrupt signal received"},
		{"hold without context", syscall.SIGTERM, ""},
		{"hold without context", syscall.SIGINT, ""},
	} {
		p, _ := holding(t, c.name)
		var err error
		if c.sig == syscall.SIGTERM {
			err = p.Terminate()
		} else {
			err = p.Signal(c.sig)
		}
		if err != nil {
			t.Error(err)
		}
		e := badly(t, p)
		if e.Err != c.want || (e.Signal == nil) != (c.want != "") || e.Signal != nil && e.Signal != c.sig {
			t.Errorf("%s, %v: %+v", c.name, c.sig, e)
		}
	}
	// Who is started with Ctrl-C ignored goes on ignoring it.
	ours, theirs := pipe(t)
	p := newProcess("hold", theirs)
	p.Cmd.Args = append([]string{"sh", "-c", `trap "" INT; exec "$0" "$@"`, p.Cmd.Path}, p.Cmd.Args[1:]...)
	p.Cmd.Path = "/bin/sh"
	launch(t, p)
	hear(t, ours)
	if err := errors.Join(p.Signal(syscall.SIGINT), p.Terminate()); err != nil {
		t.Error(err)
	}
	if e := badly(t, p); e.Err != "cancelled: terminated signal received" {
		t.Errorf("with SIGINT ignored: %+v", e)
	}
}

// A process can be waited for together with other things.
func TestWaitForAProcessAmongOthers(t *testing.T) {
	shmtest.NoLeaks(t)
	other, _ := pipe(t)
	ours, theirs := pipe(t)
	p := newProcess("hold", theirs)
	if ready, err := conn.TryWait(other, p); !errors.Is(err, proc.ErrNotStarted) {
		t.Errorf("before the start: %v, %v", ready, err)
	}
	if ok, err := p.Poll(done); ok || !errors.Is(err, proc.ErrNotStarted) {
		t.Errorf("before the start: %v, %v", ok, err)
	}
	launch(t, p)
	hear(t, ours)
	if ready, err := conn.TryWait(other, p); len(ready) > 0 || err != nil {
		t.Errorf("while it lives: %v, %v", ready, err)
	}
	ctx, cancel := context.WithTimeout(bg, time.Millisecond)
	defer cancel()
	if ok, err := p.Poll(ctx); ok || err != nil {
		t.Errorf("while it lives: %v, %v", ok, err)
	}
	if ok, err := p.Poll(done); ok || !errors.Is(err, context.Canceled) {
		t.Errorf("with a cancelled context: %v, %v", ok, err)
	}
	go p.Kill()
	if ready, err := conn.Wait(bg, other, p); len(ready) != 1 || ready[0] != conn.Waitable(p) || err != nil {
		t.Errorf("%v, %v", ready, err)
	}
	for _, ctx := range []context.Context{bg, done} {
		if ok, err := p.Poll(ctx); !ok || err != nil {
			t.Errorf("after the end: %v, %v", ok, err)
		}
	}
}
