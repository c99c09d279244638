//go:build sluice_hooks

package hook_test

import (
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-ipc/sluice/internal/hook"
	"github.com/sluice-ipc/sluice/internal/shmtest"
)

func TestMain(m *testing.M) {
	shmtest.Main(m, map[string]shmtest.Role{
		"walk": walk, "walk2": walkTogether,
	})
}

// walk takes steps a, b, a, b and says so after each.
func walk([]string) int {
	for range 2 {
		hook.At("a")
		shmtest.Say("a")
		hook.At("b")
		shmtest.Say("b")
	}
	return 0
}

// walkTogether walks in a goroutine, says when that stands for ever, and goes
// on itself.
func walkTogether([]string) int {
	go walk(nil)
	for !strings.Contains(stacks(), "hook.forever(") {
		runtime.Gosched()
	}
	shmtest.Say("paused")
	return 0
}

func stacks() string {
	buf := make([]byte, 64<<10)
	return string(buf[:runtime.Stack(buf, true)])
}

// start starts a child with a plan.
func start(t *testing.T, role, plan string) *shmtest.Child {
	t.Helper()
	c := shmtest.Command(t, role)
	c.Cmd.Env = append(c.Cmd.Env, "SLUICE_HOOK="+plan)
	c.Start()
	return c
}

// rest returns what the child says until its end.
func rest(c *shmtest.Child) []string {
	var all []string
	for {
		line, ok := c.Next()
		if !ok {
			return all
		}
		all = append(all, line)
	}
}

func TestKillAtAnArrival(t *testing.T) {
	for _, tt := range []struct {
		plan string
		said []string
		code int
	}{
		{"", []string{"a", "b", "a", "b"}, 0},
		{"a:1:kill", nil, -1},
		{"b:1:kill", []string{"a"}, -1},
		{"a:2:kill", []string{"a", "b"}, -1},
		{"b:2:kill", []string{"a", "b", "a"}, -1},
		{"b:3:kill", []string{"a", "b", "a", "b"}, 0},
		{"c:1:kill", []string{"a", "b", "a", "b"}, 0},
		{"b:3:kill,a:2:kill", []string{"a", "b"}, -1},
	} {
		t.Run(tt.plan, func(t *testing.T) {
			c := start(t, "walk", tt.plan)
			if said := rest(c); !slices.Equal(said, tt.said) {
				t.Errorf("it came to %q, want %q", said, tt.said)
			}
			if code := c.Wait(); code != tt.code {
				t.Errorf("exit code %d, want %d", code, tt.code)
			}
		})
	}
}

func TestStopAtAnArrival(t *testing.T) {
	c := start(t, "walk", "b:1:stop,a:2:stop")
	c.Expect("a")
	c.AwaitStop()
	c.Cont()
	c.Expect("b")
	c.AwaitStop()
	c.Cont()
	if said := rest(c); !slices.Equal(said, []string{"a", "b"}) {
		t.Errorf("after the stop it came to %q", said)
	}
	c.Exit()
}

func TestPauseHoldsOneGoroutine(t *testing.T) {
	c := start(t, "walk2", "b:1:pause")
	c.Expect("a")
	c.Expect("paused")
	if said := rest(c); len(said) > 0 {
		t.Errorf("the paused goroutine said %q", said)
	}
	c.Exit()
}

// A misspelt plan must not let a test of a kill pass without one.
func TestBadPlanEndsTheProcess(t *testing.T) {
	for _, plan := range []string{
		"a", "a:1", ":1:kill", "a:0:kill", "a:x:kill", "a:1:kil",
		"a:1:kill,", "a:1:kill:",
	} {
		c := start(t, "walk", plan)
		if said := rest(c); len(said) > 0 {
			t.Errorf("%q: it came to %q", plan, said)
		}
		if code := c.Wait(); code != 2 {
			t.Errorf("%q: exit code %d, want 2", plan, code)
		}
	}
}

func TestRegisteredFunctionSeesEachStep(t *testing.T) {
	if !hook.Enabled {
		t.Fatal("not enabled with the build tag")
	}
	before := hook.Count("test.two")
	var saw []string
	hook.Set(func(step string) { saw = append(saw, step) })
	hook.At("test.one")
	hook.At("test.two")
	hook.At("test.one")
	hook.Set(nil)
	hook.At("test.two")
	want := []string{"test.one", "test.two", "test.one"}
	if !slices.Equal(saw, want) {
		t.Errorf("the function saw %q, want %q", saw, want)
	}
	steps := hook.Steps()
	for _, want := range want {
		if !slices.Contains(steps, want) {
			t.Errorf("Steps() = %q, lacks %q", steps, want)
		}
	}
	if n := hook.Count("test.two") - before; n != 2 {
		t.Errorf("counted %d arrivals, want 2", n)
	}
}

// A function may block, as a scheduler does, and others must get on meanwhile.
func TestRegisteredFunctionMayBlock(t *testing.T) {
	hold, held := make(chan bool), make(chan bool)
	hook.Set(func(step string) {
		if step == "test.held" {
			held <- true
			<-hold
		}
	})
	defer hook.Set(nil)
	done := make(chan bool)
	go func() { hook.At("test.held"); close(done) }()
	<-held
	hook.At("test.other")
	close(hold)
	<-done
}
