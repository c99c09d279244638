//go:build linux && sluice_hooks

package lock_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/sluice-ipc/sluice/internal/hook"
	"github.com/sluice-ipc/sluice/internal/shmtest"
	"github.com/sluice-ipc/sluice/shm"
	"github.com/sluice-ipc/sluice/shm/lock"
)

func init() { roles["mutex-steps"] = mutexSteps }

// mutexSteps takes a lock that is free, one whose owner has died, and one that it
// waits for until it has asked for it. It says which steps that took.
func mutexSteps(args []string) int {
	m := bereft(args[0], true)
	if err := m.Lock(bg); err != nil { // unless somebody has come before
		is(err, lock.ErrOwnerDied)
	}
	check(m.MarkConsistent())
	check(m.Unlock())
	check(m.Lock(bg))
	check(m.Unlock())
	m.Segment().Data()[ready] = 1
	until(nil, func() bool { return m.Word().Load() != 0 })
	check(m.Lock(bg))
	check(m.Unlock())
	var steps []string
	for _, s := range hook.Steps() {
		steps = append(steps, fmt.Sprintf("%s:%d", s, hook.Count(s)))
	}
	shmtest.Say("%s", strings.Join(steps, " "))
	shmtest.Hear()
	return 0
}

// eachMutexStep runs body for every arrival at every step that mutexSteps comes
// by when nothing disturbs it, at most four for each step.
func eachMutexStep(t *testing.T, body func(t *testing.T, step string)) {
	m, file := newMutex(t)
	c := shmtest.Start(t, "mutex-steps", file)
	serveSteps(t, m, nil)
	steps, n := strings.Fields(c.Line()), 0
	for _, s := range steps {
		step, count, _ := strings.Cut(s, ":")
		if !strings.HasPrefix(step, "lock.") && !strings.HasPrefix(step, "wait.") {
			continue
		}
		times := 0
		fmt.Sscan(count, &times)
		for i := range min(times, 4) {
			n++
			at := fmt.Sprintf("%s:%d", step, i+1)
			t.Run(at, func(t *testing.T) { body(t, at) })
		}
	}
	t.Logf("%d steps", n)
	if n < 12 {
		t.Errorf("only %d steps: %v", n, steps)
	}
}

// serveSteps has the lock when the child of mutexSteps comes for it, until it
// has asked, or over says that it never will.
func serveSteps(t *testing.T, m *lock.Mutex, over func() bool) {
	t.Helper()
	if over == nil {
		over = func() bool { return false }
	}
	shmtest.Eventually(t, func() bool { return over() || m.Segment().Data()[ready] == 1 }, "the child is ready")
	if over() {
		return
	}
	check(m.Lock(bg))
	shmtest.Eventually(t, func() bool { return over() || m.Word().Load()&lock.Starving != 0 }, "the child asks")
	check(m.Unlock())
}

// Killed at any step, it leaves a lock that it held to one who is told, and else
// nothing.
func TestMutexKilledAtEachStep(t *testing.T) {
	killed := 0
	eachMutexStep(t, func(t *testing.T, step string) {
		m, file := newMutex(t)
		c := shmtest.Command(t, "mutex-steps", file)
		c.Cmd.Env = append(c.Cmd.Env, "SLUICE_HOOK="+step+":kill")
		c.Start()
		c.Hang() // it ends also when it does not come by the step this time
		gone := make(chan int, 1)
		go func() { gone <- c.Wait() }()
		serveSteps(t, m, func() bool { return len(gone) > 0 })
		if <-gone == -1 {
			killed++
		}
		v, want := m.Word().Load(), "ok"
		if v&^lock.Starving != 0 {
			want = "died"
		}
		if told := name(m.Lock(within(t))); told != want {
			t.Fatalf("the word was %#x, and Lock says %s", v, told)
		}
		check(m.MarkConsistent())
		check(m.Unlock())
		goOn(t, m, another(t, file))
	})
	if killed < 12 {
		t.Errorf("only %d were killed", killed)
	}
}

// Stopped at any step, it is not taken for dead, keeps nobody out from a lock that
// it does not hold, and goes on.
func TestMutexStoppedAtEachStep(t *testing.T) {
	eachMutexStep(t, func(t *testing.T, step string) {
		m, file := newMutex(t)
		other := another(t, file)
		c := shmtest.Command(t, "mutex-steps", file)
		c.Cmd.Env = append(c.Cmd.Env, "SLUICE_HOOK="+step+":stop")
		c.Start()
		ended := make(chan string, 1)
		go func() { line, _ := c.Next(); ended <- line }()
		stands := func() bool { return len(ended) > 0 || strings.Contains("TZX", condition(c.Pid())) }
		serveSteps(t, m, stands)
		shmtest.Eventually(t, stands, "it stops")
		if condition(c.Pid()) == "T" { // it may not have come by the step this time
			standing(t, m, other)
			c.Cont()
			serveSteps(t, m, func() bool { return len(ended) > 0 })
		}
		if line := <-ended; line == "" {
			t.Fatal("it does not go on")
		}
		goOn(t, m, other)
	})
}

// standing looks at a lock beside a child that is stopped.
func standing(t *testing.T, m, other *lock.Mutex) {
	t.Helper()
	for range 20 {
		m.Segment().CheckPeers()
	}
	for _, p := range m.Segment().Participants() {
		if p.State != shm.Active {
			t.Fatalf("participant %v is %v while stopped", p.ID, p.State)
		}
	}
	// What the child's former self held is whoever's comes first, and is told
	// to that one.
	for _, h := range []*lock.Mutex{m, other, m} {
		ok, err := h.TryLock()
		if !ok {
			if err != nil || m.Holder() == m.Segment().ID() || m.Holder() == other.Segment().ID() {
				t.Fatalf("TryLock = %v, %v, held by %v", ok, err, m.Holder())
			}
			continue
		}
		check(h.MarkConsistent())
		check(h.Unlock())
	}
}

// condition returns the letter that the kernel gives the state of a process, X for
// one that is gone.
func condition(pid int) string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, ok := strings.Cut(string(b), ") ")
	if err != nil || !ok {
		return "X"
	}
	return rest[:1]
}
