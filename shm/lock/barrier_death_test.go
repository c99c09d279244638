//go:build linux

package lock_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/sluice-ipc/sluice/internal/shmtest"
	"github.com/sluice-ipc/sluice/shm"
	"github.com/sluice-ipc/sluice/shm/lock"
)

func init() { roles["barrier-obey"] = barrierObey }

// barrierObey does at a barrier what it is told, and says what came of it.
func barrierObey(args []string) int {
	b := must(lock.Open[lock.Barrier](args[0], nil))
	b.NoSpin()
	shmtest.Say("ready")
	for {
		cmd, ok := shmtest.Hear()
		if !ok {
			return 0
		}
		var err error
		switch cmd {
		case "wait":
			_, err = b.Wait(bg)
		case "close":
			err = b.Close()
		}
		switch {
		case err == nil:
			shmtest.Say("ok")
		case errors.Is(err, lock.ErrBarrierBroken) && errors.Is(err, lock.ErrOwnerDied):
			shmtest.Say("died")
		case errors.Is(err, lock.ErrBarrierBroken):
			shmtest.Say("broken")
		default:
			shmtest.Say("%v", err)
		}
	}
}

// party starts a child that takes part in one round with who calls it alone.
func party(t testing.TB, b *lock.Barrier, file string) *shmtest.Child {
	t.Helper()
	c := shmtest.Start(t, "barrier-obey", file)
	c.Expect("ready")
	c.Send("wait")
	for range b.Parties() - 2 {
		arrive(t, bg, b)
	}
	wantErr(t, "the first round", at(b), nil)
	c.Expect("ok")
	return c
}

// A party that dies while it waits breaks the barrier for the others, and for who
// comes later, until Reset.
func TestBarrierPartyDiesWaiting(t *testing.T) {
	b, file := newBarrier(t, 3, nil)
	other := anotherBarrier(t, file, nil)
	c := shmtest.Start(t, "barrier-obey", file)
	c.Expect("ready")
	c.Send("wait")
	shortly(t, func() bool { return b.Waiting() == 1 }, "the child waits")
	waiting := arrive(t, bg, other)
	c.Kill()
	wantBroken(t, "Wait", got(t, waiting), true)
	wantBroken(t, "a later Wait", at(b), true)
	wantBroken(t, "a later Wait", at(other), true)
	check(other.Reset())
	all := []<-chan error{arrive(t, bg, b), arrive(t, bg, other)}
	wantErr(t, "Wait after Reset", at(b), nil)
	for _, w := range all {
		wantErr(t, "Wait after Reset", got(t, w), nil)
	}
}

// A party that dies between two rounds breaks the barrier for who waits then, and
// for who comes after.
func TestBarrierPartyDiesBetweenRounds(t *testing.T) {
	for _, when := range []string{"while others wait", "while nobody waits"} {
		b, file := newBarrier(t, 2, nil)
		c := party(t, b, file)
		var waiting <-chan error
		if when == "while others wait" {
			waiting = arrive(t, bg, b)
			c.Kill()
		} else {
			c.Kill()
			b.Segment().CheckPeers()
			if !b.Broken() {
				t.Error("not broken by a death that is known")
			}
			waiting = arrive(t, bg, b)
		}
		wantBroken(t, when, got(t, waiting), true)
		wantBroken(t, when, at(b), true)
		check(b.Reset())
		next := party(t, b, file)
		next.Send("close")
		next.Expect("ok")
		next.Kill()
	}
}

// Who takes the slot of a dead party does not wipe out that it died.
func TestBarrierSlotOfADeadParty(t *testing.T) {
	b, file := newBarrier(t, 2, nil)
	c := party(t, b, file)
	slots := map[int]bool{}
	for _, p := range b.Segment().Participants() {
		slots[p.ID.Slot()] = true
	}
	c.Kill()
	b.Segment().CheckPeers()
	after, next := anotherBarrier(t, file, nil), anotherBarrier(t, file, nil)
	if !slots[after.Segment().ID().Slot()] {
		t.Fatalf("the new one has slot %d, which is nobody's", after.Segment().ID().Slot())
	}
	for _, h := range []*lock.Barrier{after, next, b} {
		wantBroken(t, "Wait", at(h), true)
	}
	check(next.Reset())
	waiting := arrive(t, bg, after)
	wantErr(t, "Wait after Reset", at(next), nil)
	wantErr(t, "Wait after Reset", got(t, waiting), nil)
}

// A party that leaves in good order, by Close, breaks nothing; one that leaves
// without is as good as dead.
func TestBarrierPartyLeaves(t *testing.T) {
	b, file := newBarrier(t, 2, nil)
	c := party(t, b, file)
	c.Send("close")
	c.Expect("ok")
	c.Exit()
	waiting := arrive(t, bg, b)
	wantErr(t, "Wait after one has left", at(anotherBarrier(t, file, nil)), nil)
	wantErr(t, "Wait after one has left", got(t, waiting), nil)

	s := must(shm.Create(fresh(t), &shm.Options{Size: must(lock.Size[lock.Barrier](8, nil)), MaxParticipants: 8}))
	defer s.Close()
	stays := must(lock.At[lock.Barrier](s, 0, &lock.Options{Parties: 2}))
	for _, closes := range []bool{true, false} {
		s2 := must(shm.Open(s.Name(), nil))
		leaves := must(lock.At[lock.Barrier](s2, 0, nil))
		waiting := arrive(t, bg, stays)
		wantErr(t, "Wait", at(leaves), nil)
		wantErr(t, "Wait", got(t, waiting), nil)
		if closes {
			check(leaves.Close())
			check(leaves.Close())
		}
		check(s2.Close())
		check(leaves.Close())
		if stays.Broken() == closes {
			t.Errorf("Close of the handle: %v, broken: %v", closes, stays.Broken())
		}
	}
}

