package ring_test

import (
	"errors"
	"io"
	"testing"

	"github.com/sluice-ipc/sluice/ring"
)

func newQueue[T any](t testing.TB, o *ring.QueueOptions) *ring.Queue[T] {
	t.Helper()
	q, err := ring.AnonymousQueue[T](t.Name(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { q.Close() })
	return q
}

func TestQueueIsFIFO(t *testing.T) {
	for _, n := range []int{1, 3, 8} {
		q := newQueue[int](t, &ring.QueueOptions{Capacity: n})
		for round := range 20 {
			for i := range n {
				if err := q.TryPut(round*n + i); err != nil {
					t.Fatal(err)
				}
				if got := q.Len(); got != i+1 {
					t.Fatalf("Len = %d, want %d", got, i+1)
				}
			}
			if err := q.TryPut(-1); err != ring.ErrFull {
				t.Fatalf("TryPut to a full queue = %v", err)
			}
			for i := range n {
				if v, err := q.TryGet(); err != nil || v != round*n+i {
					t.Fatalf("TryGet = %d, %v, want %d", v, err, round*n+i)
				}
			}
			if _, err := q.TryGet(); err != ring.ErrEmpty {
				t.Fatalf("TryGet from an empty queue = %v", err)
			}
		}
		q.Put(bg, 1)
		q.CloseSend()
		if err := q.Put(bg, 2); !errors.Is(err, ring.ErrClosed) {
			t.Fatalf("Put after CloseSend = %v", err)
		}
		if v, err := q.Get(bg); v != 1 || err != nil {
			t.Fatalf("Get = %d, %v", v, err)
		}
		if _, err := q.Get(bg); err != io.EOF {
			t.Fatalf("Get at the end = %v", err)
		}
		t.Logf("%+v", q.Stats())
	}
}

func BenchmarkQueuePutGet(b *testing.B) {
	q := newQueue[[8]uint64](b, nil)
	var v [8]uint64
	b.ReportAllocs()
	for b.Loop() {
		q.Put(bg, v)
		q.Get(bg)
	}
}
