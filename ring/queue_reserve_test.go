//go:build linux

package ring_test

import (
	"context"
	"errors"
	"testing"

	"github.com/sluice-ipc/sluice/ring"
	"github.com/sluice-ipc/sluice/shm"
)

// Somebody borrows memory for as many large messages as there is any for, and
// keeps it. Messages of one chunk still find room, as many as the queue has for
// that holder's places.
func TestLargeLoansLeaveRoomForSmallMessages(t *testing.T) {
	const hold = 64
	q := newQueue[[]byte](t, &ring.QueueOptions{
		Capacity: 8, ChunkSize: 64, Bytes: 8 * 64, Hold: hold, Lanes: 1,
		Segment: shm.Options{MaxParticipants: 2},
	})
	once, cancel := context.WithCancel(bg)
	cancel()
	var loans []ring.Loan
	for range hold {
		l, err := q.Loan(once, q.MaxMessage())
		if errors.Is(err, ring.ErrFull) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		loans = append(loans, l)
	}
	if len(loans) == 0 {
		t.Fatal("no loan of the largest size from an empty queue")
	}
	for i := range q.Cap() {
		if err := q.TryPut([]byte{byte(i)}); err != nil {
			t.Fatalf("%d loans of %d bytes: message %d: %v", len(loans), q.MaxMessage(), i, err)
		}
	}
	for range q.Cap() {
		if _, err := q.TryGet(); err != nil {
			t.Fatal(err)
		}
	}
	for _, l := range loans {
		if err := l.Abort(); err != nil {
			t.Fatal(err)
		}
	}
	if err := q.TryPut(make([]byte, q.MaxMessage())); err != nil {
		t.Fatalf("the largest message, when nobody holds any: %v", err)
	}
}
