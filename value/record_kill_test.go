//go:build linux

package value_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-ipc/sluice/internal/mem"
	"github.com/sluice-ipc/sluice/internal/shmtest"
	"github.com/sluice-ipc/sluice/shm/lock"
	"github.com/sluice-ipc/sluice/value"
)

// recordActs are what children do that are killed or stopped in the middle: each
// gets handles, does once what comes then, and returns it.
var recordActs = map[string]func(r *value.Record[trio]) func(){
	"store": func(r *value.Record[trio]) func() {
		return func() { check(r.Store(bg, trioOf(2))) }
	},
	"update": func(r *value.Record[trio]) func() {
		next := func(v trio) trio { return trioOf(v.A + 1) }
		return func() { must(r.Update(bg, next)) }
	},
	"with": func(r *value.Record[trio]) func() {
		next := func(v *trio) error { *v = trioOf(v.A + 1); return nil }
		return func() { check(r.With(bg, next)) }
	},
	"apply": func(r *value.Record[trio]) func() {
		next := func(v *trio) error { *v = trioOf(v.A + 1); return nil }
		return func() {
			check(r.Mutex().Lock(bg))
			check(r.Apply(next))
			check(r.Mutex().Unlock())
		}
	},
	"be told": func(r *value.Record[trio]) func() {
		dieHolding(r)
		if err := r.Mutex().Lock(bg); !errors.Is(err, lock.ErrOwnerDied) {
			panic(err)
		}
		return func() { check(value.Hand(r)) }
	},
	"load": func(r *value.Record[trio]) func() {
		return func() { r.Load() }
	},
	"ask": func(r *value.Record[trio]) func() {
		return func() { value.Ask(r) }
	},
	"wait": func(r *value.Record[trio]) func() {
		value.NeverSpin(r)
		ctx, cancel := context.WithTimeout(bg, time.Millisecond)
		defer cancel()
		r.Wait(ctx, 1) // what is done once, as to begin to watch peers, is done
		value.Wake(r)  // takes the flag down
		hungry(r).Store(waitingNow)
		return func() { must(r.Wait(bg, 1)) }
	},
}

func init() {
	roles["record-act"] = func(args []string) int {
		var o value.Options
		if len(args) > 2 {
			o.Lock = must(lock.Open[lock.Mutex](args[2], nil))
		}
		r := must(value.OpenRecord[trio](args[1], &o))
		r.Load()
		act := recordActs[args[0]](r)
		shmtest.Trace(act)
		shmtest.Say("done")
		shmtest.Hear()
		return 0
	}
	kills["record"] = killRecord
}

// newTrio makes a record of value 1, which is version 1.
func newTrio(t testing.TB, o *value.Options) (*value.Record[trio], string) {
	t.Helper()
	name := fresh(t)
	r := must(value.CreateRecord(name, trioOf(0), o))
	t.Cleanup(func() { r.Close() })
	check(r.Store(bg, trioOf(1)))
	return r, name
}

// state returns which value r has, and checks that it is that of its version.
func state(t testing.TB, r *value.Record[trio]) uint64 {
	t.Helper()
	v, k := r.LoadVersion()
	if n := v.num(t); n != k {
		t.Fatalf("value %d is version %d", n, k)
	}
	return k
}

func killRecord(t *testing.T) {
	for act, every := range map[string]int{"store": 1, "update": 1, "with": 1, "apply": 3} {
		t.Run(act, func(t *testing.T) {
			var told, held atomic.Int64
			atLeast(t, 100, shmtest.EveryPoint(t, act, func(t testing.TB, p *shmtest.Point) {
				if !thinned(p, every) {
					killedChanger(t, p, act, &told, &held)
				}
			}))
			t.Logf("ErrOwnerDied %d times, of the lock held %d times", told.Load(), held.Load())
			if told.Load() == 0 && !t.Failed() && shmtest.AllPoints(t) {
				t.Error("nobody died with the lock: the test shows nothing")
			}
		})
	}
	t.Run("store under a shared lock", func(t *testing.T) {
		atLeast(t, 100, shmtest.EveryPoint(t, "store", killedSharer))
	})
	t.Run("being told", func(t *testing.T) {
		atLeast(t, 50, shmtest.EveryPoint(t, "be told", killedHeir))
	})
	t.Run("load", func(t *testing.T) {
		atLeast(t, 20, shmtest.EveryPoint(t, "load", killedReader("load")))
	})
	t.Run("ask", func(t *testing.T) {
		atLeast(t, 20, shmtest.EveryPoint(t, "ask", killedReader("ask")))
	})
	t.Run("wait", func(t *testing.T) {
		way := shmtest.Record(t, "wait", killedWaiter)
		some := 11 // thousands of points: one in so many
		if testing.Short() {
			some *= 7
		}
		n := 0
		for k := 0; k < way.Len(); k += some {
			killedWaiter(t, way.Point(k))
			n++
		}
		t.Logf("wait: %d points of %d", n, way.Len())
		atLeast(t, 30, n)
	})
}

// killedChanger is the body for an act that makes version 2 of version 1.
func killedChanger(t testing.TB, p *shmtest.Point, act string, told, held *atomic.Int64) {
	r, name := newTrio(t, nil)
	p.Kill(shmtest.Command(t, "record-act", act, name))
	k := state(t, r)
	if k != 1 && k != 2 || p.K < 0 && k != 2 {
		t.Fatalf("the value is number %d", k)
	}
	left := r.Mutex().Holder() != 0
	err := r.Store(bg, trioOf(k+1))
	switch {
	case left && errors.Is(err, lock.ErrOwnerDied):
		told.Add(1)
		if state(t, r) != k {
			t.Fatal("a call that told of the death has changed something")
		}
		check(r.Store(bg, trioOf(k+1)))
	case left || err != nil:
		t.Fatalf("lock held by the dead one: %v; Store = %v", left, err)
	}
	if left {
		held.Add(1)
	}
	goOn(t, r, k+1)
}

