//go:build linux

package lock_test

import (
	"testing"

	"github.com/sluice-ipc/sluice/internal/cpu"
	"github.com/sluice-ipc/sluice/internal/shmtest"
	"github.com/sluice-ipc/sluice/shm"
	"github.com/sluice-ipc/sluice/shm/lock"
)

func init() {
	roles["kill-event-wait"] = killEventWait
	roles["kill-event-set"] = killEventSet
	roles["kill-event-clear"] = killEventClear
	killings = append(killings,
		killing{"event, wait", 100, killedInEventWait},
		killing{"event, set", 30, killedInEventSet},
		killing{"event, clear", 20, killedInEventClear},
		killing{"event, stopped in set", 30, stoppedInEventSet},
	)
}

// traced runs an operation of a child, which then waits for its end. What the
// runtime and the spinning measure at first is no part of it.
func traced(op func()) int {
	cpu.PauseTime()
	cpu.PerMicrosecond()
	shmtest.Trace(op)
	shmtest.Hear()
	return 0
}

func killEventWait(args []string) int {
	e := must(lock.Open[lock.Event](args[0], nil))
	return traced(func() { check(e.Wait(bg)) })
}

func killEventSet(args []string) int {
	e := must(lock.Open[lock.Event](args[0], nil))
	return traced(func() { check(e.Set()) })
}

func killEventClear(args []string) int {
	e := must(lock.Open[lock.Event](args[0], nil))
	return traced(func() { check(e.Clear()) })
}

// A waiter that is killed is not waited for, neither by Set nor by IsSet, and
// takes the release of no other.
func killedInEventWait(t testing.TB, p *shmtest.Point) {
	e, file := newEvent(t)
	other := anotherEvent(t, file)
	stop := nudge(func() { check(e.Set()); check(e.Clear()) })
	p.Kill(shmtest.Command(t, "kill-event-wait", file))
	stop()
	waiting := begin(t, bg, other.Wait)
	if e.IsSet() {
		t.Fatal("it is set")
	}
	check(e.Set())
	check(e.Clear())
	wantErr(t, "Wait beside a dead one", got(t, waiting), nil)
}

// Who is killed in Set has released everybody or nobody.
func killedInEventSet(t testing.TB, p *shmtest.Point) {
	e, file := newEvent(t)
	other := anotherEvent(t, file)
	mine, theirs := begin(t, bg, e.Wait), begin(t, bg, other.Wait)
	p.Kill(shmtest.Command(t, "kill-event-set", file))
	if !e.IsSet() {
		check(other.Set())
	} else if p.K < 0 || p.K%2 == 0 {
		check(other.Clear()) // who was released stays so
	}
	wantErr(t, "Wait", got(t, mine), nil)
	wantErr(t, "Wait", got(t, theirs), nil)
}

func killedInEventClear(t testing.TB, p *shmtest.Point) {
	e, file := newEvent(t)
	check(e.Set())
	p.Kill(shmtest.Command(t, "kill-event-clear", file))
	if p.K < 0 && e.IsSet() {
		t.Fatal("it is set after Clear")
	}
	check(e.Clear())
	waiting := begin(t, bg, anotherEvent(t, file).Wait)
	check(e.Set())
	wantErr(t, "Wait", got(t, waiting), nil)
}

// Who is stopped in Set is in nobody's way, and is not taken for dead.
func stoppedInEventSet(t testing.TB, p *shmtest.Point) {
	e, file := newEvent(t)
	c := shmtest.Command(t, "kill-event-set", file)
	p.Stop(c)
	waiting := begin(t, bg, e.Wait)
	if err := e.Set(); err != nil || !e.IsSet() {
		t.Fatalf("Set = %v", err)
	}
	wantErr(t, "Wait", got(t, waiting), nil)
	check(e.Clear())
	if e.IsSet() {
		t.Fatal("it is set after Clear")
	}
	wantAllAlive(t, e.Segment(), 2)
	c.Cont()
	c.Exit()
}

// wantAllAlive fails the test if somebody is taken for dead, of n participants.
func wantAllAlive(t testing.TB, s *shm.Segment, n int) {
	t.Helper()
	s.CheckPeers()
	ps := s.Participants()
	for _, p := range ps {
		if p.State != shm.Active {
			t.Fatalf("participant %v is %v", p.ID, p.State)
		}
	}
	if len(ps) != n {
		t.Fatalf("%d participants, want %d", len(ps), n)
	}
}
