//go:build linux

package ring_test

import (
	"context"
	"errors"
	"testing"

	"github.com/sluice-ipc/sluice/ring"
	"github.com/sluice-ipc/sluice/shm"
)

// What was put back has no place in the ring: to drop it makes no room there. So
// one message costs one message, of those that have a place.
func TestDropOldestSparesWhatWasPutBack(t *testing.T) {
	for name, put := range map[string]func(q *ring.Queue[int], v int) error{
		"TryPut": func(q *ring.Queue[int], v int) error { return q.TryPut(v) },
		"Put":    func(q *ring.Queue[int], v int) error { return q.Put(bg, v) },
		"Commit": func(q *ring.Queue[int], v int) error {
			loan := must(q.TryLoan(8))
			ring.CopyWords(loan.Bytes(), []uint64{uint64(v)})
			return loan.TryCommit()
		},
	} {
		q := newQueue[int](t, &ring.QueueOptions{Capacity: 4, WhenFull: ring.DropOldest})
		for i := range 4 {
			must0(q.TryPut(i))
		}
		var held []ring.Message
		for range 4 {
			held = append(held, must(q.TryTake()))
		}
		for i := range 4 {
			must0(q.TryPut(4 + i))
			must0(held[i].Requeue())
		}
		if err := put(q, 8); err != nil {
			t.Fatalf("%s = %v", name, err)
		}
		if s := q.Stats(); s.Depth != 8 || s.Orphans != 4 || s.Dropped != 1 {
			t.Errorf("%s: %d messages, %d of them put back, %d dropped", name, s.Depth, s.Orphans, s.Dropped)
		}
		for _, want := range []int{0, 1, 2, 3, 5, 6, 7, 8} { // 4 is the one
			if v := get(t, q); v != want {
				t.Errorf("%s: %d came, want %d", name, v, want)
			}
		}
		allFree(t, q)
	}
}

// Where chunks are missing what was put back goes first: it is the oldest.
func TestDropOldestForChunksDropsWhatWasPutBack(t *testing.T) {
	q := newQueue[[]byte](t, &ring.QueueOptions{Capacity: 2, ChunkSize: 300, Bytes: 3000, Lanes: 1,
		WhenFull: ring.DropOldest, Segment: shm.Options{MaxParticipants: 1}})
	long := make([]byte, q.MaxMessage())
	must0(q.TryPut(long))
	must0(must(q.TryTake()).Requeue())
	if err := q.TryPut(long); err != nil {
		t.Fatal(err)
	}
	if s := q.Stats(); s.Depth != 1 || s.Orphans != 0 || s.Dropped != 1 {
		t.Errorf("%+v", s)
	}
}

// Somebody who fills the memory with what seems to have been put back makes a call
// drop that, and look at every chunk each time. It does not go on with it for
// longer than its context allows, and if it is not to wait not for long at all.
func TestDropOldestEnds(t *testing.T) {
	const bound = 64 // of the rounds between two looks
	for name, c := range map[string]struct {
		put  func(q *ring.Queue[[]byte], b []byte) error
		want error
	}{
		"Put":    {func(q *ring.Queue[[]byte], b []byte) error { return q.Put(ended(), b) }, context.Canceled},
		"TryPut": {func(q *ring.Queue[[]byte], b []byte) error { return q.TryPut(b) }, ring.ErrFull},
	} {
		q := newQueue[[]byte](t, &ring.QueueOptions{Capacity: 2, ChunkSize: 300, Bytes: 3000, Hold: 100, Lanes: 1,
			WhenFull: ring.DropOldest, Segment: shm.Options{MaxParticipants: 4}})
		ring.OrphanQueue(q)
		orphans := q.Stats().Orphans
		err := c.put(q, make([]byte, 600))
		if !errors.Is(err, c.want) || !errors.Is(err, ring.ErrFull) {
			t.Errorf("%s = %v", name, err)
		}
		if n := q.Stats().Dropped; n == 0 || n > bound+uint64(q.Cap()) {
			t.Errorf("%s dropped %d messages of %d", name, n, orphans)
		}
	}
}
