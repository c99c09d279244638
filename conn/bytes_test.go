//go:build linux

package conn_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/sluice-ipc/sluice/conn"
)

// P1: both ends of a pipe send and receive.
func TestPipeIsDuplex(t *testing.T) {
	a, b := newPipe(t, nil)
	send(t, a, "to b", "again")
	send(t, b, "to a")
	expect(t, b, "to b", "again")
	expect(t, a, "to a")
}

// P2, P3: the direction of a simplex pipe is in the types of its ends.
func TestSimplexPipeHasOneDirection(t *testing.T) {
	r, w := newSimplex(t, nil)
	send(t, w, "one", "two")
	expect(t, r, "one", "two")
	if _, ok := any(r).(interface {
		SendBytes(context.Context, []byte) error
	}); ok {
		t.Error("the receiving end can send")
	}
	if _, ok := any(w).(interface {
		RecvBytes(context.Context) ([]byte, error)
	}); ok {
		t.Error("the sending end can receive")
	}
}

// P5, P9, P47: one send is one receive, also when it is empty, and the order of
// each direction is kept whatever the other one does.
func TestMessagesAreNeitherMergedNorSplit(t *testing.T) {
	a, b := newPipe(t, nil)
	msgs := []string{"a", "", "bc", "", "", "def"}
	for i, m := range msgs {
		send(t, a, m)
		send(t, b, fmt.Sprint(i))
	}
	expect(t, b, msgs...)
	expect(t, a, "0", "1", "2", "3", "4", "5")
	if _, err := b.TryRecvBytes(); err != conn.ErrEmpty {
		t.Errorf("after the last message: %v", err)
	}
}

// P8, P9, P15: nil and empty slices are empty messages, and an empty message
// fits an empty buffer. What Python says with offset and size a slice says.
func TestEmptyMessages(t *testing.T) {
	a, b := newPipe(t, nil)
	buf := []byte("buffer")
	for _, m := range [][]byte{nil, {}, buf[6:]} {
		if err := a.SendBytes(bg, m); err != nil {
			t.Fatal(err)
		}
	}
	if ready, err := b.TryPoll(); !ready || err != nil {
		t.Errorf("TryPoll = %v, %v", ready, err)
	}
	if got, err := b.RecvBytes(bg); err != nil || got == nil || len(got) != 0 {
		t.Errorf("RecvBytes = %#v, %v", got, err)
	}
	if n, err := b.RecvBytesInto(bg, nil); n != 0 || err != nil {
		t.Errorf("RecvBytesInto(nil) = %d, %v", n, err)
	}
	if got, err := b.RecvBytesMax(bg, 0); err != nil || got == nil || len(got) != 0 {
		t.Errorf("RecvBytesMax(0) = %#v, %v", got, err)
	}
}

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

// P11, P12: a message above the limit stays, the connection goes on, and the
// message can be received with a larger limit or be skipped.
func TestReceiveWithLimit(t *testing.T) {
	for _, n := range []int{100, 3000, 20_000} { // one frame, pieces, beyond the ring
		a, b := newPipe(t, small)
		big := bytes.Repeat([]byte("x"), n)
		sent := make(chan error, 1)
		go func() {
			sent <- errors.Join(a.SendBytes(bg, big), a.SendBytes(bg, big), a.SendBytes(bg, []byte("next")))
		}()
		for range 2 {
			var long *conn.MessageTooLongError
			_, err := b.RecvBytesMax(bg, n-1)
			if !errors.As(err, &long) || long.Size != n || long.Max != n-1 {
				t.Fatalf("RecvBytesMax = %v", err)
			}
			is(t, "too long", err, conn.ErrTooLarge)
		}
		if !b.CanRecv() || !b.CanSend() {
			t.Error("the connection does not go on")
		}
		if got, err := b.RecvBytesMax(bg, n); err != nil || !bytes.Equal(got, big) {
			t.Fatalf("RecvBytesMax(%d) = %d bytes, %v", n, len(got), err)
		}
		if err := b.Skip(bg); err != nil {
			t.Fatal(err)
		}
		if got, err := b.RecvBytesMax(bg, 4); err != nil || string(got) != "next" {
			t.Fatalf("RecvBytesMax = %q, %v", got, err)
		}
		if err := <-sent; err != nil {
			t.Fatal(err)
		}
	}
}

// P11: the limit is checked before anything is waited for.
func TestNegativeLimit(t *testing.T) {
	_, b := newPipe(t, nil)
	if _, err := b.RecvBytesMax(bg, -1); err == nil || errors.Is(err, conn.ErrClosed) {
		t.Errorf("RecvBytesMax(-1) = %v", err)
	}
}

// P13, P14: the rest of the buffer is not touched; of a buffer that is too
// short nothing is, the message comes with the error, and is consumed.
func TestReceiveIntoBuffer(t *testing.T) {
	a, b := newPipe(t, small)
	for _, try := range []bool{false, true} {
		into := b.RecvBytesInto
		if try {
			into = func(_ context.Context, buf []byte) (int, error) { return b.TryRecvBytesInto(buf) }
		}
		buf := []byte("----------")
		send(t, a, "hello", "this is too long", "next")
		if n, err := into(bg, buf); n != 5 || err != nil || string(buf) != "hello-----" {
			t.Fatalf("into = %d, %v, %q", n, err, buf)
		}
		var short *conn.BufferTooShortError
		n, err := into(bg, buf)
		if n != 0 || !errors.As(err, &short) || string(short.Message) != "this is too long" || short.Room != 10 {
			t.Fatalf("into = %d, %v", n, err)
		}
		is(t, "too short", err, io.ErrShortBuffer)
		if string(buf) != "hello-----" {
			t.Errorf("buffer is %q", buf)
		}
		expect(t, b, "next")
		if !try {
			continue
		}
		if _, err := into(bg, buf); err != conn.ErrEmpty {
			t.Errorf("TryRecvBytesInto = %v", err)
		}
	}
}

func TestReceiveAppends(t *testing.T) {
	a, b := newPipe(t, nil)
	send(t, a, "world")
	got, err := b.RecvAppend(bg, []byte("hello "))
	if err != nil || string(got) != "hello world" {
		t.Fatalf("RecvAppend = %q, %v", got, err)
	}
	if got, err = b.RecvAppend(done, got); string(got) != "hello world" {
		t.Errorf("RecvAppend = %q, %v", got, err)
	}
	is(t, "RecvAppend", err, conn.ErrEmpty, context.Canceled)
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

// SendBatch shows all messages at once, or sends none.
func TestSendBatch(t *testing.T) {
	a, b := newPipe(t, small)
	if err := a.SendBatch(bg, [][]byte{[]byte("one"), nil, []byte("three")}); err != nil {
		t.Fatal(err)
	}
	expect(t, b, "one", "", "three")
	if err := a.SendBatch(bg, nil); err != nil {
		t.Errorf("no messages: %v", err)
	}
	over := [][]byte{make([]byte, 1500), make([]byte, 1500), make([]byte, 1500)}
	is(t, "more than fits", a.SendBatch(bg, over), conn.ErrTooLarge)
	send(t, a, string(make([]byte, 1500)))
	is(t, "no room now", a.SendBatch(done, over[:2]), conn.ErrFull, context.Canceled)
	expect(t, b, string(make([]byte, 1500)))
	if _, err := b.TryRecvBytes(); err != conn.ErrEmpty {
		t.Errorf("a part of the batch was sent: %v", err)
	}
}
