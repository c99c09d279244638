//go:build linux

package ring_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-ipc/sluice/internal/shmtest"
	"github.com/sluice-ipc/sluice/ring"
	"github.com/sluice-ipc/sluice/shm"
)

func TestBadQueueOptions(t *testing.T) {
	for field, o := range map[string]ring.QueueOptions{
		"Capacity":                {Capacity: -1},
		"Capacity ":               {Capacity: 1<<20 + 1},
		"ChunkSize":               {ChunkSize: -1},
		"ChunkSize ":              {ChunkSize: 1<<30 + 1},
		"Bytes":                   {Bytes: -5},
		"Bytes ":                  {Bytes: 1<<40 + 1},
		"Hold":                    {Hold: -1},
		"Hold ":                   {Hold: 1025},
		"Lanes":                   {Lanes: -1},
		"Lanes ":                  {Lanes: 16},
		"Segment.MaxParticipants": {Segment: shm.Options{MaxParticipants: 513}},
		"WhenDied":                {WhenDied: 2},
		"WhenFull":                {WhenFull: 4},
		"MaxDeliveries":           {MaxDeliveries: -1},
		"MaxDeliveries ":          {MaxDeliveries: 1024},
		"Spin":                    {Spin: 3},
		"chunks":                  {Capacity: 1 << 20, Segment: shm.Options{MaxParticipants: 512}, Hold: 1024, ChunkSize: 1 << 20},
	} {
		q, err := ring.AnonymousQueue[[]byte](t.Name(), &o)
		if err == nil {
			q.Close()
		}
		if !errors.Is(err, fs.ErrInvalid) || !strings.Contains(err.Error(), strings.TrimSpace(field)) {
			t.Errorf("%s: %v", field, err)
		}
	}
	if _, err := ring.AnonymousQueue[[1000]byte](t.Name(), &ring.QueueOptions{Capacity: 1, ChunkSize: 1, Bytes: 999}); !errors.Is(err, ring.ErrTooLarge) ||
		!strings.Contains(err.Error(), "[1000]uint8") {
		t.Errorf("a queue whose messages never fit: %v", err)
	}
}

// The longest message is what 32 bits can say.
func TestQueueMaxMessageHas32Bits(t *testing.T) {
	if n := ring.QueueMaxMessage(&ring.QueueOptions{Bytes: 1 << 36, ChunkSize: 1 << 20}); n != 1<<32-1 {
		t.Errorf("MaxMessage is %d", n)
	}
	if n := ring.QueueMaxMessage(nil); n != 4<<20 {
		t.Errorf("MaxMessage is %d by default", n)
	}
}

func TestWhenFull(t *testing.T) {
	for when, want := range map[ring.WhenFull]struct {
		err     error
		left    []int
		dropped uint64
	}{
		ring.Fail:       {ring.ErrFull, []int{0, 1, 2}, 0},
		ring.DropNewest: {nil, []int{0, 1, 2}, 6},
		ring.DropOldest: {nil, []int{6, 7, 8}, 6},
	} {
		t.Run(fmt.Sprint(when), func(t *testing.T) {
			for name, start := range queueStarts(3) {
				q := newQueue[int](t, ring.QueueOptions{Capacity: 3, WhenFull: when}.StartAt(start))
				for i := range 9 {
					put := q.TryPut
					if i%2 == 0 {
						put = func(i int) error { return q.Put(bg, i) }
					}
					if err := put(i); err != nil && (i < 3 || err != want.err) {
						t.Fatalf("%s: message %d: %v", name, i, err)
					}
				}
				n, err := q.TryPutBatch([]int{9})
				if n != 1 && want.err == nil || err != want.err {
					t.Fatalf("TryPutBatch = %d, %v", n, err)
				}
				if when == ring.DropOldest {
					want.left = []int{7, 8, 9}
				}
				for _, w := range want.left {
					if v := get(t, q); v != w {
						t.Fatalf("%s: Get = %d, want %d", name, v, w)
					}
				}
				if s := q.Stats(); want.err == nil && s.Dropped != want.dropped+1 || s.HighWater != 3 {
					t.Fatalf("%s: %+v", name, s)
				}
				allFree(t, q)
			}
		})
	}
}

