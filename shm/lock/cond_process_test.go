//go:build linux

package lock_test

import (
	"errors"
	"sync/atomic"
	"testing"

	"github.com/sluice-ipc/sluice/internal/shmtest"
	"github.com/sluice-ipc/sluice/shm"
	"github.com/sluice-ipc/sluice/shm/lock"
)

func init() {
	roles["cond-wait"] = condWait
	roles["cond-lock"] = condLock
	roles["cond-take"] = condTake
}

// condWait waits once, and says what came of it.
func condWait(args []string) int {
	c := must(lock.Open[lock.Cond](args[0], nil))
	check(c.Mutex().Lock(bg))
	shmtest.Say("%s", name(c.Wait(bg)))
	return 0
}

// condLock takes the mutex, and says what came of it.
func condLock(args []string) int {
	c := must(lock.Open[lock.Cond](args[0], nil))
	shmtest.Say("%s", name(c.Mutex().Lock(bg)))
	shmtest.Hear()
	return 0
}

// Nobody waits for a waiter that was killed: notifications return, and reach
// those who live.
func TestCondWaiterIsKilled(t *testing.T) {
	for what, notify := range map[string]func(*lock.Cond) error{
		"Signal": (*lock.Cond).Signal, "Broadcast": (*lock.Cond).Broadcast,
		"Notify(2)": func(c *lock.Cond) error { return c.Notify(2) },
	} {
		c, file := newCond(t)
		dies := shmtest.Start(t, "cond-wait", file)
		shortly(t, func() bool { return c.Waiters() == 1 && c.Mutex().Holder() == 0 }, "the child waits")
		waiting := waitOn(t, bg, c)
		dies.Kill()
		locked(c, func() { wantErr(t, what, notify(c), nil) })
		wantErr(t, "Wait beside a dead one, "+what, got(t, waiting), nil)
		c.Segment().CheckPeers()
		if n := c.Waiters(); n != 0 {
			t.Errorf("%d are thought to wait", n)
		}
		locked(c, func() { check(notify(c)); check(c.Signal()) })
		locked(c, func() { wantErr(t, "a later Wait", c.Wait(done()), done().Err()) })
	}
}

// Who holds the mutex and dies, in the middle of what it would have notified, is
// told to one of the waiters, by itself.
func TestCondOwnerIsKilled(t *testing.T) {
	c, file := newCond(t)
	other := anotherCond(t, file)
	both := []<-chan error{waitAndFail(t, c), waitAndFail(t, other)}
	k := shmtest.Start(t, "cond-lock", file)
	k.Expect("ok")
	k.Kill()
	shortly(t, func() bool { return len(both[0])+len(both[1]) == 1 }, "one of the waiters is told")
	told, waits, h := both[0], both[1], c
	if len(told) == 0 {
		told, waits, h = waits, told, other
	}
	wantErr(t, "Wait", got(t, told), lock.ErrOwnerDied)
	check(h.Mutex().MarkConsistent())
	check(h.Broadcast())
	check(h.Mutex().Unlock())
	wantErr(t, "Wait of the other", got(t, waits), nil)
}

// A tally is what condTake changes with the mutex held: tokens that are there,
// that were given, and that were taken; given = there + taken.
type tally struct {
	c                   *lock.Cond
	there, given, taken *atomic.Uint64
}

func newTally(s *shm.Segment) *tally {
	c, there := condIn(s)
	at := int(must(lock.Size[lock.Cond](8, nil)) / 128)
	return &tally{c, there, word(s, at+1), word(s, at+2)}
}

// mend puts right what a dead one left.
func (l *tally) mend(err error) {
	if errors.Is(err, lock.ErrOwnerDied) {
		l.taken.Store(l.given.Load() - l.there.Load())
		err = l.c.Mutex().MarkConsistent()
	}
	check(err)
}

