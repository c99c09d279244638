//go:build linux

package lock_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-ipc/sluice/internal/shmtest"
	"github.com/sluice-ipc/sluice/internal/sys"
	"github.com/sluice-ipc/sluice/shm"
	"github.com/sluice-ipc/sluice/shm/lock"
)

// newEvent makes an event with a name that children open.
func newEvent(t testing.TB) (e *lock.Event, file string) {
	t.Helper()
	file = fresh(t)
	e = must(lock.Create[lock.Event](file, eight()))
	e.NoSpin()
	t.Cleanup(func() { e.Close() })
	return e, file
}

// anotherEvent opens one more handle, which is a participant of its own.
func anotherEvent(t testing.TB, file string) *lock.Event {
	t.Helper()
	e := must(lock.Open[lock.Event](file, nil))
	e.NoSpin()
	t.Cleanup(func() { e.Close() })
	return e
}

func TestEventIsAFlag(t *testing.T) {
	e, file := newEvent(t)
	other := anotherEvent(t, file)
	is := func(want bool) {
		t.Helper()
		if e.IsSet() != want || other.IsSet() != want {
			t.Fatalf("IsSet = %v here, %v there, want %v", e.IsSet(), other.IsSet(), want)
		}
	}
	is(false)
	check(other.Clear())
	is(false)
	check(e.Set())
	is(true)
	v := e.State().Load()
	check(other.Set())
	is(true)
	if e.State().Load() != v {
		t.Error("setting what is set changes something")
	}
	check(other.Clear())
	is(false)
	v = e.State().Load()
	check(e.Clear())
	is(false)
	if e.State().Load() != v {
		t.Error("clearing what is clear changes something")
	}
}

func TestEventWait(t *testing.T) {
	e, _ := newEvent(t)
	past, cancel := context.WithDeadline(bg, time.Unix(0, 0))
	defer cancel()
	soon, cancel := context.WithTimeout(bg, time.Millisecond)
	defer cancel()
	wantErr(t, "Wait for an unset one", e.Wait(done()), context.Canceled)
	wantErr(t, "Wait until the past", e.Wait(past), context.DeadlineExceeded)
	wantErr(t, "Wait for a while", e.Wait(soon), context.DeadlineExceeded)
	ctx, cancel := context.WithCancel(bg)
	waiting := begin(t, ctx, e.Wait)
	cancel()
	wantErr(t, "Wait, cancelled", got(t, waiting), context.Canceled)
	check(e.Set())
	for range 3 {
		wantErr(t, "Wait for a set one", e.Wait(done()), nil)
	}
	check(e.Clear())
	wantErr(t, "Wait after Clear", e.Wait(done()), context.Canceled)
}

func init() {
	roles["event-wait"] = eventWait
	roles["event-pulse"] = eventPulse
}

// eventWait waits in several goroutines, and says when each has begun and when
// all are through.
func eventWait(args []string) int {
	e := must(lock.Open[lock.Event](args[0], nil))
	for {
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				var once sync.Once
				begun := func() { once.Do(func() { shmtest.Say("begun") }) }
				check(e.Wait(marked{bg, begun}))
				begun()
			})
		}
		wg.Wait()
		shmtest.Say("through")
		if _, ok := shmtest.Hear(); !ok {
			return 0
		}
	}
}

// Set releases all waiters in all processes, and later ones until Clear.
func TestEventReleasesEverybody(t *testing.T) {
	e, file := newEvent(t)
	var cs []*shmtest.Child
	for range 3 {
		cs = append(cs, shmtest.Start(t, "event-wait", file))
	}
	for round := range 3 {
		for _, c := range cs {
			c.Expect("begun")
			c.Expect("begun")
		}
		mine := begin(t, bg, e.Wait)
		check(e.Set())
		wantErr(t, "Wait", got(t, mine), nil)
		for _, c := range cs {
			c.Expect("through")
		}
		wantErr(t, "a later Wait", e.Wait(done()), nil)
		check(e.Clear())
		for _, c := range cs {
			if round == 2 {
				c.Exit()
				continue
			}
			c.Send("again")
		}
	}
}

const (
	pulseProcesses  = 3
	pulseGoroutines = 2
)

// eventPulse waits again and again, and says in shared memory which time it is.
func eventPulse(args []string) int {
	s := must(shm.Open(args[0], nil))
	e := must(lock.At[lock.Event](s, 0, nil))
	times, who := must(strconv.Atoi(args[1])), must(strconv.Atoi(args[2]))
	var wg sync.WaitGroup
	for g := range pulseGoroutines {
		wg.Go(func() {
			turn, mark := word(s, 1), word(s, 2+who*pulseGoroutines+g)
			for i := range times {
				check(e.Wait(marked{bg, func() { mark.Store(uint64(i) + 1) }}))
				for turn.Load() <= uint64(i) { // it may still be set
					sys.Yield()
				}
			}
		})
	}
	wg.Wait()
	return 0
}