// Two handles of one participant are party each for itself.
func TestBarrierTwoHandlesOfAParticipant(t *testing.T) {
	s := must(shm.Create(fresh(t), &shm.Options{Size: must(lock.Size[lock.Barrier](8, nil)), MaxParticipants: 8}))
	defer s.Close()
	a := must(lock.At[lock.Barrier](s, 0, &lock.Options{Parties: 2}))
	b := must(lock.At[lock.Barrier](s, 0, nil))
	cell := &a.Cells()[s.ID().Slot()]
	counts := func(what string, want uint64) {
		t.Helper()
		if v := cell.Load(); v&(1<<32-1) != want || v != 0 && v>>32 != uint64(s.ID().Incarnation()) {
			t.Fatalf("%s: the cell is %#x, want %d", what, v, want)
		}
	}
	counts("at first", 0)
	for range 2 {
		w := arrive(t, bg, a)
		wantErr(t, "Wait", at(b), nil)
		wantErr(t, "Wait", got(t, w), nil)
		counts("after a round", 2)
	}
	check(a.Close())
	counts("after one's Close", 1)
	w := arrive(t, bg, b)
	check(b.Close())
	counts("after Close while it waits", 1)
	wantErr(t, "Wait", at(a), nil)
	wantErr(t, "Wait", got(t, w), nil)
	counts("when that one has gone on", 1)
	check(a.Close())
	counts("at the end", 0)
}

// Close of a handle that waits breaks the barrier: that party will not come back.
func TestBarrierClose(t *testing.T) {
	b, file := newBarrier(t, 4, nil)
	other := anotherBarrier(t, file, nil)
	mine := []<-chan error{arrive(t, bg, b), arrive(t, bg, b)}
	theirs := arrive(t, bg, other)
	check(b.Close())
	for _, w := range mine {
		err := got(t, w)
		wantErr(t, "Wait", err, lock.ErrClosed)
		wantErr(t, "Wait", err, lock.ErrBarrierBroken)
	}
	err := got(t, theirs)
	wantBroken(t, "Wait of the other handle", err, false)
	if errors.Is(err, lock.ErrClosed) {
		t.Errorf("the other handle: %v", err)
	}
	for what, f := range map[string]func() error{"Wait": func() error { return at(b) }, "Abort": b.Abort, "Reset": b.Reset} {
		wantErr(t, what+" after Close", f(), lock.ErrClosed)
	}
	check(b.Close())
	check(other.Reset())
	if other.Broken() {
		t.Error("broken by who closed in good order")
	}
}

// Who is stopped while its round becomes complete gets nil, however late, and
// whatever becomes of the barrier meanwhile; and while it is stopped nobody takes
// it for dead.
func TestBarrierLateWaiter(t *testing.T) {
	for what, meanwhile := range map[string]func(b, other *lock.Barrier) error{
		"nothing": func(b, other *lock.Barrier) error { return nil },
		"abort":   func(b, other *lock.Barrier) error { return b.Abort() },
		"timeout": func(b, other *lock.Barrier) error { b.Wait(done()); return nil },
		"resets": func(b, other *lock.Barrier) error {
			for range 8 {
				check(b.Abort())
				check(b.Reset())
			}
			return nil
		},
		"rounds": func(b, other *lock.Barrier) error {
			check(b.Reset())
			for range 1000 {
				out := make(chan error, 1)
				go func() { out <- at(other) }()
				check(errors.Join(at(b), <-out))
			}
			return nil
		},
	} {
		t.Run(what, func(t *testing.T) {
			b, file := newBarrier(t, 2, nil)
			other := anotherBarrier(t, file, nil)
			c := shmtest.Start(t, "barrier-obey", file)
			c.Expect("ready")
			c.Send("wait")
			shortly(t, func() bool { return b.Waiting() == 1 }, "the child waits")
			c.Stop()
			wantErr(t, "Wait beside a stopped one", at(b), nil)
			check(meanwhile(b, other))
			wantAllAlive(t, b.Segment(), 3)
			c.Cont()
			c.Expect("ok")
			c.Exit()
		})
	}
}

// Who is stopped before its round is complete is waited for, and not taken for
// dead.
func TestBarrierWaitsForStopped(t *testing.T) {
	b, file := newBarrier(t, 2, nil)
	c := party(t, b, file)
	c.Stop()
	waiting := arrive(t, bg, b)
	ctx, cancel := context.WithTimeout(bg, 200*time.Millisecond)
	defer cancel()
	for ctx.Err() == nil { // over several ticks, with every way to prove it dead
		b.Segment().CheckPeers()
		if b.Broken() || b.Waiting() != 1 {
			t.Fatalf("broken %v, %d waiting", b.Broken(), b.Waiting())
		}
	}
	c.Cont()
	c.Send("wait")
	c.Expect("ok")
	wantErr(t, "Wait", got(t, waiting), nil)
}

// Reset forgets the parties that have died, whether or not anybody had noticed.
func TestBarrierResetForgetsTheDead(t *testing.T) {
	for range 10 {
		b, file := newBarrier(t, 2, nil)
		c := party(t, b, file)
		c.Kill()
		check(b.Reset())
		b.Segment().CheckPeers()
		if b.Broken() {
			t.Fatal("broken by one who died before Reset")
		}
	}
}