// condTake takes tokens until it is killed.
func condTake(args []string) int {
	l := newTally(must(shm.Open(args[0], nil)))
	l.mend(l.c.Mutex().Lock(bg))
	shmtest.Say("ready")
	for {
		for l.there.Load() == 0 {
			l.mend(l.c.Wait(bg))
		}
		l.there.Store(l.there.Load() - 1)
		l.taken.Store(l.taken.Load() + 1)
	}
}

// Each token that is given with one Signal is taken, however many of those who
// wait for them are killed.
func TestCondBetweenProcesses(t *testing.T) {
	file := fresh(t)
	n := must(lock.Size[lock.Cond](8, nil))
	s := must(shm.Create(file, &shm.Options{Size: n + 3*128, MaxParticipants: 8}))
	defer s.Close()
	l := newTally(s)
	var cs []*shmtest.Child
	start := func() {
		c := shmtest.Start(t, "cond-take", file)
		c.Expect("ready")
		cs = append(cs, c)
	}
	for range 3 {
		start()
	}
	tokens := shorten(3000)
	kills := 0
	for i := range tokens {
		l.mend(l.c.Mutex().Lock(bg))
		l.given.Store(l.given.Load() + 1)
		l.there.Store(l.there.Load() + 1)
		check(l.c.Signal())
		check(l.c.Mutex().Unlock())
		if i%(tokens/10) == tokens/10-1 {
			cs[kills%len(cs)].Kill()
			cs = append(cs[:kills%len(cs)], cs[kills%len(cs)+1:]...)
			kills++
			start()
		}
		if i%100 == 0 { // else they would never have to wait
			shortly(t, func() bool { return l.there.Load() == 0 }, "token %d of %d is taken", i, tokens)
		}
	}
	shortly(t, func() bool { return l.there.Load() == 0 }, "all tokens are taken")
	l.mend(l.c.Mutex().Lock(bg))
	if got := l.taken.Load(); got != uint64(tokens) {
		t.Errorf("%d tokens were taken, want %d", got, tokens)
	}
	check(l.c.Mutex().Unlock())
	t.Logf("%d tokens, %d kills", tokens, kills)
}

// The same for a mutex that lies elsewhere, whose owners nobody else looks after.
func TestCondOwnerOfAGivenMutexIsKilled(t *testing.T) {
	m, file := newMutex(t)
	o := eight()
	o.Mutex = m
	c := must(lock.Anonymous[lock.Cond]("given", o))
	defer c.Close()
	c.NoSpin()
	waiting := waitAndFail(t, c)
	k, _ := obedient(t, file)
	do(t, k, "lock", "ok")
	k.Kill()
	wantErr(t, "Wait", got(t, waiting), lock.ErrOwnerDied)
	check(m.MarkConsistent())
	check(m.Unlock())
}

// What a waiter leaves that was notified and dies goes to another one who waited
// then, and to nobody who comes later.
func TestCondNotifiedWaiterIsKilled(t *testing.T) {
	for _, beside := range []bool{false, true} {
		c, file := newCond(t)
		dies := shmtest.Start(t, "cond-wait", file)
		shortly(t, func() bool { return c.Waiters() == 1 && c.Mutex().Holder() == 0 }, "the child waits")
		var waiting <-chan error
		if beside {
			waiting = waitOn(t, bg, c)
		}
		check(c.Mutex().Lock(bg))
		check(c.Signal()) // for either, who cannot go on while the mutex is held
		dies.Kill()
		check(c.Mutex().Unlock())
		if beside {
			wantErr(t, "Wait beside one who was notified and died", got(t, waiting), nil)
		}
		c.Segment().CheckPeers()
		two := []<-chan error{waitOn(t, bg, c), waitOn(t, bg, c)}
		locked(c, func() { check(c.Signal()) })
		leaves(t, c, 1)
		locked(c, func() { check(c.Signal()) })
		leaves(t, c, 0)
		for _, w := range two {
			wantErr(t, "a later Wait", got(t, w), nil)
		}
	}
}
