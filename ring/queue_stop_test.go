//go:build linux

package ring_test

import (
	"io"
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
	roles["half looker"] = halfLooker
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

// halfLooker announces a letter, and stays.
func halfLooker(args []string) int {
	ring.HalfLook(openMail[small](args[0]))
	shmtest.Say("announced")
	shmtest.Hear()
	return 0
}

// Where a repair is put off, because somebody stopped may have the letter, a
// consumer at the end of a closed queue sleeps, and gets what comes of it.
func TestEndWaitsForARepairThatIsPutOff(t *testing.T) {
	q, name := newMail[small](t, ring.QueueOptions{Spin: ring.SpinNever}, 0)
	check(q.Put(bg, write[small](1)))
	looker := shmtest.Start(t, "half looker", name)
	looker.Expect("announced")
	taker := shmtest.Start(t, "half taker", name)
	taker.Expect("taken")
	check(q.CloseSend())
	taker.Kill()
	q.Segment().CheckPeers() // and now it is known
	letters := make(chan int, 1)
	end := blocked(func() error {
		for v, err := range q.All(bg) {
			if err != nil {
				return err
			}
			letters <- read(t, v)
		}
		return nil
	})
	shmtest.Eventually(t, func() bool { return q.Stats().ConsumersWaiting > 0 }, "the consumer sleeps")
	looker.Kill()
	if n := <-letters; n != 1 {
		t.Errorf("letter %d", n)
	}
	check(<-end)
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
	for _, s := range stoppings() {
		t.Run(s.act, func(t *testing.T) {
			n := shmtest.EveryPoint(t, s.act, func(t testing.TB, p *shmtest.Point) {
				if !thinned(p, s.every) {
					s.at(t, p.Stop, s.death(p.K/s.every))
				}
			})
			atLeast(t, 60, n)
			t.Logf("beside one stopped in %q %.0f messages/s, without it %.0f; %d killed with its letter",
				s.act, s.beside.perSecond(), s.without.perSecond(), s.robbed.Load())
			if s.gets && s.robbed.Load() == 0 && shmtest.AllPoints(t) {
				t.Error("nobody was killed with a letter that the stopped one announced")
			}
		})
	}
}

// stopping is one act of TestStoppedPeer.
type stopping struct {
	act             string
	every           int  // of the points of the act
	gets            bool // the act takes a letter, and has taken one before
	capacity        int
	beside, without rate
	robbed          atomic.Int64
}

func stoppings() []*stopping {
	return []*stopping{
		{act: "put more", every: 1, capacity: 8},
		{act: "get more", every: 1, gets: true, capacity: 5},
		{act: "release more", every: 2, gets: true, capacity: 5},
		{act: "reap more", every: 16, capacity: 5},
	}
}

// exchanged is how many messages go past a stopped one.
const exchanged = 100

// death is of what somebody has died beside the i-th child: of nothing, mostly.
func (s *stopping) death(i int) string {
	switch {
	case i%4 == 1:
		return "in pair"
	case i%4 == 3 && s.gets:
		return "looking"
	}
	return ""
}

// at has a child stopped in the middle of the act, beside one that has died of
// something, if that is not empty.
func (s *stopping) at(t testing.TB, stop func(*shmtest.Child), dead string) {
	q, name := s.mail(t)
	want := []int{0, 1, 2, 3}
	args := []string{s.act, name}
	if dead != "" {
		args = append(args, dead)
	}
	c := shmtest.Command(t, "mail", args...)
	stop(c)
	if dead == "" && ring.Announced(q) {
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

// mail makes a queue with four letters in it, near the wrap.
func (s *stopping) mail(t testing.TB) (*ring.Queue[small], string) {
	t.Helper()
	o := ring.QueueOptions{Capacity: s.capacity}
	o.Segment.MaxParticipants = 5
	q, name := newMail[small](t, o, 1<<40-exchanged-10)
	s.without.exchange(t, q, q, exchanged)
	for i := range 4 {
		check(q.TryPut(write[small](i)))
	}
	return q, name
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

// A death that nobody has noticed yet does not hide a letter behind the end.
func TestEndBesideADeath(t *testing.T) {
	q, name := newMail[small](t, ring.QueueOptions{}, nearWrap)
	check(q.TryPut(write[small](0)))
	c := shmtest.Start(t, "half taker", name)
	c.Expect("taken")
	check(q.CloseSend())
	c.Kill()
	exactly(t, collect(t, q), delivery{0, 1})
	if _, err := q.TryGet(); err != io.EOF {
		t.Fatalf("at the end: %v", err)
	}
	settled(t, q)
}
