//go:build linux

package ring_test

import (
	"testing"

	"github.com/sluice-ipc/sluice/internal/shmtest"
	"github.com/sluice-ipc/sluice/ring"
)

func init() { roles["put-and-tell"] = putAndTell }

// putAndTell puts a number into the queue as often as it is asked to, and says so
// through a ring when Put has returned.
func putAndTell(args []string) int {
	q := must(ring.OpenQueue[uint64](args[0], nil))
	w := must(must(ring.Open(args[1], nil)).Writer())
	rd := must(must(ring.Open(args[2], nil)).Reader())
	for i := uint64(0); ; i++ {
		if _, err := rd.Peek(bg); err != nil {
			q.Close()
			return 0
		}
		must0(rd.Release())
		if i%3 == 0 {
			must0(q.Put(bg, i))
		} else {
			must(q.TryPutBatch([]uint64{i}))
		}
		must0(w.Write(bg, nil))
	}
}

// TryGet right after another process's Put returned never says empty, and neither
// does Empty.
func TestTryGetAfterPutIsNeverEmpty(t *testing.T) {
	tries := 100_000
	if testing.Short() {
		tries = 5_000
	}
	name, tell, ask := queueName(t), queueName(t), queueName(t)
	q := must(ring.CreateQueue[uint64](name, &ring.QueueOptions{Capacity: 2}))
	defer q.Close()
	told, asked := must(ring.Create(tell, &ring.Options{Size: 4096})), must(ring.Create(ask, &ring.Options{Size: 4096}))
	defer told.Close()
	defer asked.Close()
	rd, w := must(told.Reader()), must(asked.Writer())
	c := shmtest.Start(t, "put-and-tell", name, tell, ask)
	empty := 0
	for i := range uint64(tries) {
		must0(w.Write(bg, nil))
		must(rd.Peek(bg))
		if q.Empty() {
			empty++
		}
		v, err := q.TryGet()
		if err == ring.ErrEmpty {
			empty++
			v, err = q.Get(bg)
		}
		if err != nil || v != i {
			t.Fatalf("try %d: %d, %v", i, v, err)
		}
		must0(rd.Release())
	}
	t.Logf("%d tries, %d empty", tries, empty)
	if empty > 0 {
		t.Errorf("said to be empty %d times", empty)
	}
	w.Close()
	c.Exit()
}
