//go:build linux

package lock_test

import (
	"runtime"
	"testing"

	"github.com/sluice-ipc/sluice/internal/shmtest"
	"github.com/sluice-ipc/sluice/shm/lock"
)

func init() {
	roles["kill-barrier"] = killBarrier
	killings = append(killings,
		killing{"barrier, first to arrive", 300, killedAtBarrier("first")},
		killing{"barrier, last to arrive", 100, killedAtBarrier("last")},
		killing{"barrier, last with an action", 100, killedAtBarrier("act")},
		killing{"barrier, becoming a party", 200, killedJoining},
		killing{"barrier, leaving", 50, killedLeaving},
		killing{"barrier, reset", 50, killedBreaking("reset", (*lock.Barrier).Reset)},
		killing{"barrier, abort", 50, killedBreaking("abort", (*lock.Barrier).Abort)},
		killing{"barrier, stopped", 300, stoppedAtBarrier},
	)
}

// acted is how often an action of this process has run.
var acted int

func countAction() error { acted++; return nil }

// killBarrier does what it is told, at a barrier of three, all but joining, reset
// and abort after a round in which it became a party.
func killBarrier(args []string) int {
	o := &lock.Options{}
	if args[1] == "act" {
		o.Action = countAction
	}
	b := must(lock.Open[lock.Barrier](args[0], o))
	b.NoSpin()
	switch args[1] {
	case "join":
		return traced(func() { check(at(b)) })
	case "reset":
		return traced(func() { check(b.Reset()) })
	case "abort":
		return traced(func() { check(b.Abort()) })
	}
	check(at(b))
	switch args[1] {
	case "close":
		return traced(func() { check(b.Close()) })
	case "last", "act":
		for b.Waiting() < 2 {
			runtime.Gosched()
		}
	}
	return traced(func() { check(at(b)) })
}

// trio is a barrier of three through as many handles, one of which is for who
// takes the child's place.
func trio(t testing.TB) (hs []*lock.Barrier, file string) {
	b, file := newBarrier(t, 3, nil)
	return []*lock.Barrier{b, anotherBarrier(t, file, nil), anotherBarrier(t, file, nil)}, file
}

// survivors are two that take part in two rounds with a child. What the second one
// brings comes through the channels. They begin it when ready says so, or stop
// comes.
func survivors(hs []*lock.Barrier, stop <-chan struct{}, ready func() bool) (outs []<-chan error) {
	for _, h := range hs[:2] {
		out := make(chan error, 1)
		outs = append(outs, out)
		go func() {
			check(at(h))
			until(stop, ready)
			out <- at(h)
		}()
	}
	return outs
}

// wantAlike fails the test unless all have got through, or all have been told that
// a party died. It returns which.
func wantAlike(t testing.TB, outs ...<-chan error) (through bool) {
	t.Helper()
	for i, out := range outs {
		err := got(t, out)
		if i == 0 {
			through = err == nil
		}
		if through {
			wantErr(t, "Wait, as another got through", err, nil)
		} else {
			wantBroken(t, "Wait, as for another", err, true)
		}
	}
	return through
}

// goThrough takes all handles through a round.
func goThrough(t testing.TB, hs []*lock.Barrier) {
	t.Helper()
	outs := []<-chan error{arrive(t, bg, hs[0]), arrive(t, bg, hs[1]), arrive(t, bg, hs[2])}
	for _, out := range outs {
		wantErr(t, "a round afterwards", got(t, out), nil)
	}
}

// Who is killed at a barrier gets all others through, or breaks it for all; the
// next round is broken in any case, until Reset.
func killedAtBarrier(how string) func(testing.TB, *shmtest.Point) {
	return func(t testing.TB, p *shmtest.Point) {
		if thinned(p, 2) {
			return
		}
		hs, file := trio(t)
		stop := make(chan struct{})
		outs := survivors(hs, stop, func() bool { return how != "first" || hs[0].Waiting() > 0 })
		p.Kill(shmtest.Command(t, "kill-barrier", file, how))
		close(stop)
		through := wantAlike(t, outs...)
		if p.K < 0 && !through {
			t.Fatal("broken, although the child got through")
		}
		for _, h := range hs {
			wantBroken(t, "the next round", at(h), true)
		}
		check(hs[2].Reset())
		goThrough(t, hs)
	}
}

// Who is killed when it first waits is a party that has died, or nobody at all,
// in whose place another one can come.
func killedJoining(t testing.TB, p *shmtest.Point) {
	if thinned(p, 3) {
		return
	}
	hs, file := trio(t)
	outs := []<-chan error{arrive(t, bg, hs[0]), arrive(t, bg, hs[1])}
	p.Kill(shmtest.Command(t, "kill-barrier", file, "join"))
	instead := arrive(t, bg, hs[2])
	through := wantAlike(t, outs...)
	if err := got(t, instead); err != nil || !through {
		wantBroken(t, "Wait of who came instead", err, true)
	}
	hs[0].Segment().CheckPeers()
	if hs[0].Broken() {
		wantBroken(t, "the next round", at(hs[0]), true)
		check(hs[0].Reset())
	}
	goThrough(t, hs)
}

// Who is killed in Close has left, or died.
func killedLeaving(t testing.TB, p *shmtest.Point) {
	if thinned(p, 4) { // of some 2,000, most of them those of the segment
		return
	}
	hs, file := trio(t)
	outs := survivors(hs, nil, func() bool { return true })
	p.Kill(shmtest.Command(t, "kill-barrier", file, "close"))
	outs = append(outs, arrive(t, bg, hs[2]))
	if through := wantAlike(t, outs...); p.K < 0 && !through {
		t.Fatal("broken by who had closed")
	}
	hs[0].Segment().CheckPeers()
	if hs[0].Broken() {
		check(hs[0].Reset())
	}
	goThrough(t, hs)
}

// Who is killed while resetting or aborting has done so, and then who waits is
// told, or has not.
func killedBreaking(how string, again func(*lock.Barrier) error) func(testing.TB, *shmtest.Point) {
	return func(t testing.TB, p *shmtest.Point) {
		if how == "reset" && thinned(p, 3) { // most of them those of looking for the dead
			return
		}
		hs, file := trio(t)
		waiting := arrive(t, bg, hs[0])
		p.Kill(shmtest.Command(t, "kill-barrier", file, how))
		if hs[1].Waiting() > 0 {
			if p.K < 0 {
				t.Fatal("nothing came of it")
			}
			check(again(hs[1]))
		}
		wantBroken(t, "Wait", got(t, waiting), false)
		check(hs[1].Abort())
		check(hs[1].Reset())
		goThrough(t, hs)
	}
}

// Who is stopped at a barrier is waited for, and not taken for dead.
func stoppedAtBarrier(t testing.TB, p *shmtest.Point) {
	if thinned(p, 10) {
		return
	}
	hs, file := trio(t)
	stop := make(chan struct{})
	outs := survivors(hs, stop, func() bool { return hs[0].Waiting() > 0 })
	c := shmtest.Command(t, "kill-barrier", file, "first")
	p.Stop(c)
	close(stop)
	shortly(t, func() bool { return hs[0].Waiting() >= 2 || len(outs[0])+len(outs[1]) == 2 }, "the others arrive")
	wantAllAlive(t, hs[0].Segment(), 4)
	if hs[0].Broken() {
		t.Fatal("broken by one that is stopped")
	}
	c.Cont()
	for _, out := range outs {
		wantErr(t, "Wait", got(t, out), nil)
	}
	c.Hang()
	if code := c.Wait(); code != 0 {
		t.Fatalf("the child ended with code %d", code)
	}
}
