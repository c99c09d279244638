//go:build linux && sluice_hooks

package lock_test

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/sluice-ipc/sluice/internal/hook"
	"github.com/sluice-ipc/sluice/internal/shmtest"
	"github.com/sluice-ipc/sluice/shm"
	"github.com/sluice-ipc/sluice/shm/lock"
)

func init() { roles["meeting-steps"] = meetingSteps }

// A meeting is an event, a condition and a barrier of two in one segment.
type meeting struct {
	s *shm.Segment
	e *lock.Event
	c *lock.Cond
	b *lock.Barrier
}

func meetingIn(s *shm.Segment) *meeting {
	g := newGarbled(nil)
	m := &meeting{s, must(lock.At[lock.Event](s, 0, nil)), must(lock.At[lock.Cond](s, g.atCond, nil)),
		must(lock.At[lock.Barrier](s, g.atBarrier, &lock.Options{Parties: 2, Action: func() error { return nil }}))}
	m.e.NoSpin()
	m.c.NoSpin()
	m.b.NoSpin()
	return m
}

// lock takes the mutex, and puts nothing right, because nothing can be wrong.
func (m *meeting) lock() {
	if err := m.c.Mutex().Lock(bg); err != nil {
		if !errors.Is(err, lock.ErrOwnerDied) {
			panic(err)
		}
		check(m.c.Mutex().MarkConsistent())
	}
}

// meetingSteps does all there is to do, with somebody who does his part, and says
// which steps that took.
func meetingSteps(args []string) int {
	m := meetingIn(must(shm.Open(args[0], nil)))
	check(m.e.Wait(bg))
	check(m.e.Set())
	check(m.e.Clear())

	m.lock()
	if err := m.c.Wait(bg); errors.Is(err, lock.ErrOwnerDied) {
		check(m.c.Mutex().MarkConsistent())
	}
	check(m.c.Signal())
	check(m.c.Broadcast())
	check(m.c.Mutex().Unlock())

	for range 5 { // the first to arrive, and the last
		m.b.Wait(bg)
	}
	check(m.b.Abort())
	check(m.b.Reset())
	check(m.b.Close())
	var steps []string
	for _, s := range hook.Steps() {
		steps = append(steps, fmt.Sprintf("%s:%d", s, hook.Count(s)))
	}
	shmtest.Say("%s", strings.Join(steps, " "))
	shmtest.Hear()
	return 0
}

// attend does the other part in a meeting, until the function that it returns is
// called, which waits until all of that is over.
func attend(m *meeting) (leave func()) {
	stop := []func(){
		nudge(func() { check(m.e.Set()); check(m.e.Clear()) }),
		nudge(func() {
			m.lock()
			check(m.c.Broadcast())
			check(m.c.Mutex().Unlock())
		}),
	}
	var over atomic.Bool
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		for !over.Load() {
			if _, err := m.b.Wait(bg); errors.Is(err, lock.ErrOwnerDied) {
				check(m.b.Reset())
			}
		}
	}()
	return func() {
		for _, f := range stop {
			f()
		}
		over.Store(true)
		check(m.b.Abort())
		<-gone
	}
}

// goesOn holds that everything works between two who live.
func (m *meeting) goesOn(t *testing.T) {
	t.Helper()
	s := must(shm.Open(m.s.Name(), nil))
	defer s.Close()
	o := meetingIn(s)
	check(m.e.Clear())
	waiting := begin(t, bg, o.e.Wait)
	check(m.e.Set())
	wantErr(t, "Event.Wait", got(t, waiting), nil)
	m.lock()
	check(m.c.Mutex().Unlock())
	waiting = waitOn(t, bg, o.c)
	locked(m.c, func() { check(m.c.Signal()) })
	wantErr(t, "Cond.Wait", got(t, waiting), nil)
	check(m.b.Reset())
	waiting = arrive(t, bg, o.b)
	wantErr(t, "Barrier.Wait", at(m.b), nil)
	wantErr(t, "Barrier.Wait", got(t, waiting), nil)
	check(o.b.Close())
}

// eachMeetingStep runs body for every step of a meeting, the first two arrivals.
func eachMeetingStep(t *testing.T, body func(t *testing.T, m *meeting, c *shmtest.Child, leave func())) {
	run := func(t *testing.T, at string) (*meeting, *shmtest.Child, func()) {
		file := fresh(t)
		s := must(shm.Create(file, &shm.Options{Size: newGarbled(nil).end, MaxParticipants: 8}))
		t.Cleanup(func() { s.Close() })
		m := meetingIn(s)
		c := shmtest.Command(t, "meeting-steps", file)
		if at != "" {
			c.Cmd.Env = append(c.Cmd.Env, "SLUICE_HOOK="+at)
		}
		return m, c, attend(m)
	}
	_, c, leave := run(t, "")
	c.Start()
	steps, n := strings.Fields(c.Line()), 0
	leave()
	mode := "kill"
	if strings.Contains(t.Name(), "Stopped") {
		mode = "stop"
	}
	for _, s := range steps {
		step, count, _ := strings.Cut(s, ":")
		if !strings.HasPrefix(step, "lock.event.") && !strings.HasPrefix(step, "lock.cond.") && !strings.HasPrefix(step, "lock.barrier.") {
			continue
		}
		times := 0
		fmt.Sscan(count, &times)
		for i := range min(times, 2) {
			n++
			at := fmt.Sprintf("%s:%d:%s", step, i+1, mode)
			t.Run(at, func(t *testing.T) {
				m, c, leave := run(t, at)
				body(t, m, c, leave)
			})
		}
	}
	t.Logf("%d steps", n)
	if n < 20 {
		t.Errorf("only %d steps: %v", n, steps)
	}
}

// Killed at any step, it is in nobody's way.
func TestMeetingKilledAtEachStep(t *testing.T) {
	killed := 0
	eachMeetingStep(t, func(t *testing.T, m *meeting, c *shmtest.Child, leave func()) {
		c.Start()
		c.Hang()
		if c.Wait() == -1 {
			killed++
		}
		leave()
		m.goesOn(t)
	})
	if killed < 20 {
		t.Errorf("only %d were killed", killed)
	}
}

// Stopped at any step, it is not taken for dead, and goes on.
func TestMeetingStoppedAtEachStep(t *testing.T) {
	eachMeetingStep(t, func(t *testing.T, m *meeting, c *shmtest.Child, leave func()) {
		c.Start()
		ended := make(chan string, 1)
		go func() { line, _ := c.Next(); ended <- line }()
		shmtest.Eventually(t, func() bool { return len(ended) > 0 || strings.Contains("TZX", condition(c.Pid())) }, "it stops")
		if condition(c.Pid()) == "T" { // it may not have come by the step this time
			wantAllAlive(t, m.s, 2)
			c.Cont()
		}
		if line := <-ended; line == "" {
			t.Fatal("it does not go on")
		}
		leave()
		m.goesOn(t)
	})
}
