//go:build linux

package proc_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/sluice-ipc/sluice/conn"
	"github.com/sluice-ipc/sluice/internal/race"
	"github.com/sluice-ipc/sluice/internal/shmtest"
	"github.com/sluice-ipc/sluice/ring"
	"github.com/sluice-ipc/sluice/shm"
	"github.com/sluice-ipc/sluice/shm/proc"
)

func init() {
	proc.Register("family", family)
	proc.Register("pass on", passOn)
	proc.Register("answer", answer)
	roles["parent"] = parent
}

// family tells its pid, starts a family of its own that is one smaller, and stays
// for ever.
func family(s *shm.Segment, pids *ring.Queue[int], size int) error {
	if err := pids.Put(bg, os.Getpid()); err != nil {
		return err
	}
	if size > 1 {
		if err := newProcess("family", s, pids, size-1).Start(); err != nil {
			return err
		}
	}
	select {}
}

// answer adds one to all that it gets.
func answer(s *shm.Segment, in, out *ring.Queue[int]) error {
	for v, err := range in.All(bg) {
		if err := errors.Join(err, out.Put(bg, v+1)); err != nil {
			return err
		}
	}
	return nil
}

// parent starts children as its arguments say: a family, and before it one that
// is detached. Then it does what it is told.
func parent(args []string) int {
	s, _, err1 := shm.Inherited("segment", nil)
	pids, err2 := ring.InheritedQueue[int]("pids", nil)
	err := errors.Join(err1, err2)
	if len(args) > 1 && err == nil {
		in, err1 := ring.InheritedQueue[int]("in", nil)
		out, err2 := ring.InheritedQueue[int]("out", nil)
		p := newProcess("answer", s, in, out)
		p.Detached = true
		err = errors.Join(err1, err2, p.Start())
	}
	if err == nil {
		err = newProcess("family", s, pids, len(args[0])).Start()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	shmtest.Say("ready")
	switch line, _ := shmtest.Hear(); line {
	case "panic":
		go panic("of the parent")
		select {}
	case "exec":
		err = syscall.Exec("/bin/sleep", []string{"sleep", "1000000"}, nil)
	}
	return 0
}

// gathering starts a parent with a family of that many, and waits until all are
// in the segment.
func gathering(t *testing.T, size int, more ...string) (c *shmtest.Child, s *shm.Segment, pids []int) {
	t.Helper()
	s = segment(t, shm.Options{})
	q := closing(t)(ring.AnonymousQueue[int]("pids", nil)).(*ring.Queue[int])
	c = shmtest.Command(t, "parent", append([]string{strings.Repeat("x", size)}, more...)...)
	c.Launch = shm.Start
	if err := errors.Join(shm.Pass(c.Cmd, "segment", s), shm.Pass(c.Cmd, "pids", q)); err != nil {
		t.Fatal(err)
	}
	if len(more) == 0 {
		begin(t, c, s, q, size, &pids)
	}
	return c, s, pids
}

func begin(t *testing.T, c *shmtest.Child, s *shm.Segment, q *ring.Queue[int], size int, pids *[]int) {
	t.Helper()
	c.Start()
	c.Expect("ready")
	for range size {
		pid, err := q.Get(bg)
		if err != nil {
			t.Fatal(err)
		}
		*pids = append(*pids, pid)
	}
	if n := present(s); n != 2+size {
		t.Fatalf("%d are there", n)
	}
}

// present counts the participants that live.
func present(s *shm.Segment) (n int) {
	for _, p := range s.Participants() {
		if !s.Gone(p.ID) {
			n++
		}
	}
	return n
}

// Children end with their parent, theirs with them, whatever it dies of.
func TestChildrenDieWithTheirParent(t *testing.T) {
	for _, how := range []string{"kill", "panic", "exit", "exec"} {
		t.Run(how, func(t *testing.T) {
			shmtest.NoLeaks(t)
			c, s, _ := gathering(t, 3)
			switch how {
			case "kill":
				c.Kill()
			default:
				c.Send("%s", how)
			}
			// After exec the parent's own participant is gone as well.
			shmtest.Eventually(t, func() bool { return present(s) == 1 }, "the family dies")
		})
	}
}

// A child that dies takes its own children with it, and nobody else.
func TestKilledChildTakesItsChildren(t *testing.T) {
	shmtest.NoLeaks(t)
	c, s, pids := gathering(t, 3)
	if err := syscall.Kill(pids[1], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	shmtest.Eventually(t, func() bool { return present(s) == 3 }, "two of the family die")
	if err := syscall.Kill(pids[0], 0); err != nil {
		t.Errorf("the first child: %v", err)
	}
	c.Kill()
	shmtest.Eventually(t, func() bool { return present(s) == 1 }, "the family dies")
}

// A child that is stopped when its parent dies ends when it is continued.
func TestStoppedChildDiesWhenContinued(t *testing.T) {
	shmtest.NoLeaks(t)
	c, s, pids := gathering(t, 1)
	stop(t, pids[0])
	c.Kill()
	shmtest.Eventually(t, func() bool { return present(s) == 2 }, "the parent dies")
	if state := stateOf(pids[0]); state != "T" {
		t.Errorf("the child is %q", state)
	}
	if err := syscall.Kill(pids[0], syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	shmtest.Eventually(t, func() bool { return present(s) == 1 }, "the child dies")
}

func stop(t *testing.T, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	shmtest.Eventually(t, func() bool { return stateOf(pid) == "T" }, "%d stops", pid)
}

// stateOf is the state of a process as /proc has it: T for stopped, Z for a
// zombie, "" for none.
func stateOf(pid int) string {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if f := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:])); len(f) > 1 {
		return f[0]
	}
	return ""
}