// When others hold all the memory there is nothing to drop: Put waits.
func TestDropOldestWithNothingToDrop(t *testing.T) {
	q := newQueue[[]byte](t, &ring.QueueOptions{Capacity: 2, ChunkSize: 300, Bytes: 3000, Hold: 8, Lanes: 1,
		WhenFull: ring.DropOldest, Spin: ring.SpinNever, Segment: shm.Options{MaxParticipants: 1}})
	var loans []ring.Loan
	for {
		o, err := q.TryLoan(q.MaxMessage())
		if err == ring.ErrFull {
			break
		}
		loans = append(loans, must(o, err))
	}
	q.Put(bg, make([]byte, 300))
	if err := q.TryPut(make([]byte, 3000)); err != ring.ErrFull {
		t.Fatalf("TryPut = %v", err)
	}
	if s := q.Stats(); s.Depth != 0 || s.Dropped != 1 {
		t.Fatalf("%+v", s)
	}
	putting := blocked(func() error { return q.Put(bg, make([]byte, 3000)) })
	shmtest.Eventually(t, func() bool { return q.Stats().ProducersWaiting == 1 })
	loans[0].Abort()
	if err := <-putting; err != nil || len(get(t, q)) != 3000 {
		t.Fatal(err)
	}
	for _, o := range loans[1:] {
		o.Abort()
	}
	allFree(t, q)
}

// DropOldest drops what many consumers leave, and never blocks.
func TestDropOldestUnderConsumers(t *testing.T) {
	q := newQueue[int](t, &ring.QueueOptions{Capacity: 2, WhenFull: ring.DropOldest})
	other := openAgain(t, q, nil)
	got := make(chan int)
	for range 2 {
		go func() {
			n, last := 0, -1
			for v, err := range other.All(bg) {
				if err != nil || v <= last {
					t.Errorf("%d after %d, %v", v, last, err)
					break
				}
				n, last = n+1, v
			}
			got <- n
		}()
	}
	const n = 20000
	for i := range n {
		if err := q.Put(bg, i); err != nil {
			t.Fatal(err)
		}
	}
	q.CloseSend()
	sum := <-got + <-got
	if s := q.Stats(); uint64(sum)+s.Dropped != n || s.Puts != n || s.Gets != n {
		t.Errorf("%d of %d arrived: %+v", sum, n, s)
	}
}

// A message that is put back too often goes to the handler, with its bytes.
func TestDeadLetter(t *testing.T) {
	type letter struct {
		text  string
		times int
	}
	var got []letter
	fail := errors.New("full house")
	var refuse error
	o := &ring.QueueOptions{MaxDeliveries: 2, Spin: ring.SpinNever,
		DeadLetter: func(ctx context.Context, b []byte, deliveries int) error {
			if refuse == nil {
				got = append(got, letter{string(b), deliveries})
			}
			return refuse
		}}
	q := newQueue[string](t, o)
	q.PutBatch(bg, []string{"bad", "good"})
	for range 2 {
		m := must(q.Take(bg))
		if v := must(q.Value(m)); v != "bad" {
			t.Fatal(v)
		}
		m.Requeue()
	}
	refuse = fail
	for range 2 {
		if _, err := q.Get(bg); !errors.Is(err, fail) || !strings.Contains(err.Error(), q.Name()) {
			t.Fatalf("Get = %v", err)
		}
		if _, err := q.TryTake(); !errors.Is(err, fail) {
			t.Fatalf("TryTake = %v", err)
		}
	}
	if s := q.Stats(); s.Depth != 2 || s.DeadLetters != 0 {
		t.Fatalf("%+v", s)
	}
	refuse = nil
	if v := get(t, q); v != "good" || len(got) != 1 || got[0].text != "bad" || got[0].times < 2 {
		t.Fatalf("%q, %v", v, got)
	}
	if s := q.Stats(); s.DeadLetters != 1 || s.Discarded != 0 {
		t.Fatalf("%+v", s)
	}
	allFree(t, q)
}