// A Set that is followed by a Clear at once releases everybody who had begun to
// wait: none is missed, in 10,000 pulses.
func TestEventPulse(t *testing.T) {
	file := fresh(t)
	const waiters = pulseProcesses * pulseGoroutines
	s := must(shm.Create(file, &shm.Options{Size: 128 * (2 + waiters), MaxParticipants: 8}))
	defer s.Close()
	e := must(lock.At[lock.Event](s, 0, nil))
	times := shorten(10_000)
	var cs []*shmtest.Child
	for i := range pulseProcesses {
		cs = append(cs, shmtest.Start(t, "event-pulse", file, fmt.Sprint(times), fmt.Sprint(i)))
	}
	for i := range times {
		for w := range waiters {
			mark := word(s, 2+w)
			shortly(t, func() bool { return mark.Load() == uint64(i)+1 },
				"waiter %d begins to wait for pulse %d: it missed the one before", w, i)
		}
		check(e.Set())
		check(e.Clear())
		word(s, 1).Store(uint64(i) + 1)
	}
	for _, c := range cs {
		if code := c.Wait(); code != 0 {
			t.Errorf("a waiter ended with code %d", code)
		}
	}
	t.Logf("%d pulses, each of which released %d waiters in %d processes", times, waiters, pulseProcesses)
}

// What a signal's handler does in Go is done by an ordinary goroutine, so that a
// Set from there is like any other.
func TestEventSetOnASignal(t *testing.T) {
	e, _ := newEvent(t)
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGUSR1)
	defer signal.Stop(c)
	go func() {
		<-c
		check(e.Set())
	}()
	waiting := begin(t, bg, e.Wait)
	check(syscall.Kill(os.Getpid(), syscall.SIGUSR1))
	wantErr(t, "Wait", got(t, waiting), nil)
}

func TestEventAllocatesNothing(t *testing.T) {
	e, _ := newEvent(t)
	for what, f := range map[string]func(){
		"Set": func() { e.Set() }, "Clear": func() { e.Clear() }, "IsSet": func() { e.IsSet() },
		"Set and Clear":      func() { e.Set(); e.Clear() },
		"Wait for a set one": func() { e.Set(); e.Wait(bg) },
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s: %v allocations", what, n)
		}
	}
}

func TestEventString(t *testing.T) {
	e, file := newEvent(t)
	for _, want := range []string{"unset", "set"} {
		if s := e.String(); s != fmt.Sprintf("lock.Event(%s, %s)", file, want) {
			t.Errorf("String = %q, want %s", s, want)
		}
		check(e.Set())
	}
}

// Close ends the waits of its handle, and those of no other; the event stays.
func TestEventClose(t *testing.T) {
	e, file := newEvent(t)
	other := anotherEvent(t, file)
	mine := begin(t, bg, e.Wait)
	theirs := begin(t, bg, other.Wait)
	check(e.Close())
	err := got(t, mine)
	wantErr(t, "Wait", err, lock.ErrClosed)
	wantErr(t, "Wait", err, os.ErrClosed)
	if !strings.Contains(err.Error(), file) {
		t.Errorf("%v does not name the segment", err)
	}
	for what, f := range map[string]func() error{
		"Set": e.Set, "Clear": e.Clear, "Wait": func() error { return e.Wait(bg) },
	} {
		wantErr(t, what+" after Close", f(), lock.ErrClosed)
	}
	check(e.Close())
	check(other.Set())
	wantErr(t, "Wait of the other handle", got(t, theirs), nil)
	if !e.IsSet() {
		t.Error("the closed handle does not see that it is set")
	}
}

// Waiters that give up leave nothing behind, and swallow nothing.
func TestEventCancelledWaits(t *testing.T) {
	e, _ := newEvent(t)
	stays := begin(t, bg, e.Wait)
	for range shorten(1000) {
		ctx, cancel := context.WithCancel(bg)
		out := make(chan error, 1)
		go func() { out <- e.Wait(ctx) }()
		cancel()
		if err := <-out; !errors.Is(err, context.Canceled) {
			t.Fatalf("Wait = %v", err)
		}
	}
	check(e.Set())
	check(e.Clear())
	wantErr(t, "Wait of the one that stayed", got(t, stays), nil)
}
