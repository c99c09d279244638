//go:build linux

package ring_test

import (
	"fmt"
	"io"
	"os"
	"slices"
	"testing"

	"github.com/sluice-ipc/sluice/internal/shmtest"
	"github.com/sluice-ipc/sluice/ring"
	"github.com/sluice-ipc/sluice/shm"
)

// A letter is a message of the tests that kill and stop: a small one fits into a
// chunk, a big one takes three.
type letter interface{ small | big }

type (
	small [6]uint64
	big   [70]uint64
)

// letterChunk is the size of a chunk in the tests that kill and stop: so large that
// there need not be chunks for batches.
const letterChunk = 264

// wordsOf returns a letter as its words.
func wordsOf[T letter](v *T) []uint64 {
	switch v := any(v).(type) {
	case *small:
		return v[:]
	case *big:
		return v[:]
	}
	panic("no letter")
}

// lettersApart is the difference between the first words of two letters.
const lettersApart = 1_000_003

// write makes letter i.
func write[T letter](i int) (v T) {
	for j := range wordsOf(&v) {
		wordsOf(&v)[j] = uint64(i)*lettersApart + uint64(j)
	}
	return v
}

// read checks that a letter is whole and returns which one it is.
func read[T letter](t testing.TB, v T) int {
	t.Helper()
	i := int(wordsOf(&v)[0] / lettersApart)
	if v != write[T](i) {
		t.Fatalf("torn letter: %x", v)
	}
	return i
}

// nearWrap is a first position whose second and third are on the two sides of
// the wrap, for a capacity of two.
const nearWrap = 1<<40 - 2

// letterOptions are those of a queue as small as the tests want it: the fewer
// chunks, the fewer instructions there are in a repair.
func letterOptions[T letter](o ring.QueueOptions, start uint64) *ring.QueueOptions {
	if o.Capacity == 0 {
		o.Capacity = 2
	}
	if o.Segment.MaxParticipants == 0 {
		o.Segment.MaxParticipants = 3
	}
	if o.ChunkSize == 0 {
		o.ChunkSize = letterChunk
	}
	var v T
	chunks := (len(wordsOf(&v))*8 + o.ChunkSize - 1) / o.ChunkSize
	o.Bytes, o.Hold, o.Lanes = o.Capacity*chunks*o.ChunkSize, 1, 1
	return o.StartAt(start)
}

// newMail makes a queue of letters in a segment of its own.
func newMail[T letter](t testing.TB, o ring.QueueOptions, start uint64) (*ring.Queue[T], string) {
	t.Helper()
	name := fmt.Sprintf("/dev/shm/sluice-ringtest-%d-%d", os.Getpid(), serial.Add(1))
	q, err := ring.CreateQueue[T](name, letterOptions[T](o, start))
	return q, stays(t, q, err, name)
}

// newTasks is newMail for tasks.
func newTasks(t testing.TB, o ring.QueueOptions, start uint64) (ring.JoinableQueue[small], string) {
	t.Helper()
	name := fmt.Sprintf("/dev/shm/sluice-ringtest-%d-%d", os.Getpid(), serial.Add(1))
	q, err := ring.CreateJoinableQueue[small](name, letterOptions[small](o, start))
	return q, stays(t, q, err, name)
}

// stays removes a queue that was made under a name when its test ends.
func stays(t testing.TB, q io.Closer, err error, name string) string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		q.Close()
		os.Remove(name)
	})
	return name
}

func openMail[T letter](name string) *ring.Queue[T] {
	return must(ring.OpenQueue[T](name, nil))
}

// A delivery is a letter that came, and how often it had come to others before.
type delivery struct{ i, tries int }

// collect takes everything that is in the queue, to its end or till it is empty.
func collect[T letter](t testing.TB, q *ring.Queue[T]) (got []delivery) {
	t.Helper()
	for {
		m, err := q.TryTake()
		if err == ring.ErrEmpty || err == io.EOF {
			return got
		}
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, delivery{opened[T](t, m), m.Deliveries()})
		if err := m.Release(); err != nil {
			t.Fatal(err)
		}
	}
}

// opened returns which letter a message is.
func opened[T letter](t testing.TB, m ring.Message) int {
	t.Helper()
	var v T
	words := wordsOf(&v)
	b, err := m.Append(nil)
	if err != nil || len(b) != 8*len(words) {
		t.Fatalf("message of %d bytes: %v", len(b), err)
	}
	copy(words, ring.WordsOfBytes(b))
	return read(t, v)
}

// numbers returns which letters came.
func numbers(got []delivery) (n []int) {
	for _, d := range got {
		n = append(n, d.i)
	}
	return n
}

// exactly checks what came.
func exactly(t testing.TB, got []delivery, want ...delivery) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Fatalf("%v came, want %v", got, want)
	}
}

// thinned reports whether a point is left out: all but one in some many are, and
// more where tests are to be short.
func thinned(p *shmtest.Point, every int) bool {
	if testing.Short() {
		every *= 7
	}
	return p.K > 0 && p.K%every != 0
}

// settled checks that a queue which was emptied has all its chunks back, and
// that nobody in it is dead.
func settled[T letter](t testing.TB, q *ring.Queue[T]) {
	t.Helper()
	s := q.Stats()
	if s.FreeChunks != s.Chunks || s.Held != 0 || s.Orphans != 0 || s.Depth != 0 || s.Unfinished != 0 {
		t.Fatalf("a queue with nothing in it: %+v\n%s", s, ring.ChunkStates(q))
	}
	for _, p := range s.Participants {
		if p.State != shm.Active {
			t.Fatalf("participant %v is %v: %+v", p.ID, p.State, s)
		}
	}
}

// rounds fills and empties the queue for more than a lap.
func rounds[T letter](t testing.TB, q *ring.Queue[T]) {
	t.Helper()
	for round := range 3 {
		for i := range q.Cap() {
			if err := q.TryPut(write[T](100*round + i)); err != nil {
				t.Fatalf("put %d of round %d: %v\n%s", i, round, err, ring.ChunkStates(q))
			}
		}
		if err := q.TryPut(write[T](0)); err != ring.ErrFull {
			t.Fatalf("put into a full queue: %v", err)
		}
		for i, d := range collect(t, q) {
			if d != (delivery{100*round + i, 0}) {
				t.Fatalf("got %+v as number %d of round %d", d, i, round)
			}
		}
		settled(t, q)
	}
}
