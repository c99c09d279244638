//go:build linux

package ring_test

import (
	"testing"

	"github.com/sluice-ipc/sluice/internal/shmtest"
	"github.com/sluice-ipc/sluice/ring"
)

func init() {
	acts["reap putter"] = func(name string) func() {
		open := func() *ring.Queue[big] { return openMail[big](name) }
		return actReap(open, diePutting)
	}
	acts["reap getter"] = func(name string) func() {
		open := func() *ring.Queue[small] {
			return must(ring.OpenJoinableQueue[small](name, nil)).Queue
		}
		return actReap(open, dieGetting)
	}
}

// actReap repairs one that has died of die.
func actReap[T letter](open func() *ring.Queue[T], die func(q *ring.Queue[T])) func() {
	q := open()
	open().Close() // what the runtime opens, it opens now
	lose(func() { die(open()) })
	return q.Segment().CheckPeers
}

// diePutting leaves a loan that is being given back, and a letter that is
// complete and was not put, in the place of one that was.
func diePutting(q *ring.Queue[big]) {
	ring.HalfFree(q, 8*len(big{}))
	ring.HalfPut(q, make([]byte, 8*len(big{})))
	check(q.Put(bg, write[big](1)))
}

// dieGetting leaves letter 0 done but not counted, letter 1 held, and letter 2
// taken but not yet held.
func dieGetting(q *ring.Queue[small]) {
	ring.HalfDone(q)
	must(q.Take(bg))
	ring.HalfTake(q)
}

// reapers are like killings: what the dead ones had begun to repair, and what
// they leave themselves, another repairs.
var reapers = []killing{
	{"reap putter", 150, reapedPutter, 1},
	{"reap getter", 150, reapedGetter, 1},
}

// reapedPutter is for two who died of putting.
func reapedPutter(t testing.TB, kill func(*shmtest.Child), _ bool) {
	q, name := newMail[big](t, ring.QueueOptions{Capacity: 3}, 1<<40-2)
	kill(shmtest.Command(t, "mail", "reap putter", name))
	q.Segment().CheckPeers()
	exactly(t, collect(t, q), delivery{1, 0})
	settled(t, q)
	rounds(t, q)
}

// reapedGetter is for two who died of getting. Another letter is put before
// anybody else could notice the deaths.
func reapedGetter(t testing.TB, kill func(*shmtest.Child), _ bool) {
	q, name := newTasks(t, ring.QueueOptions{Capacity: 3}, 1<<40-2) // which is the last but one: 3 does not divide 2^40
	for i := range 3 {
		check(q.TryPut(write[small](i)))
	}
	kill(shmtest.Command(t, "mail", "reap getter", name))
	if err := q.TryPut(write[small](3)); err != nil {
		t.Fatalf("put beside a dead one: %v", err)
	}
	q.Segment().CheckPeers()
	if n := q.Unfinished(); n != 3 {
		t.Fatalf("%d tasks are unfinished, want 3", n)
	}
	exactly(t, collect(t, q.Queue), delivery{1, 1}, delivery{2, 1}, delivery{3, 0})
	check(q.Join(bg))
	settled(t, q.Queue)
	rounds(t, q.Queue)
}
