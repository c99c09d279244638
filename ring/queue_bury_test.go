//go:build linux

package ring

import (
	"context"
	"errors"
	"testing"
)

// letters returns a handle with one message that is to be buried by f, and
// another handle on its queue.
func letters(t *testing.T, f func(context.Context, []byte, int) error) (q, other *Queue[int64]) {
	t.Helper()
	o := &QueueOptions{Capacity: 4, Hold: 1, Lanes: 2, MaxDeliveries: 1, DeadLetter: f}
	o.Segment.MaxParticipants = 2
	q, err := AnonymousQueue[int64]("letters", o)
	if err != nil {
		t.Fatal(err)
	}
	file, err := q.Segment().File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if other, err = QueueFromFile[int64](file, nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { other.Close() })
	putBackOne(t, q)
	return q, other
}

func putBackOne(t *testing.T, q *Queue[int64]) {
	t.Helper()
	if err := q.TryPut(1); err != nil {
		t.Fatal(err)
	}
	m, err := q.TryTake()
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Requeue(); err != nil {
		t.Fatal(err)
	}
}

// A handler that panics leaves the message to others and the handle to Close.
func TestQueueHandlerPanics(t *testing.T) {
	q, other := letters(t, func(context.Context, []byte, int) error { panic("no") })
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was kept from the caller")
			}
		}()
		q.TryGet()
	}()
	q.Close()
	if n := q.q.refs.Load(); n != 0 {
		t.Errorf("%d references are left after Close", n)
	}
	if n := len(other.Stats().Participants); n != 1 {
		t.Errorf("%d participants are left", n)
	}
	if v, err := other.TryGet(); v != 1 || err != nil {
		t.Errorf("the others get %d, %v", v, err)
	}
}

// What a handler works on counts as held, so that slow ones leave room for what
// others put.
func TestQueueHandlerHoldsWhatItBuries(t *testing.T) {
	inside, leave := make(chan bool), make(chan bool)
	q, other := letters(t, func(context.Context, []byte, int) error {
		select {
		case inside <- true:
			<-leave
		case <-leave: // the one that came after
		}
		return nil
	})
	defer q.Close()
	got := make(chan error)
	go func() { _, err := q.TryGet(); got <- err }()
	<-inside
	if _, err := q.TryTake(); err != ErrEmpty && !errors.Is(err, ErrTooManyHeld) {
		t.Errorf("TryTake beside a burial = %v", err)
	}
	putBackOne(t, other)
	if _, err := q.TryGet(); !errors.Is(err, ErrTooManyHeld) {
		t.Errorf("a second burial with Hold 1 = %v", err)
	}
	close(leave)
	if err := <-got; err != ErrEmpty && err != nil {
		t.Errorf("the first TryGet = %v", err)
	}
}
