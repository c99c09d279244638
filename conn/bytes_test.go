//go:build linux

package conn_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

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
