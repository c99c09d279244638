//go:build linux

package lock_test

import (
	"testing"

	"github.com/sluice-ipc/sluice/internal/sys"
	"github.com/sluice-ipc/sluice/internal/wait"
)

// Who makes true what others sleep for wakes them, and does not leave it to their
// tick; and makes no system call when nobody sleeps.
func TestWakersWake(t *testing.T) {
	calls := func(f func()) uint64 {
		_, before := sys.FutexCalls()
		f()
		_, after := sys.FutexCalls()
		return after - before
	}
	e, _ := newEvent(t)
	c, _ := newCond(t)
	b, file := newBarrier(t, 2, nil)
	other := anotherBarrier(t, file, nil)
	signal := func() { check(c.Mutex().Lock(bg)); check(c.Signal()); check(c.Mutex().Unlock()) }
	for _, step := range []struct {
		what  string
		sleep func() <-chan error
		act   func()
		after func() // sets it back
	}{
		{"Set", func() <-chan error { return begin(t, bg, e.Wait) }, func() { check(e.Set()) }, func() { check(e.Clear()) }},
		{"Signal", func() <-chan error { return waitOn(t, bg, c) }, signal, func() {}},
		{"the last Wait", func() <-chan error { return arrive(t, bg, other) }, func() { check(at(b)) }, func() {}},
		{"Abort", func() <-chan error { return arrive(t, bg, other) }, func() { check(b.Abort()) }, func() { check(b.Reset()) }},
		{"Reset", func() <-chan error { return arrive(t, bg, other) }, func() { check(b.Reset()) }, func() {}},
	} {
		before := wait.Sleeps()
		waiting := step.sleep()
		shortly(t, func() bool { return wait.Sleeps() > before }, "it sleeps")
		if n := calls(step.act); n == 0 {
			t.Errorf("%s, with one who sleeps: no call to wake it", step.what)
		}
		got(t, waiting)
		step.after()
	}
	for what, f := range map[string]func(){"Set": func() { check(e.Set()) }, "Signal": signal, "Abort": func() { check(b.Abort()) }, "Reset": func() { check(b.Reset()) }} {
		f() // takes down what the sleepers have left
		if n := calls(f); n != 0 {
			t.Errorf("%s, with nobody there: %d calls", what, n)
		}
	}
}
