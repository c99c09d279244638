//go:build linux

package lock_test

import (
	"context"
	"testing"

	"github.com/sluice-ipc/sluice/internal/shmtest"
	"github.com/sluice-ipc/sluice/shm"
	"github.com/sluice-ipc/sluice/shm/lock"
)

func init() {
	roles["sem-act"] = semAct
	killings = append(killings,
		killing{"semaphore, acquire", 60, killedHolder("acquire", 1)},
		killing{"semaphore, try to acquire", 60, killedHolder("try to acquire", 1)},
		killing{"semaphore, inherit", 80, killedHolder("inherit", 1)},
		killing{"semaphore, consume", 60, killedSignal("consume", -1)},
		killing{"semaphore, signal", 60, killedSignal("signal", 1)},
		killing{"semaphore, wait in vain", 200, killedPermitInVain},
		killing{"semaphore, wait", 200, killedPermitWait},
		killing{"semaphore, release beside a waiter", 40, killedAtRelease},
		killing{"semaphore, stopped holder", 60, stoppedHolder},
	)
}

// semActs are what a child does at an instruction of which it is killed. Each
// prepares it and returns it.
var semActs = map[string]func(s *lock.Semaphore) func(){
	"acquire": func(s *lock.Semaphore) func() {
		return func() { check(s.Acquire(bg)); check(s.Release()) }
	},
	"try to acquire": func(s *lock.Semaphore) func() {
		return func() {
			if !must(s.TryAcquire()) {
				panic("there is none")
			}
			check(s.Release())
		}
	},
	"inherit": func(s *lock.Semaphore) func() {
		for i := range s.Max() {
			s.Cell(i).Store(gone)
		}
		return func() { check(s.Acquire(bg)); check(s.Release()) }
	},
	"consume": func(s *lock.Semaphore) func() {
		return func() { check(s.Consume(bg)) }
	},
	"signal": func(s *lock.Semaphore) func() {
		return func() { check(s.Release()) }
	},
	"wait in vain": func(s *lock.Semaphore) func() {
		return warmSem(s, func() { same(s.RawAcquire(soon{bg}), context.DeadlineExceeded) })
	},
	"wait": func(s *lock.Semaphore) func() {
		warmSem(s, func() { same(s.RawAcquire(soon{bg}), context.DeadlineExceeded) })
		return func() { check(s.Acquire(bg)); check(s.Release()) }
	},
	"release": func(s *lock.Semaphore) func() {
		for range s.Max() {
			check(s.Acquire(bg))
		}
		s.Bytes()[ready] = 1
		until(nil, func() bool { return s.Event().Load()&1 != 0 })
		return func() { check(s.Release()) }
	},
}

// warmSem does an act once, so that what is made once for all is made now, and
// returns it.
func warmSem(s *lock.Semaphore, act func()) func() {
	act()
	s.Event().And(^uint32(1))
	s.Asked().Store(0)
	s.Bytes()[ready] = 1
	return act
}

func semAct(args []string) int {
	s := must(lock.Open[lock.Semaphore](args[1], nil))
	s.NoSpin()
	act := semActs[args[0]](s)
	around(act)
	shmtest.Say("%v", told())
	shmtest.Hear()
	return 0
}

// allThere checks that so many permits can be had, no more, and given back.
func allThere(t testing.TB, n int, h ...*lock.Semaphore) {
	t.Helper()
	for _, s := range h {
		for range n { // also those of one whose death nobody has noticed
			wantErr(t, "Acquire", s.Acquire(within(t)), nil)
		}
		for _, other := range h {
			tryAcquire(t, other, false, nil)
		}
		for range n {
			check(s.Release())
		}
	}
	wantPermits(t, n, h...)
}

// killedHolder is for one that dies of taking a permit or giving it back.
func killedHolder(act string, every int) func(testing.TB, *shmtest.Point) {
	return func(t testing.TB, p *shmtest.Point) {
		if thinned(p, every) {
			return
		}
		h, file := newSem(t, 2, 3, 0)
		p.Kill(shmtest.Command(t, "sem-act", act, file))
		if p.K%2 == 0 { // a look that finds nobody dead before
			for range 3 {
				tryAcquire(t, h[0], true, nil)
			}
			for range 3 {
				check(h[0].Release())
			}
		}
		allThere(t, 3, h...)
		wantErr(t, "Release", h[0].Release(), lock.ErrOverRelease)
	}
}