// Another queue can be where dead letters go. While it is full they stay.
func TestDeadLetterQueue(t *testing.T) {
	dead := newQueue[int](t, &ring.QueueOptions{Capacity: 1, Spin: ring.SpinNever})
	q := newQueue[int](t, &ring.QueueOptions{MaxDeliveries: 1, DeadLetter: dead.Bury, Spin: ring.SpinNever})
	for i := range 3 {
		q.Put(bg, i)
		must(q.Take(bg)).Requeue()
		_, err := q.TryGet()
		if i == 0 && err != ring.ErrEmpty || i > 0 && (!errors.Is(err, ring.ErrFull) || !errors.Is(err, context.Canceled)) {
			t.Fatalf("TryGet = %v", err)
		}
		if i == 0 {
			continue
		}
		getting := blocked(func() error { _, err := q.Get(bg); return err })
		shmtest.Eventually(t, func() bool { return dead.Stats().ProducersWaiting == 1 })
		if v := get(t, dead); v != i-1 {
			t.Fatal(v)
		}
		q.CloseSend() // of no use to who waits for room in the other
		if i == 1 {
			if err := <-getting; err != io.EOF {
				t.Fatalf("Get = %v", err)
			}
			break
		}
	}
	if v := get(t, dead); v != 1 {
		t.Fatal(v)
	}
	if err := dead.Bury(bg, []byte("no int"), 1); err == nil {
		t.Error("what is no int is buried among ints")
	}
	allFree(t, q)
}

// Without a handler what was delivered too often is dropped and counted.
func TestMaxDeliveriesWithoutHandler(t *testing.T) {
	q := newQueue[int](t, &ring.QueueOptions{MaxDeliveries: 3})
	q.Put(bg, 1)
	for range 3 {
		must(q.Take(bg)).Requeue()
	}
	if _, err := q.TryGet(); err != ring.ErrEmpty {
		t.Fatalf("TryGet = %v", err)
	}
	if s := q.Stats(); s.Discarded != 1 || s.DeadLetters != 0 || s.Depth != 0 {
		t.Fatalf("%+v", s)
	}
	allFree(t, q)
}

// A handler that panics loses nothing, and may use the queue.
func TestDeadLetterHandlerPanics(t *testing.T) {
	panics := true
	var q *ring.Queue[int]
	q = newQueue[int](t, &ring.QueueOptions{MaxDeliveries: 1, Hold: 1, Lanes: 1,
		DeadLetter: func(context.Context, []byte, int) error {
			if panics {
				panic("no")
			}
			return q.TryPut(2)
		}})
	q.Put(bg, 1)
	must(q.Take(bg)).Requeue()
	func() {
		defer func() { recover() }()
		q.Get(bg)
		t.Error("no panic")
	}()
	if q.Len() != 1 {
		t.Fatalf("%d messages", q.Len())
	}
	panics = false
	m := must(q.Take(bg))
	if v := must(q.Value(m)); v != 2 {
		t.Fatal(v)
	}
	m.Release()
	allFree(t, q)
}

// A queue that discards does so with what the dead held, not with what was put
// back.
func TestDiscardSparesWhatWasPutBack(t *testing.T) {
	q := newQueue[int](t, &ring.QueueOptions{WhenDied: ring.Discard})
	q.Put(bg, 1)
	must(q.Take(bg)).Requeue()
	if v := get(t, q); v != 1 {
		t.Fatal(v)
	}
	if s := q.Stats(); s.Discarded != 0 || s.Redelivered != 1 {
		t.Fatalf("%+v", s)
	}
}