// A detached child lives on. The family, which dies at the same time, shows that
// it had the occasion to die.
func TestDetachedChildLives(t *testing.T) {
	shmtest.NoLeaks(t)
	for range rounds(10) {
		c, s, _ := gathering(t, 2, "detached")
		in := closing(t)(ring.AnonymousQueue[int]("in", nil)).(*ring.Queue[int])
		out := closing(t)(ring.AnonymousQueue[int]("out", nil)).(*ring.Queue[int])
		if err := errors.Join(shm.Pass(c.Cmd, "in", in), shm.Pass(c.Cmd, "out", out)); err != nil {
			t.Fatal(err)
		}
		c.Start()
		c.Expect("ready")
		ask := func(n int) {
			t.Helper()
			ctx, cancel := context.WithTimeout(bg, shmtest.Watchdog())
			defer cancel()
			if err := in.Put(ctx, n); err != nil {
				t.Fatal(err)
			}
			if v, err := out.Get(ctx); v != n+1 || err != nil {
				t.Fatalf("%d, %v", v, err)
			}
		}
		ask(1)
		shmtest.Eventually(t, func() bool { return present(s) == 5 }, "all are there")
		c.Kill()
		shmtest.Eventually(t, func() bool { return present(s) == 2 }, "the family dies")
		for n := range 100 {
			ask(n)
		}
		if err := in.CloseSend(); err != nil {
			t.Fatal(err)
		}
		shmtest.Eventually(t, func() bool { return present(s) == 1 }, "it ends")
	}
}

// rounds is n, or less of them with -short, or where to start a process takes long.
func rounds(n int) int {
	if testing.Short() || os.Getenv("SLUICE_EMULATED") != "" {
		return max(1, n/10)
	}
	if race.Enabled {
		return max(1, n/20)
	}
	return n
}

// passOn starts a child with what it was given, as deep as said.
func passOn(ctx context.Context, c *conn.Conn, q *ring.Queue[int], depth int) error {
	if depth == 0 {
		return errors.Join(c.Send(bg, os.Getpid()), q.Put(bg, os.Getppid()))
	}
	p := newProcess("pass on", c, q, depth-1)
	if err := p.Start(); err != nil {
		return err
	}
	if err := c.Send(bg, 1); !errors.Is(err, conn.ErrMoved) {
		return fmt.Errorf("what was passed on can be used: %v", err)
	}
	if err := q.Put(bg, p.Pid()); err != nil {
		return err
	}
	return p.Wait(ctx)
}

func TestChildrenOfChildren(t *testing.T) {
	shmtest.NoLeaks(t)
	q := closing(t)(ring.AnonymousQueue[int](t.Name(), nil)).(*ring.Queue[int])
	ours, theirs := pipe(t)
	p := start(t, "pass on", theirs, q, 3)
	pid := hear(t, ours)
	well(t, p)
	var told []int
	for range 4 {
		v, err := q.Get(bg)
		if err != nil {
			t.Fatal(err)
		}
		told = append(told, v)
	}
	if !sees(told, pid) || q.Len() != 0 {
		t.Errorf("%d is not in %d", pid, told)
	}
	if ours.Peer().State != ring.PeerClosed {
		t.Errorf("the last one %v", ours.Peer().State)
	}
}

func sees(list []int, n int) bool {
	for _, v := range list {
		if v == n {
			return true
		}
	}
	return false
}

// What a grandchild dies of arrives by way of its parent's error.
func TestErrorOfAGrandchild(t *testing.T) {
	shmtest.NoLeaks(t)
	e := badly(t, start(t, "start", "fail", "deep down"))
	if !strings.HasPrefix(e.Err, "proc: fail (process ") || !strings.HasSuffix(e.Err, "): deep down") {
		t.Errorf("%v", e)
	}
}

func init() {
	proc.Register("start", func(ctx context.Context, name, text string) error {
		p := newProcess(name, text)
		if err := p.Start(); err != nil {
			return err
		}
		return p.Wait(ctx)
	})
}
