//go:build linux

package conn_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/sluice-ipc/sluice/conn"
)

// P10: a receive waits for a whole message.
func TestReceiveWaits(t *testing.T) {
	for _, o := range []*conn.Options{small, asleep} {
		a, b := newPipe(t, o)
		got := make(chan string)
		go func() {
			m, err := b.RecvBytes(bg)
			got <- fmt.Sprint(string(m), err)
		}()
		inside(t, receiving(b))
		send(t, a, "late")
		if g := <-got; g != "late<nil>" {
			t.Error(g)
		}
	}
}

// P26: a poll does not consume, waits for as long as its context says, and
// says no without an error when a deadline passes.
func TestPoll(t *testing.T) {
	a, b := newPipe(t, asleep)
	if ready, err := b.TryPoll(); ready || err != nil {
		t.Errorf("TryPoll = %v, %v", ready, err)
	}
	past, cancel := context.WithDeadline(bg, time.Unix(0, 0))
	defer cancel()
	if ready, err := b.Poll(past); ready || err != nil {
		t.Errorf("Poll with a deadline in the past = %v, %v", ready, err)
	}
	soon, cancel := context.WithTimeout(bg, time.Millisecond)
	defer cancel()
	if ready, err := b.Poll(soon); ready || err != nil {
		t.Errorf("Poll for a millisecond = %v, %v", ready, err)
	}
	if ready, err := b.Poll(done); ready || !errors.Is(err, context.Canceled) {
		t.Errorf("Poll with a cancelled context = %v, %v", ready, err)
	}
	polled := make(chan error)
	go func() { _, err := b.Poll(bg); polled <- err }()
	inside(t, receiving(b))
	send(t, a, "hello")
	if err := <-polled; err != nil {
		t.Error(err)
	}
	for _, ctx := range []context.Context{bg, past, done} {
		if ready, err := b.Poll(ctx); !ready || err != nil {
			t.Errorf("Poll = %v, %v", ready, err)
		}
	}
	expect(t, b, "hello")
}

// P27: a message that is being written is not there yet. (Python says yes from
// the first byte on.)
func TestPollSeesWholeMessages(t *testing.T) {
	a, b := newPipe(t, small)
	buf, err := a.Reserve(bg, 100)
	if err != nil {
		t.Fatal(err)
	}
	copy(buf, "half of it")
	if ready, err := b.TryPoll(); ready || err != nil {
		t.Errorf("TryPoll of a message that is not committed = %v, %v", ready, err)
	}
	if err := a.Commit(4); err != nil {
		t.Fatal(err)
	}
	if ready, err := b.TryPoll(); !ready || err != nil {
		t.Errorf("TryPoll = %v, %v", ready, err)
	}
	expect(t, b, "half")
}

// P35, P36: the ring has a size, after which a Try call is refused at once and
// a blocking one waits until its context ends.
func TestFull(t *testing.T) {
	a, b := newPipe(t, small)
	n := 0
	for a.TrySendBytes(make([]byte, 1000)) == nil {
		n++
	}
	if n < 3 || n > 4 {
		t.Errorf("%d messages of 1000 bytes fit 4096", n)
	}
	if err := a.TrySendBytes(make([]byte, 1000)); err != conn.ErrFull {
		t.Errorf("TrySendBytes = %v", err)
	}
	is(t, "SendBytes", a.SendBytes(done, make([]byte, 1000)), conn.ErrFull, context.Canceled)
	soon, cancel := context.WithTimeout(bg, time.Millisecond)
	defer cancel()
	is(t, "SendBytes", a.SendBytes(soon, make([]byte, 1000)), conn.ErrFull, context.DeadlineExceeded)
	sent := make(chan error)
	go func() { sent <- a.SendBytes(bg, make([]byte, 1000)) }()
	inside(t, sending(a))
	for range n + 1 {
		if m, err := b.RecvBytes(bg); len(m) != 1000 || err != nil {
			t.Fatal(len(m), err)
		}
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
}

// P36: the receiving side of the same.
func TestEmpty(t *testing.T) {
	_, b := newPipe(t, small)
	if _, err := b.TryRecvBytes(); err != conn.ErrEmpty {
		t.Errorf("TryRecvBytes = %v", err)
	}
	_, err := b.RecvBytes(done)
	is(t, "RecvBytes", err, conn.ErrEmpty, context.Canceled)
	soon, cancel := context.WithTimeout(bg, time.Millisecond)
	defer cancel()
	_, err = b.RecvBytes(soon)
	is(t, "RecvBytes", err, conn.ErrEmpty, context.DeadlineExceeded)
}

// P37: two sides that send more than fits before they receive block each other
// for as long as their contexts let them, and then go on.
func TestBothSendMoreThanFits(t *testing.T) {
	a, b := newPipe(t, small)
	ctx, cancel := context.WithCancel(bg)
	big := make([]byte, 10_000)
	sent := make(chan error)
	for _, c := range []*conn.Conn{a, b} {
		go func() { sent <- c.SendBytes(ctx, big) }()
		inside(t, sending(c))
	}
	cancel()
	for range 2 {
		is(t, "SendBytes", <-sent, conn.ErrFull, context.Canceled)
	}
	send(t, a, "small")
	expect(t, b, "small")
}
