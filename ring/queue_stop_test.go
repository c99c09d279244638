//go:build linux

package ring_test

import (
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-ipc/sluice/internal/shmtest"
	"github.com/sluice-ipc/sluice/ring"
)

func init() {
	acts["release more"] = actReleaseMore
	roles["half taker"] = halfTaker
}

// actReleaseMore takes and gives back a letter, and then another one, and tells
// which that was.
func actReleaseMore(name string) func() {
	q := openMail[small](name)
	n := 0
	take := func() {
		m := must(q.Take(bg))
		n = int(ring.WordsOfBytes(m.Bytes())[0] / lettersApart)
		check(m.Release())
	}
	take()
	told = func() any { return n }
	return take
}

// halfTaker takes a letter as far as it is not its own yet, and stays.
func halfTaker(args []string) int {
	ring.HalfTake(openMail[small](args[0]))
	shmtest.Say("taken")
	shmtest.Hear()
	return 0
}

// A rate counts messages and the time they took.
type rate struct{ n, ns atomic.Int64 }

// exchange puts n letters through one handle and gets them through another.
func (r *rate) exchange(t testing.TB, from, to *ring.Queue[small], n int) (others []int) {
	t.Helper()
	start := time.Now()
	for i := range n {
		if err := from.TryPut(write[small](1000 + i)); err != nil {
			t.Fatalf("put into a queue that is not full: %v\n%s", err, ring.ChunkStates(to))
		}
		for {
			v, err := to.TryGet()
			if err != nil {
				t.Fatalf("letter %d does not come: %v\n%s", 1000+i, err, ring.ChunkStates(to))
			}
			if got := read(t, v); got == 1000+i {
				break
			} else {
				others = append(others, got)
			}
		}
	}
	r.n.Add(int64(n))
	r.ns.Add(time.Since(start).Nanoseconds())
	return others
}

// perSecond is how many messages went through in a second.
func (r *rate) perSecond() float64 {
	return float64(r.n.Load()) / time.Duration(max(1, r.ns.Load())).Seconds()
}

// A participant that is stopped at any instruction of put, get, free and repair,
// alone or beside one that died, keeps nobody from putting and getting, nor from
// joining; and goes on where it was.
func TestStoppedPeer(t *testing.T) {
	for _, k := range []struct {
		act      string
		every    int // of the points of the act
		gets     bool
		capacity int
	}{
		{"put more", 1, false, 8},
		{"get more", 1, true, 5},
		{"release more", 2, true, 5},
		{"reap more", 16, false, 5},
	} {
		t.Run(k.act, func(t *testing.T) {
			s := stopping{act: k.act, gets: k.gets, capacity: k.capacity}
			n := shmtest.EveryPoint(t, k.act, func(t testing.TB, p *shmtest.Point) {
				if !thinned(p, k.every) {
					s.at(t, p.Stop, p.K/k.every%2 == 1)
				}
			})
			atLeast(t, 60, n)
			t.Logf("beside one stopped in %q %.0f messages/s, without it %.0f; %d killed with its letter",
				k.act, s.beside.perSecond(), s.without.perSecond(), s.robbed.Load())
			if k.gets && s.robbed.Load() == 0 {
				t.Error("nobody was killed with a letter that the stopped one announced")
			}
		})
	}
}

// stopping is one act of TestStoppedPeer.
type stopping struct {
	act             string
	gets            bool // the act takes a letter, and has taken one before
	capacity        int
	beside, without rate
	robbed          atomic.Int64
}

// exchanged is how many messages go past a stopped one.
const exchanged = 100

// at has a child stopped in the middle of the act, beside a dead one if that is to
// be.
func (s *stopping) at(t testing.TB, stop func(*shmtest.Child), dead bool) {
	o := ring.QueueOptions{Capacity: s.capacity}
	o.Segment.MaxParticipants = 5
	q, name := newMail[small](t, o, 1<<40-110)
	s.without.exchange(t, q, q, exchanged)
	want := []int{0, 1, 2, 3}
	for _, i := range want {
		check(q.TryPut(write[small](i)))
	}
	args := []string{s.act, name}
	if dead {
		args = append(args, "beside a dead one")
	}
	c := shmtest.Command(t, "mail", args...)
	stop(c)
	if !dead && ring.Announced(q) {
		s.rob(t, name)
	}
	late := openMail[small](name) // joins late, and puts at once
	check(late.TryPut(write[small](20)))
	got := s.beside.exchange(t, late, q, exchanged)
	check(late.Close())
	check(q.TryPut(write[small](4))) // should there be nothing else for it
	line := goesOn(t, q, c)
	got = append(got, numbers(collect(t, q))...)
	want = append(want, 4, 20)
	if s.act == "put more" {
		want = append(want, 10, 11)
	}
	if s.gets {
		got = append(got, 0, atoi(t, line))
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Fatalf("%v came, want %v (it said %q)", got, want, line)
	}
	settled(t, q)
	rounds(t, q)
}

// rob has another one take the next letter, which may be the one that the stopped
// child was about to take, and die before it is its own.
func (s *stopping) rob(t testing.TB, name string) {
	t.Helper()
	c := shmtest.Start(t, "half taker", name)
	c.Expect("taken")
	c.Kill()
	s.robbed.Add(1)
}
