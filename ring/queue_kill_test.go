//go:build linux

package ring_test

import (
	"errors"
	"io"
	"slices"
	"testing"

	"github.com/sluice-ipc/sluice/internal/shmtest"
	"github.com/sluice-ipc/sluice/ring"
)

func init() { roles["mail"] = actor }

// actor is a child that does one of acts, and can be killed or stopped at each
// instruction of it; beside one that has died, if it is told so.
func actor(args []string) int {
	act := acts[args[0]](args[1])
	if len(args) > 2 {
		lose(func() { deaths[args[2]](openMail[small](args[1])) })
	}
	around(act)
	shmtest.Say("%v", told())
	shmtest.Hear()
	return 0
}

// around does an act. Tests that go by named steps look at what it comes by.
var around = shmtest.Trace

// deaths are of what somebody has died beside an actor.
var deaths = map[string]func(q *ring.Queue[small]){
	"in pair": dieInPair,
	"looking": ring.HalfLook[small],
}

// told is what an actor says when its act is over.
var told = func() any { return "done" }

// acts are what actors do: each attaches to the queue of that name, does once
// what comes then, and returns it.
var acts = map[string]func(name string) func(){
	"put":         actPut[small],
	"put chain":   actPut[big],
	"put again":   actPutAgain,
	"loan":        actLoan,
	"drop oldest": actDropOldest,
	"get":         actGet[small],
	"get chain":   actGet[big],
	"release":     actRelease,
	"requeue":     actRequeue,
	"task":        actTask,
	"close":       actClose,
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func actPut[T letter](name string) func() {
	q := openMail[T](name)
	check(q.Put(bg, write[T](0)))
	v := write[T](1)
	return func() { check(q.Put(bg, v)) }
}

// actPutAgain puts a letter, with a cursor that points to where letter 0 was, into
// the chunk that letter 0 was in; and somebody died who was about to take that.
func actPutAgain(name string) func() {
	q := openMail[small](name)
	other := openMail[small](name)
	check(other.Put(bg, write[small](0)))
	check(other.Close())
	lose(func() { ring.HalfLook(openMail[small](name)) })
	must(q.Get(bg))
	v := write[small](1)
	return func() { check(q.Put(bg, v)) }
}

func actLoan(name string) func() {
	q := openMail[small](name)
	lend := func(i int) {
		v := write[small](i)
		o := must(q.Loan(bg, 8*len(v)))
		ring.CopyWords(o.Bytes(), v[:])
		check(o.Commit(bg))
	}
	lend(0)
	return func() { lend(1) }
}

func actDropOldest(name string) func() {
	q := must(ring.OpenQueue[small](name, &ring.QueueOptions{WhenFull: ring.DropOldest}))
	check(q.Put(bg, write[small](0)))
	check(q.Put(bg, write[small](1)))
	v := write[small](2)
	return func() { check(q.Put(bg, v)) }
}

func actGet[T letter](name string) func() {
	q := openMail[T](name)
	must(q.Get(bg))
	return func() { must(q.Get(bg)) }
}

func actRelease(name string) func() {
	q := openMail[small](name)
	take := func() { check(must(q.Take(bg)).Release()) }
	take()
	return take
}

func actRequeue(name string) func() {
	q := openMail[small](name)
	check(must(q.Take(bg)).Release())
	return func() { check(must(q.Take(bg)).Requeue()) }
}

func actTask(name string) func() {
	q := must(ring.OpenJoinableQueue[small](name, nil))
	must(q.Get(bg))
	check(q.TaskDone())
	must(q.Get(bg))
	return func() { check(q.TaskDone()) }
}

func actClose(name string) func() {
	q := openMail[small](name)
	check(q.Put(bg, write[small](0)))
	must(q.Get(bg))
	return func() {
		check(q.CloseSend())
		if _, err := q.Get(bg); err != io.EOF {
			panic(err)
		}
	}
}

// killInQueue is TestKillEveryInstruction for the queue. Whatever the act is
// killed at, the survivor gets what was committed, in order, and once, unless
// the dead one had been handed it; then a second time at most, counted. All
// chunks come back, and the queue goes on for more than a lap.
func killInQueue(t *testing.T) {
	for _, k := range append(killings, reapers...) {
		t.Run(k.act, func(t *testing.T) {
			atLeast(t, k.least, shmtest.EveryPoint(t, k.act, func(t testing.TB, p *shmtest.Point) {
				if !thinned(p, k.every) {
					k.body(t, p.Kill, p.K < 0)
				}
			}))
		})
	}
	for _, k := range couples {
		t.Run(k.act+" beside another", func(t *testing.T) { killPair(t, k) })
	}
}

// A killing is the body for an act, which has that many points at least: it has
// the act's child killed, and all says whether the act was over by then.
type killing struct {
	act   string
	least int
	body  func(t testing.TB, kill func(*shmtest.Child), all bool)
	every int // of its points are looked at one in so many
}

var killings = []killing{
	{"put", 60, killedPut[small]("put", 0, []int{0}, []int{0, 1}), 1},
	{"put chain", 150, killedPut[big]("put chain", nearWrap-1, []int{0}, []int{0, 1}), 1},
	{"put again", 60, killedPutAgain, 1},
	{"loan", 60, killedPut[small]("loan", nearWrap, []int{0}, []int{0, 1}), 1},
	{"drop oldest", 100, killedPut[small]("drop oldest", nearWrap-1, []int{0, 1}, []int{1}, []int{1, 2}), 2},
	{"get", 60, killedGet[small]("get", nearWrap-1, false), 1},
	{"get chain", 100, killedGet[big]("get chain", nearWrap, false), 3},
	{"release", 60, killedGet[small]("release", 0, false), 1},
	{"requeue", 60, killedGet[small]("requeue", 1<<40-4, true), 1},
	{"task", 60, killedTask, 1},
	{"close", 60, killedClose, 2},
}

// once checks what came: one of may, the last of them if all was done, nothing
// more than a second time, and a second time only what the dead one had taken.
func once(t testing.TB, got []delivery, all bool, may ...[]int) {
	t.Helper()
	n := numbers(got)
	which := slices.IndexFunc(may, func(m []int) bool { return slices.Equal(m, n) })
	if which < 0 || all && which != len(may)-1 {
		t.Fatalf("%v came, want one of %v (the last: %v)", got, may, all)
	}
	again := 0
	for _, d := range got {
		if d.tries > 1 {
			t.Fatalf("delivered %d times before: %v", d.tries, got)
		}
		again += d.tries
	}
	if again > 1 {
		t.Fatalf("%d letters came again: %v", again, got)
	}
}

// killedPut is the body for an act that puts letters. What comes then is one of
// may, and the last of them once it was done.
func killedPut[T letter](act string, start uint64, may ...[]int) func(testing.TB, func(*shmtest.Child), bool) {
	return func(t testing.TB, kill func(*shmtest.Child), all bool) {
		q, name := newMail[T](t, ring.QueueOptions{}, start)
		kill(shmtest.Command(t, "mail", act, name))
		q.Segment().CheckPeers()
		once(t, collect(t, q), all, may...)
		settled(t, q)
		rounds(t, q)
	}
}

// killedPutAgain is for one that dies of putting letter 1, which has come to nobody
// before.
func killedPutAgain(t testing.TB, kill func(*shmtest.Child), all bool) {
	q, name := newMail[small](t, ring.QueueOptions{}, nearWrap)
	kill(shmtest.Command(t, "mail", "put again", name))
	q.Segment().CheckPeers()
	got := collect(t, q)
	if len(got) > 0 || all {
		exactly(t, got, delivery{1, 0})
	}
	settled(t, q)
	rounds(t, q)
}

// killedGet is the body for an act that takes letter 1 of those that are there,
// and gives it back if again says so. Another one is put before anybody could
// notice the death.
func killedGet[T letter](act string, start uint64, again bool) func(testing.TB, func(*shmtest.Child), bool) {
	return func(t testing.TB, kill func(*shmtest.Child), all bool) {
		q, name := newMail[T](t, ring.QueueOptions{}, start)
		check(q.TryPut(write[T](0)))
		check(q.TryPut(write[T](1)))
		kill(shmtest.Command(t, "mail", act, name))
		if err := q.TryPut(write[T](2)); err != nil {
			t.Fatalf("put beside a dead one: %v", err)
		}
		q.Segment().CheckPeers()
		got := collect(t, q)
		if again {
			once(t, got, all, []int{1, 2})
		} else {
			once(t, got, all, []int{1, 2}, []int{2})
		}
		settled(t, q)
		rounds(t, q)
	}
}

// killedTask is killedGet for one who has task 1: it is done, or another's.
func killedTask(t testing.TB, kill func(*shmtest.Child), all bool) {
	q, name := newTasks(t, ring.QueueOptions{}, nearWrap)
	check(q.TryPut(write[small](0)))
	check(q.TryPut(write[small](1)))
	kill(shmtest.Command(t, "mail", "task", name))
	q.Segment().CheckPeers()
	left := q.Unfinished()
	got := collect(t, q.Queue)
	once(t, got, all, []int{1}, []int{})
	if left != len(got) || q.Unfinished() != 0 {
		t.Fatalf("%d tasks came, %d were unfinished, %d are", len(got), left, q.Unfinished())
	}
	check(q.Join(bg))
	settled(t, q.Queue)
	rounds(t, q.Queue)
}

// killedClose is the body for one that closes the queue and comes to its end.
func killedClose(t testing.TB, kill func(*shmtest.Child), all bool) {
	q, name := newMail[small](t, ring.QueueOptions{}, nearWrap)
	kill(shmtest.Command(t, "mail", "close", name))
	q.Segment().CheckPeers()
	if q.Stats().Closed {
		if _, err := q.TryGet(); err != io.EOF {
			t.Fatalf("at the end: %v", err)
		}
		if err := q.TryPut(write[small](1)); !errors.Is(err, ring.ErrClosed) {
			t.Fatalf("put behind the end: %v", err)
		}
	} else {
		if all {
			t.Fatal("not closed")
		}
		rounds(t, q)
	}
	settled(t, q)
}