// With EndAlone an empty queue that nobody else has is at its end, also for a
// consumer that waits.
func TestEndAlone(t *testing.T) {
	for name, spin := range spins {
		t.Run(name, func(t *testing.T) {
			q := newQueue[int](t, &ring.QueueOptions{EndAlone: true, Spin: spin})
			other := openAgain(t, q, nil)
			if _, err := q.TryGet(); err != ring.ErrEmpty {
				t.Fatalf("TryGet beside another = %v", err)
			}
			getting := blocked(func() error { _, err := q.Get(bg); return err })
			shmtest.Eventually(t, func() bool { return q.Stats().ConsumersWaiting == 1 })
			other.Put(bg, 1)
			if err := <-getting; err != nil {
				t.Fatal(err)
			}
			getting = blocked(func() error { _, err := q.Get(bg); return err })
			shmtest.Eventually(t, func() bool { return q.Stats().ConsumersWaiting == 1 })
			other.Close()
			if err := <-getting; err != io.EOF {
				t.Fatalf("Get alone = %v", err)
			}
			if _, err := q.TryGet(); err != io.EOF {
				t.Fatalf("TryGet alone = %v", err)
			}
			q.Put(bg, 2) // not the end for who is there
			if v := get(t, q); v != 2 {
				t.Fatal(v)
			}
		})
	}
}

// What was put before the last of the others left is not behind the end.
func TestEndAloneMissesNothing(t *testing.T) {
	q := newQueue[int](t, &ring.QueueOptions{EndAlone: true})
	for round := range 200 {
		other := openAgain(t, q, nil)
		go func() {
			other.Put(bg, round)
			other.Close()
		}()
		if v, err := q.Get(bg); err != nil || v != round {
			t.Fatalf("round %d: %d, %v", round, v, err)
		}
		shmtest.Eventually(t, func() bool { return len(q.Stats().Participants) == 1 })
	}
}

func TestStampTellsTheOldestAge(t *testing.T) {
	q := newQueue[int](t, &ring.QueueOptions{Stamp: true, Capacity: 4})
	other := openAgain(t, q, nil) // what the creator says holds for all
	if age := q.Stats().OldestAge; age != 0 {
		t.Fatalf("nothing is %v old", age)
	}
	before := time.Now()
	other.Put(bg, 1)
	put := time.Now()
	shmtest.Eventually(t, func() bool { return time.Since(put) > 2*time.Millisecond })
	q.Put(bg, 2)
	age := func(q *ring.Queue[int], since, until time.Time) {
		t.Helper()
		least := time.Since(until)
		got := q.Stats().OldestAge
		if most := time.Since(since); got < least || got > most {
			t.Fatalf("%v old, want %v to %v", got, least, most)
		}
	}
	age(q, before, put)
	m := must(other.Take(bg))
	if got := q.Stats().OldestAge; got > time.Since(put)-2*time.Millisecond {
		t.Fatalf("%v old", got)
	}
	m.Requeue() // and is as old as it was
	age(other, before, put)
	if n := must(q.TryGetBatch(make([]int, 1))) + must(q.TryGetBatch(make([]int, 1))); n != 2 || q.Stats().OldestAge != 0 {
		t.Fatalf("%+v", q.Stats())
	}
	if plain := newQueue[int](t, nil); plain.TryPut(1) != nil || plain.Stats().OldestAge != 0 {
		t.Error("an age without Stamp")
	}
}

func TestQueueStats(t *testing.T) {
	q := newQueue[int](t, &ring.QueueOptions{Capacity: 4, Segment: shm.Options{Label: "me"}})
	other := openAgain(t, q, &ring.QueueOptions{Segment: shm.Options{Label: "other"}})
	q.PutBatch(bg, []int{1, 2, 3})
	m := must(q.Take(bg))
	o := must(other.Loan(bg, 8))
	for _, p := range []*ring.Queue[int]{q, other} {
		s := p.Stats()
		if s.Depth != 2 || s.HighWater != 3 || s.Capacity != 4 || s.Puts != 3 || s.Gets != 1 || s.Held < 2 ||
			s.FreeChunks != s.Chunks-s.Held-2 || s.Closed {
			t.Errorf("%+v", s)
		}
		var labels []string
		for _, who := range s.Participants {
			labels = append(labels, who.Label)
		}
		if !slices.Equal(labels, []string{"me", "other"}) {
			t.Errorf("participants are %v", labels)
		}
	}
	m.Release()
	o.Abort()
	other.Close()
	if s := other.Stats(); s.Chunks != 0 || s.Participants != nil || other.Len() != 0 || !other.Empty() || other.Full() {
		t.Errorf("after Close: %+v", s)
	}
}
