//go:build linux

package ring_test

import (
	"slices"
	"testing"

	"github.com/sluice-ipc/sluice/internal/shmtest"
	"github.com/sluice-ipc/sluice/ring"
)

func init() {
	acts["put more"] = actPutMore
	acts["get more"] = actGetMore
	acts["reap more"] = func(name string) func() {
		return actReap(func() *ring.Queue[small] { return openMail[small](name) }, dieInPair)
	}
}

// actPutMore puts letter 10, and then 11.
func actPutMore(name string) func() {
	q := openMail[small](name)
	check(q.Put(bg, write[small](10)))
	v := write[small](11)
	return func() { check(q.Put(bg, v)) }
}

// actGetMore gets a letter, and then another one, and tells which that was.
func actGetMore(name string) func() {
	q := openMail[small](name)
	must(q.Get(bg))
	var v small
	told = func() any { return wordsOf(&v)[0] / lettersApart }
	return func() { v = must(q.Get(bg)) }
}

// dieInPair leaves a letter that was complete and not put, and one that was taken
// and not yet held.
func dieInPair(q *ring.Queue[small]) {
	ring.HalfPut(q, make([]byte, 8))
	ring.HalfTake(q)
}

// A couple is an act that is killed at every point while another child stands at
// some point of an act of the same kind: a different one each time.
type couple struct {
	act, other string
	every      int // of the points of the act
	prepare    func(testing.TB) (q *ring.Queue[small], name string)
	judge      func(t testing.TB, q *ring.Queue[small], all bool, c *shmtest.Child)
}

var couples = []couple{
	{"put", "put more", 1, preparePair(0), judgePuts},
	{"get", "get more", 1, preparePair(4), judgeGets},
	{"reap more", "reap more", 8, preparePair(2), judgeReaps},
}

// preparePair makes a queue with n letters in it.
func preparePair(n int) func(testing.TB) (*ring.Queue[small], string) {
	return func(t testing.TB) (*ring.Queue[small], string) {
		o := ring.QueueOptions{Capacity: 5}
		o.Segment.MaxParticipants = 4
		q, name := newMail[small](t, o, 1<<40-4)
		for i := range n {
			check(q.TryPut(write[small](i)))
		}
		return q, name
	}
}

func killPair(t *testing.T, k couple) {
	other := shmtest.Record(t, k.other, func(t testing.TB, p *shmtest.Point) {
		_, name := k.prepare(t)
		p.Kill(shmtest.Command(t, "mail", k.other, name))
	})
	shmtest.EveryPoint(t, k.act+" beside "+k.other, func(t testing.TB, p *shmtest.Point) {
		if !thinned(p, k.every) {
			k.at(t, other.Point(max(p.K, 0)*7%other.Len()).Stop, p.Kill, p.K < 0)
		}
	})
}

// at has one child stopped and then the other one killed; all says whether that
// one's act was over by then.
func (k *couple) at(t testing.TB, stop, kill func(*shmtest.Child), all bool) {
	q, name := k.prepare(t)
	stopped := shmtest.Command(t, "mail", k.other, name)
	stop(stopped)
	kill(shmtest.Command(t, "mail", k.act, name))
	k.judge(t, q, all, stopped)
	settled(t, q)
	rounds(t, q)
}

// lives checks that the queue, which is not full, works beside whoever stands and
// whoever is dead, and returns what else came meanwhile.
func lives(t testing.TB, q *ring.Queue[small]) (got []int) {
	t.Helper()
	q.Segment().CheckPeers()
	for i := range 2 * q.Cap() {
		if err := q.TryPut(write[small](1000 + i)); err != nil {
			t.Fatalf("put into a queue that is not full: %v\n%s", err, ring.ChunkStates(q))
		}
		n := numbers(collect(t, q))
		if len(n) == 0 || n[len(n)-1] != 1000+i {
			t.Fatalf("%v came, want %d at the end", n, 1000+i)
		}
		got = append(got, n[:len(n)-1]...)
	}
	return got
}

// goesOn lets the stopped child finish and leave, and returns what it told.
func goesOn(t testing.TB, q *ring.Queue[small], c *shmtest.Child) string {
	t.Helper()
	c.Cont()
	line := c.Line()
	c.Exit()
	q.Segment().CheckPeers()
	return line
}

// judgePuts: letters 0 and 10 were put, 1 is the dead one's and comes or not, 11
// the stopped one's and comes now or later.
func judgePuts(t testing.TB, q *ring.Queue[small], all bool, c *shmtest.Child) {
	t.Helper()
	got := lives(t, q)
	goesOn(t, q, c)
	got = append(got, numbers(collect(t, q))...)
	of := func(from, to int) (n []int) {
		for _, i := range got {
			if from <= i && i < to {
				n = append(n, i)
			}
		}
		return n
	}
	dead := of(0, 10)
	if !slices.Equal(of(10, 20), []int{10, 11}) ||
		!slices.Equal(dead, []int{0, 1}) && (all || !slices.Equal(dead, []int{0})) {
		t.Fatalf("%v came (all was put: %v)", got, all)
	}
}

// judgeGets: letter 0 was had by the one that is stopped, and one more by the one
// that died. Each has got another, gets it in the end, or never: then it comes.
func judgeGets(t testing.TB, q *ring.Queue[small], all bool, c *shmtest.Child) {
	t.Helper()
	got := lives(t, q)
	check(q.TryPut(write[small](4))) // should there be nothing else for it
	theirs := atoi(t, goesOn(t, q, c))
	got = append(got, theirs)
	got = append(got, numbers(collect(t, q))...)
	slices.Sort(got)
	unique := slices.Compact(slices.Clone(got))
	had := 4 - len(got)
	if len(unique) != len(got) || got[0] < 1 || got[len(got)-1] > 4 ||
		had != 2 && (all || had != 1) {
		t.Fatalf("%v came, %d to the stopped one (the dead one had two: %v)", got, theirs, all)
	}
}

// judgeReaps: letter 0 had been taken from one dead, letter 1 from another.
func judgeReaps(t testing.TB, q *ring.Queue[small], _ bool, c *shmtest.Child) {
	t.Helper()
	got := lives(t, q)
	goesOn(t, q, c)
	got = append(got, numbers(collect(t, q))...)
	slices.Sort(got)
	if !slices.Equal(got, []int{0, 1}) {
		t.Fatalf("%v came, want 0 and 1", got)
	}
}
