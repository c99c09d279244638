//go:build linux

package proc_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/sluice-ipc/sluice/conn"
	"github.com/sluice-ipc/sluice/internal/shmtest"
	"github.com/sluice-ipc/sluice/shm"
	"github.com/sluice-ipc/sluice/shm/proc"
)

// roles are what children do that are started otherwise than by this package;
// files add theirs.
var roles = map[string]shmtest.Role{}

func TestMain(m *testing.M) {
	if os.Getenv(noMainEnv) != "" {
		withoutMain()
	}
	proc.Main()
	shmtest.Main(m, roles)
}

var bg = context.Background()

// done is a context that has ended.
var done = func() context.Context {
	ctx, cancel := context.WithCancel(bg)
	cancel()
	return ctx
}()

// Functions that many tests use.
func init() {
	proc.Register("nothing", func() {})
	proc.Register("fail", func(text string) error { return errors.New(text) })
	proc.Register("hold", hold)
	proc.Register("hold without context", func(c *conn.Conn) error { return hold(bg, c) })
}

// hold says that it runs, and stays until its context or its connection ends.
func hold(ctx context.Context, c *conn.Conn) error {
	if err := c.Send(bg, os.Getpid()); err != nil {
		return err
	}
	_, err := c.Recv(ctx)
	switch {
	case err == io.EOF:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("cancelled: %w", context.Cause(ctx))
	}
	return err
}

// newProcess is New for a program that may need an emulator to run, as the test
// binary may. It is for children too.
func newProcess(name string, args ...any) *proc.Process {
	p := proc.New(name, args...)
	if wrapper := strings.Fields(os.Getenv("SLUICE_TEST_EXEC")); len(wrapper) > 0 {
		p.Cmd.Args = append(wrapper, p.Cmd.Args...)
		p.Cmd.Path = wrapper[0]
	}
	return p
}

// start starts a child, which ends at the latest when its test does.
func start(t testing.TB, name string, args ...any) *proc.Process {
	t.Helper()
	p := newProcess(name, args...)
	launch(t, p)
	return p
}

func launch(t testing.TB, p *proc.Process) {
	t.Helper()
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Kill()
		<-p.Done()
	})
}

// quiet is start for a child whose complaints on its standard error are wanted.
func quiet(t testing.TB, name string, args ...any) *proc.Process {
	t.Helper()
	p := newProcess(name, args...)
	p.Cmd.Stderr = nil
	launch(t, p)
	return p
}

// end waits for the end of a child.
func end(t testing.TB, p *proc.Process) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(bg, shmtest.Watchdog())
	defer cancel()
	err := p.Wait(ctx)
	if ctx.Err() != nil {
		t.Fatalf("%v does not end", p)
	}
	return err
}

// well waits for the end of a child, which has to be a good one.
func well(t testing.TB, p *proc.Process) {
	t.Helper()
	if err := end(t, p); err != nil || p.ExitCode() != 0 {
		t.Fatalf("%v: %v, code %d", p, err, p.ExitCode())
	}
}

// badly waits for the end of a child, which has to be a bad one.
func badly(t testing.TB, p *proc.Process) *proc.ExitError {
	t.Helper()
	err := end(t, p)
	e, ok := errors.AsType[*proc.ExitError](err)
	if !ok {
		t.Fatalf("%v: %v", p, err)
	}
	if e.Func != p.Name() || e.Pid != p.Pid() || e.Pid == 0 || e.Code != p.ExitCode() {
		t.Errorf("%+v of %v, code %d", e, p, p.ExitCode())
	}
	return e
}

// holding starts a child that holds one end of a pipe, waits until its function
// runs, and returns the other end.
func holding(t testing.TB, name string) (*proc.Process, *conn.Conn) {
	t.Helper()
	ours, theirs := pipe(t)
	p := start(t, name, theirs)
	hear(t, ours)
	return p, ours
}

func pipe(t testing.TB) (ours, theirs *conn.Conn) {
	t.Helper()
	ours, theirs, err := conn.Pipe(nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ours.Close(); theirs.Close() })
	return ours, theirs
}

// hear receives the number that a child says first.
func hear(t testing.TB, c *conn.Conn) int {
	t.Helper()
	ctx, cancel := context.WithTimeout(bg, shmtest.Watchdog())
	defer cancel()
	var n int
	if err := c.RecvTo(ctx, &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// segment returns a segment without a name, of one page.
func segment(t testing.TB, o shm.Options) *shm.Segment {
	t.Helper()
	o.Size = 4096
	s := closing(t)(shm.Anonymous(t.Name(), &o))
	return s.(*shm.Segment)
}

// closing returns what hands out a handle that is closed when the test ends.
func closing(t testing.TB) func(h io.Closer, err error) io.Closer {
	return func(h io.Closer, err error) io.Closer {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := h.Close(); err != nil {
				t.Error(err)
			}
		})
		return h
	}
}