// goOn checks that r, of version k, works for everybody.
func goOn(t testing.TB, r *value.Record[trio], k uint64) {
	t.Helper()
	other := must(value.OpenRecord[trio](r.Segment().Name(), nil))
	defer other.Close()
	for range 3 {
		for _, h := range []*value.Record[trio]{r, other} {
			if got := state(t, r); got != k {
				t.Fatalf("version %d, want %d", got, k)
			}
			v, err := h.Update(bg, func(v trio) trio { return trioOf(v.A + 1) })
			if err != nil || v.num(t) != k+1 {
				t.Fatalf("Update = %v, %v", v, err)
			}
			k++
		}
	}
}

// killedSharer is the body for a store under a lock that belongs to several
// objects: who comes then must not go on as if nothing had happened to the others.
func killedSharer(t testing.TB, p *shmtest.Point) {
	if thinned(p, 3) {
		return
	}
	lockName := fresh(t)
	m := must(lock.Create[lock.Mutex](lockName, nil))
	t.Cleanup(func() { m.Close() })
	r, name := newTrio(t, &value.Options{Lock: m})
	p.Kill(shmtest.Command(t, "record-act", "store", name, lockName))
	k := state(t, r)
	if k != 1 && k != 2 || p.K < 0 && k != 2 {
		t.Fatalf("the value is number %d", k)
	}
	if m.Holder() != 0 {
		for range 2 {
			if err := r.Store(bg, trioOf(k+1)); !errors.Is(err, lock.ErrInconsistent) {
				t.Fatalf("Store after a death = %v", err)
			}
			if _, err := r.Update(bg, func(v trio) trio { return v }); !errors.Is(err, lock.ErrInconsistent) {
				t.Fatalf("Update after a death = %v", err)
			}
		}
		if state(t, r) != k {
			t.Fatal("a call that told of the death has changed something")
		}
		if err := m.Lock(bg); !errors.Is(err, lock.ErrOwnerDied) {
			t.Fatalf("Lock after a death = %v", err)
		}
		check(m.MarkConsistent())
		check(m.Unlock())
	}
	check(r.Store(bg, trioOf(k+1)))
	if state(t, r) != k+1 {
		t.Fatal("the last value is another")
	}
}

// killedHeir is the body for one that has the lock of a dead one and dies before it
// could say so: then the next one is told, unless the lock was given up.
func killedHeir(t testing.TB, p *shmtest.Point) {
	if thinned(p, 3) {
		return
	}
	r, name := newTrio(t, nil)
	p.Kill(shmtest.Command(t, "record-act", "be told", name))
	left := r.Mutex().Holder() != 0
	if p.K < 0 && left {
		t.Fatal("still locked")
	}
	err := r.Store(bg, trioOf(2))
	if left != errors.Is(err, lock.ErrOwnerDied) || !left && err != nil {
		t.Fatalf("lock held: %v; Store = %v", left, err)
	}
	if left {
		check(r.Store(bg, trioOf(2)))
	}
	goOn(t, r, 2)
}

// dieHolding leaves the lock of r to a participant who is no more.
func dieHolding(r *value.Record[trio]) {
	other := must(value.OpenRecord[trio](r.Segment().Name(), nil))
	word := mem.Uint64(r.Segment().Data(), value.HeadSize+8)
	if !word.CompareAndSwap(0, uint64(other.Segment().ID())) || r.Mutex().Holder() != other.Segment().ID() {
		panic("this is not the word of the lock")
	}
	check(other.Close())
}

// killedReader is the body for acts that change nothing.
func killedReader(act string) func(t testing.TB, p *shmtest.Point) {
	return func(t testing.TB, p *shmtest.Point) {
		r, name := newTrio(t, nil)
		p.Kill(shmtest.Command(t, "record-act", act, name))
		goOn(t, r, 1)
		if h := hungry(r).Load(); h != 0 {
			t.Fatalf("after a few stores somebody still asks: %#x", h)
		}
	}
}

// waitingNow is what a child says in the word of hungry readers when it is about to wait.
const waitingNow = 1

func hungry(r *value.Record[trio]) *atomic.Uint64 {
	return mem.Uint64(r.Segment().Data(), value.HungryWord)
}

// killedWaiter is the body for one that waits for version 2, which comes when it
// sleeps. Another waiter beside it is not left behind.
func killedWaiter(t testing.TB, p *shmtest.Point) {
	r, name := newTrio(t, nil)
	var over atomic.Bool
	done := make(chan error, 1)
	go func() {
		asleep := mem.Uint32(r.Segment().Data(), value.EventWord)
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for (hungry(r).Load() != waitingNow || asleep.Load()&1 == 0) && !over.Load() {
			<-tick.C
		}
		done <- r.Store(bg, trioOf(2))
	}()
	p.Kill(shmtest.Command(t, "record-act", "wait", name))
	other := must(value.OpenRecord[trio](name, nil))
	defer other.Close()
	value.NeverSpin(other)
	waiting := make(chan error, 1)
	go func() {
		_, err := other.Wait(bg, 1)
		waiting <- err
	}()
	over.Store(true)
	check(<-done)
	check(<-waiting)
	goOn(t, r, 2)
}
