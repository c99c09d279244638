//go:build linux

package lock_test

import (
	"encoding/binary"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/sluice-ipc/sluice/internal/race"
	"github.com/sluice-ipc/sluice/internal/shmtest"
	"github.com/sluice-ipc/sluice/shm"
	"github.com/sluice-ipc/sluice/shm/lock"
)

func init() { roles["greedy"] = greedy }

// greedy takes the lock again and again, from some goroutines, until there have
// been so many turns of everybody, and says how many it had. It keeps the lock
// for most of the time, so that nobody comes by when it is free. Turns count once
// all processes are there.
func greedy(args []string) int {
	s := must(shm.Open(args[0], nil))
	turns, gs, work := must(strconv.ParseUint(args[1], 10, 64)), must(strconv.Atoi(args[2])), must(strconv.Atoi(args[3]))
	m := must(lock.At[lock.Mutex](s, 0, nil))
	if args[4] == "sleeping" {
		m.NoSpin()
	}
	check(m.With(bg, func() error { s.Data()[136]++; return nil }))
	all := byte(must(strconv.Atoi(args[5])))
	var wg sync.WaitGroup
	mine, scratch := 0, make([]byte, 8)
	for range gs {
		wg.Go(func() {
			for done := false; !done; {
				check(m.Lock(bg))
				done = binary.LittleEndian.Uint64(s.Data()[128:]) >= turns
				if !done && s.Data()[136] == all {
					increment(s.Data()[128:])
					mine++
					for range work {
						increment(scratch)
					}
				}
				check(m.Unlock())
			}
		})
	}
	wg.Wait()
	shmtest.Say("%d", mine)
	return 0
}

// Nobody starves: of the turns, each process gets a share that is not much
// smaller than among equals, however fast the others come back.
func TestNobodyStarves(t *testing.T) {
	for _, c := range []struct {
		what        string
		turns, work int
		goroutines  []int   // of each process
		least       float64 // percent
	}{
		{"two processes, spinning", 2_000_000, 0, []int{1, 1}, 10},
		{"two processes, sleeping", 30_000, 10_000, []int{1, 1}, 10},
		{"three processes, sleeping", 30_000, 10_000, []int{1, 1, 1}, 6},
		{"one goroutine beside several, spinning", 2_000_000, 0, []int{1, 2, 2}, 2},
		{"one goroutine beside several, sleeping", 30_000, 10_000, []int{1, 2}, 5},
	} {
		t.Run(c.what, func(t *testing.T) {
			turns, work := c.turns, c.work
			if race.Enabled || os.Getenv("SLUICE_EMULATED") == "1" {
				turns, work = turns/10, work/5 // they take longer
			}
			_, how, _ := strings.Cut(c.what, ", ")
			// A busy machine can starve a process for as long as this takes. A
			// lock that starves one does so always.
			for range 5 {
				shares := sharesOf(t, turns, work, c.goroutines, how)
				t.Logf("of %d turns, in percent: %.1f", turns, shares)
				if slices.Min(shares) >= c.least {
					return
				}
			}
			t.Errorf("somebody starves")
		})
	}
}

// sharesOf has greedy processes of so many goroutines each take turns, and returns
// how much of them each had, in percent.
func sharesOf(t *testing.T, turns, work int, goroutines []int, how string) (shares []float64) {
	s, file := field(t)
	var cs []*shmtest.Child
	for _, n := range goroutines {
		cs = append(cs, shmtest.Start(t, "greedy", file, strconv.Itoa(turns), strconv.Itoa(n),
			strconv.Itoa(work), how, strconv.Itoa(len(goroutines))))
	}
	for _, c := range cs {
		shares = append(shares, 100*float64(must(strconv.Atoi(c.Line())))/float64(turns))
	}
	if n := binary.LittleEndian.Uint64(s.Data()[128:]); n != uint64(turns) {
		t.Errorf("%d turns, want %d", n, turns)
	}
	return shares
}

// Who has waited for long asks for the lock, also if it is held whenever somebody
// looks.
func TestWhoWaitsForLongAsks(t *testing.T) {
	m, file := newMutex(t)
	other := another(t, file)
	check(m.Lock(bg))
	waiting := asleep(t, func() error { return other.Lock(bg) })
	shmtest.Eventually(t, func() bool { return m.Word().Load()&lock.Starving != 0 }, "it asks")
	if m.Holder() != m.Segment().ID() {
		t.Errorf("held by %v", m.Holder())
	}
	check(m.Unlock())
	wantErr(t, "Lock", got(t, waiting), nil)
	if v := m.Word().Load(); v != uint64(other.Segment().ID()) {
		t.Errorf("the word is %#x: nobody waits any more", v)
	}
	check(other.Unlock())
}

// A lock that somebody has asked for is not a newcomer's at once; but it is in
// the end, since who asked may have died or given up.
func TestNewcomersGiveWay(t *testing.T) {
	m, _ := newMutex(t)
	m.Word().Store(lock.Starving)
	if ok, err := m.TryAsNewcomer(); ok || err != nil {
		t.Fatalf("a newcomer gets it: %v, %v", ok, err)
	}
	check(m.Lock(bg))
	if v := m.Word().Load(); v != uint64(m.Segment().ID()) {
		t.Errorf("the word is %#x", v)
	}
	check(m.Unlock())
	m.Word().Store(lock.Starving) // as left by one that died
	if ok, err := m.TryLock(); !ok || err != nil {
		t.Errorf("TryLock = %v, %v", ok, err)
	}
	m.Word().Or(lock.Starving)
	check(m.Unlock())
	if v := m.Word().Load(); v != lock.Starving {
		t.Errorf("the word is %#x: who asked is forgotten", v)
	}
}

// One that waits and is stopped, or killed, after it has asked delays nobody for
// ever.
func TestWhoAskedIsGone(t *testing.T) {
	m, file := newMutex(t)
	other := another(t, file)
	c, _ := obedient(t, file)
	check(m.Lock(bg))
	c.Send("lock")
	shmtest.Eventually(t, func() bool { return m.Word().Load()&lock.Starving != 0 }, "it asks")
	c.Stop()
	check(m.Unlock())
	for range 100 {
		check(other.Lock(bg))
		check(other.Unlock())
		check(m.Lock(bg))
		check(m.Unlock())
	}
	check(m.Lock(bg))
	waiting := asleep(t, func() error { return other.Lock(bg) })
	check(m.Unlock()) // may wake the one that is stopped, and then the tick helps
	wantErr(t, "Lock beside one that is stopped", got(t, waiting), nil)
	check(other.Unlock())
	c.Cont()
	c.Expect("ok")
	do(t, c, "unlock", "ok")

	check(m.Lock(bg))
	c.Send("lock")
	shmtest.Eventually(t, func() bool { return m.Word().Load()&lock.Starving != 0 }, "it asks")
	c.Kill()
	check(m.Unlock())
	wantErr(t, "Lock beside one that is dead", other.Lock(bg), nil)
	check(other.Unlock())
}
