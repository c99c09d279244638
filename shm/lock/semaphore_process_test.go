//go:build linux

package lock_test

import (
	"fmt"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/sluice-ipc/sluice/internal/mem"
	"github.com/sluice-ipc/sluice/internal/shmtest"
	"github.com/sluice-ipc/sluice/shm"
	"github.com/sluice-ipc/sluice/shm/lock"
)

func init() {
	roles["sem-crowd"] = semCrowd
	roles["sem-hold"] = semHold
}

// A pool is a semaphore in front of a counter of turns.
type pool struct {
	*lock.Semaphore
	turns *atomic.Int64
}

const poolPermits = 3

func openPool(s *shm.Segment) pool {
	o := &lock.Options{Permits: poolPermits}
	size := must(lock.Size[lock.Semaphore](s.Slots(), o))
	return pool{must(lock.At[lock.Semaphore](s, 0, o)), mem.At[atomic.Int64](s.Data(), int(size))}
}

func newPool(t testing.TB, handles int) (all []pool, file string) {
	t.Helper()
	file = fresh(t)
	for range handles {
		s := must(shm.OpenOrCreate(file, &shm.Options{Size: 4096, MaxParticipants: 8}))
		t.Cleanup(func() { s.Close() })
		all = append(all, openPool(s))
	}
	return all, file
}

// semCrowd takes permits and gives them back, up to all of them at a time.
func semCrowd(args []string) int {
	p := openPool(must(shm.Open(args[0], nil)))
	shmtest.Say("ready")
	for i := range must(strconv.Atoi(args[1])) {
		check(p.Acquire(bg))
		n := 1
		for n < i%poolPermits+1 && must(p.TryAcquire()) {
			n++
		}
		p.turns.Add(1)
		for range n {
			check(p.Release())
		}
	}
	shmtest.Say("done")
	shmtest.Hear()
	return 0
}

// semHold takes so many permits, and holds them until it is told to go on.
func semHold(args []string) int {
	p := openPool(must(shm.Open(args[0], nil)))
	for range must(strconv.Atoi(args[1])) {
		check(p.Acquire(bg))
	}
	shmtest.Say("%d", p.Segment().ID())
	shmtest.Hear()
	for p.Held() > 0 {
		check(p.Release())
	}
	shmtest.Say("done")
	shmtest.Hear()
	return 0
}

// all checks that all permits can be had and given back.
func (p pool) all(t testing.TB) {
	t.Helper()
	for range poolPermits {
		wantErr(t, "Acquire", p.Acquire(within(t)), nil)
	}
	tryAcquire(t, p.Semaphore, false, nil)
	for range poolPermits {
		check(p.Release())
	}
	wantErr(t, "Release", p.Release(), lock.ErrOverRelease)
	wantPermits(t, poolPermits, p.Semaphore)
}

// Processes that take permits and die lose none and hold nobody up.
func TestProcessesTakePermitsAndDie(t *testing.T) {
	h, file := newPool(t, 1)
	p := h[0]
	deaths := 60
	if shorten(10) == 1 {
		deaths = 10
	}
	start := func() *shmtest.Child {
		c := shmtest.Start(t, "sem-crowd", file, "1000000000")
		c.Expect("ready")
		return c
	}
	all := []*shmtest.Child{start(), start(), start()}
	for i := range deaths {
		before := p.turns.Load()
		shmtest.Eventually(t, func() bool { return p.turns.Load() > before+20 }, "they go on")
		all[i%3].Kill()
		wantErr(t, "Acquire", p.Acquire(within(t)), nil)
		check(p.Release())
		all[i%3] = start()
	}
	for _, c := range all {
		c.Kill()
	}
	p.all(t)
}

// A process among others that do nothing but take permits gets one, again and
// again; and so do they.
func TestPermitsAreFair(t *testing.T) {
	h, file := newPool(t, 1)
	var all []*shmtest.Child
	for range 5 {
		c := shmtest.Start(t, "sem-crowd", file, "1000000000")
		c.Expect("ready")
		all = append(all, c)
	}
	for range shorten(1000) {
		wantErr(t, "Acquire", h[0].Acquire(within(t)), nil)
		check(h[0].Release())
	}
	for _, c := range all {
		c.Kill()
	}
	h[0].all(t)
}

// The permits of one that dies are free, and those of a stopped one are not.
func TestHolderDiesOrStops(t *testing.T) {
	bothSensors(t, func(t *testing.T) {
		h, file := newPool(t, 2)
		a, b := h[0], h[1]
		c, id := holder(t, "sem-hold", file, "2")
		check(a.Acquire(bg))
		c.Stop()
		for range 20 {
			a.Segment().CheckPeers()
		}
		tryAcquire(t, b.Semaphore, false, nil)
		one := asleep(t, func() error { return a.Acquire(within(t)) })
		two := asleep(t, func() error { return b.Acquire(within(t)) })
		if a.Segment().Gone(id) {
			t.Fatal("the stopped one is gone")
		}
		c.Kill()
		wantErr(t, "Acquire under the holder's death", got(t, one), nil)
		wantErr(t, "Acquire under the holder's death", got(t, two), nil)
		tryAcquire(t, b.Semaphore, false, nil)
		check(a.Release())
		check(a.Release())
		check(b.Release())
		a.all(t)
		b.all(t)
	})
	t.Run("first attempt", func(t *testing.T) {
		h, file := newPool(t, 1)
		c, _ := holder(t, "sem-hold", file, "3")
		tryAcquire(t, h[0].Semaphore, false, nil)
		c.Kill()
		tryAcquire(t, h[0].Semaphore, true, nil)
		check(h[0].Release())
		h[0].all(t)
	})
	t.Run("stopped and continued", func(t *testing.T) {
		h, file := newPool(t, 1)
		c, _ := holder(t, "sem-hold", file, fmt.Sprint(poolPermits))
		c.Stop()
		waiting := asleep(t, func() error { return h[0].Acquire(within(t)) })
		c.Cont()
		c.Send("go on")
		c.Expect("done")
		wantErr(t, "Acquire", got(t, waiting), nil)
		check(h[0].Release())
		c.Exit()
		h[0].all(t)
	})
}