// killedSignal is for one that dies of taking a permit for good, or of making
// one: there is one less, or more, or not.
func killedSignal(act string, change int) func(testing.TB, *shmtest.Point) {
	return func(t testing.TB, p *shmtest.Point) {
		h, file := newSem(t, 2, 2, 4)
		p.Kill(shmtest.Command(t, "sem-act", act, file))
		n := h[0].Value()
		if n != 2 && n != 2+change || p.K < 0 && n == 2 || p.K == 0 && n != 2 {
			t.Fatalf("%d permits", n)
		}
		allThere(t, n, h...)
		for ; n < 4; n++ {
			check(h[n%2].Release())
		}
		wantErr(t, "Release", h[0].Release(), lock.ErrOverRelease)
		allThere(t, 4, h...)
	}
}

// killedPermitInVain is for one that dies of waiting, or of giving that up,
// beside another that waits.
func killedPermitInVain(t testing.TB, p *shmtest.Point) {
	if thinned(p, 23) {
		return
	}
	h, file := newSem(t, 2, 1, 0)
	a, b := h[0], h[1]
	check(a.Acquire(bg))
	p.Kill(shmtest.Command(t, "sem-act", "wait in vain", file))
	tryAcquire(t, b, false, nil)
	out := make(chan error, 1)
	go func() { out <- b.Acquire(within(t)) }()
	check(a.Release())
	wantErr(t, "Acquire", got(t, out), nil)
	check(b.Release())
	allThere(t, 1, h...)
}

// killedPermitWait is for one that dies when the permit that it waits for comes.
func killedPermitWait(t testing.TB, p *shmtest.Point) {
	if thinned(p, 19) {
		return
	}
	h, file := newSem(t, 2, 1, 0)
	a, b := h[0], h[1]
	check(a.Acquire(bg))
	stop, over := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(over)
		until(stop, func() bool {
			return a.Bytes()[ready] == 1 && a.Event().Load()&1 != 0 && sleeper(a.Segment())
		})
		check(a.Release())
	}()
	p.Kill(shmtest.Command(t, "sem-act", "wait", file))
	close(stop)
	<-over
	wantErr(t, "Acquire", b.Acquire(within(t)), nil)
	check(b.Release())
	allThere(t, 1, h...)
}

// killedAtRelease is for one that dies of giving back one of its permits, which
// others wait for. They all come back, and wake whoever waits.
func killedAtRelease(t testing.TB, p *shmtest.Point) {
	h, file := newSem(t, 2, 2, 0)
	a, b := h[0], h[1]
	out := make(chan error, 2)
	go func() {
		until(nil, func() bool { return a.Bytes()[ready] == 1 })
		go func() { out <- a.Acquire(within(t)) }()
		out <- b.Acquire(within(t))
	}()
	p.Kill(shmtest.Command(t, "sem-act", "release", file))
	wantErr(t, "Acquire", got(t, out), nil)
	wantErr(t, "Acquire", got(t, out), nil)
	check(a.Release())
	check(b.Release())
	allThere(t, 2, h...)
}

// stoppedHolder is for one that is stopped: it keeps what it has, and goes on.
func stoppedHolder(t testing.TB, p *shmtest.Point) {
	if thinned(p, 8) {
		return
	}
	h, file := newSem(t, 2, 1, 0)
	c := shmtest.Command(t, "sem-act", "acquire", file)
	p.Stop(c)
	held := h[0].Value() == 0
	for _, s := range h {
		s.Segment().CheckPeers()
		if ok := must(s.TryAcquire()); ok == held {
			t.Fatalf("TryAcquire = %v, of what is held: %v", ok, held)
		} else if ok {
			check(s.Release())
		}
	}
	for _, q := range h[0].Segment().Participants() {
		if q.State != shm.Active {
			t.Fatalf("%v is %v while it is stopped", q.ID, q.State)
		}
	}
	c.Cont()
	c.Expect("done")
	allThere(t, 1, h...)
	c.Exit()
}
