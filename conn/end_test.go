//go:build linux

package conn_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"syscall"
	"testing"

	"github.com/sluice-ipc/sluice/conn"
	"github.com/sluice-ipc/sluice/internal/shmtest"
	"github.com/sluice-ipc/sluice/ring"
)

// P19, P20: after the last message comes io.EOF, from every call and for ever,
// and a poll says that a receive would not block.
func TestEndOfStream(t *testing.T) {
	a, b := newPipe(t, nil)
	send(t, a, "one", "two")
	a.Close()
	expect(t, b, "one", "two")
	for range 2 {
		for name, err := range receiveErrors(b, done) {
			if err != io.EOF {
				t.Errorf("%s at the end: %v", name, err)
			}
		}
		if ready, err := b.TryPoll(); !ready || err != nil {
			t.Errorf("TryPoll at the end = %v, %v", ready, err)
		}
		if ready, err := b.Poll(bg); !ready || err != nil {
			t.Errorf("Poll at the end = %v, %v", ready, err)
		}
	}
	for range b.All(bg) {
		t.Error("All goes on after the end")
	}
	if s := b.Peer().State; s != ring.PeerClosed {
		t.Errorf("the peer is %v", s)
	}
	if !b.CanRecv() {
		t.Error("CanRecv at the end of the stream")
	}
}

// The end stays the end, also of a peer that pretends to come back.
func TestEndOfStreamStays(t *testing.T) {
	a, b := newPipe(t, small)
	m := conn.Memory(b)
	const writer = 1024 + 512 // of the first ring: who writes, see package ring
	alive := bytes.Clone(m[writer : writer+8])
	a.Close()
	expectEOF(t, b)
	copy(m[writer:], alive)
	for name, err := range receiveErrors(b, done) {
		if err != io.EOF {
			t.Errorf("%s after the end: %v", name, err)
		}
	}
}

// receiveErrors makes every kind of receive once.
func receiveErrors(c *conn.Conn, ctx context.Context) map[string]error {
	errs := map[string]error{}
	buf, v := make([]byte, 10), 0
	_, errs["RecvBytes"] = c.RecvBytes(ctx)
	_, errs["TryRecvBytes"] = c.TryRecvBytes()
	_, errs["RecvBytesMax"] = c.RecvBytesMax(ctx, 10)
	_, errs["RecvAppend"] = c.RecvAppend(ctx, buf)
	_, errs["RecvBytesInto"] = c.RecvBytesInto(ctx, buf)
	_, errs["TryRecvBytesInto"] = c.TryRecvBytesInto(buf)
	_, errs["Recv"] = c.Recv(ctx)
	_, errs["TryRecv"] = c.TryRecv()
	errs["RecvTo"] = c.RecvTo(ctx, &v)
	errs["TryRecvTo"] = c.TryRecvTo(&v)
	_, errs["RecvAs"] = conn.RecvAs[int](ctx, c)
	_, errs["RecvSlice"] = conn.RecvSlice[int32](ctx, c)
	_, errs["RecvSliceInto"] = conn.RecvSliceInto(ctx, c, []int32{1})
	_, errs["Peek"] = c.Peek(ctx)
	_, errs["TryPeek"] = c.TryPeek()
	errs["Skip"] = c.Skip(ctx)
	return errs
}

// sendErrors makes every kind of send once.
func sendErrors(c *conn.Conn, ctx context.Context) map[string]error {
	errs := map[string]error{}
	errs["SendBytes"] = c.SendBytes(ctx, []byte("x"))
	errs["TrySendBytes"] = c.TrySendBytes(nil)
	errs["SendBatch"] = c.SendBatch(ctx, [][]byte{nil})
	errs["Send"] = c.Send(ctx, 1)
	errs["TrySend"] = c.TrySend(1)
	errs["SendSlice"] = conn.SendSlice(ctx, c, []int32{1})
	_, errs["Reserve"] = c.Reserve(ctx, 1)
	_, errs["TryReserve"] = c.TryReserve(1)
	return errs
}

// P22: sending to an end that is closed gives the same error every time, and
// no signal.
func TestBrokenPipe(t *testing.T) {
	a, b := newPipe(t, nil)
	b.Close()
	for range 3 {
		for name, err := range sendErrors(a, bg) {
			is(t, name, err, conn.ErrBrokenPipe, syscall.EPIPE)
		}
	}
}

// P21: what the other end leaves unread when it closes is no error here.
func TestUnreadDataIsNoErrorForItsSender(t *testing.T) {
	a, b := newPipe(t, nil)
	send(t, a, "never read")
	send(t, b, "last words")
	b.Close()
	expect(t, a, "last words")
	expectEOF(t, a)
	is(t, "send", a.SendBytes(bg, nil), conn.ErrBrokenPipe)
}

// P50: an end is itself and nothing else, and can be the key of a map.
func TestEndsAreComparable(t *testing.T) {
	a, b := newPipe(t, nil)
	names := map[conn.Receiver]string{a: "a", b: "b"}
	if names[a] != "a" || names[b] != "b" || a.Name() == b.Name() {
		t.Error(names, a.Name(), b.Name())
	}
}

// The text of an error says what was done, to which end, and why it failed.
func TestErrorTexts(t *testing.T) {
	a, b := newPipe(t, &conn.Options{Label: "jobs", MaxMessage: 100})
	_, empty := a.RecvBytes(done)
	long := a.SendBytes(bg, make([]byte, 101))
	b.Close()
	broken := a.SendBytes(bg, nil)
	a.Close()
	for _, tt := range []struct {
		err  error
		text string
	}{
		{empty, "conn: receive from memfd:jobs.a: empty: context canceled"},
		{long, "conn: memfd:jobs.a: message of 101 bytes, at most 100 allowed"},
		{broken, "conn: send to memfd:jobs.a: no receiver"},
		{a.SendBytes(bg, nil), "conn: send to memfd:jobs.a: end is closed"},
		{b.Commit(1), "conn: send to memfd:jobs.b: end is closed"},
	} {
		if tt.err == nil || tt.err.Error() != tt.text {
			t.Errorf("%v\nwant %s", tt.err, tt.text)
		}
	}
	if s := a.String(); s != "memfd:jobs.a (closed)" {
		t.Error(s)
	}
}

// G9: every error is a value that errors.Is knows.
func TestErrorsAreSystemErrors(t *testing.T) {
	is(t, "closed", conn.ErrClosed, os.ErrClosed)
	is(t, "moved", conn.ErrMoved, conn.ErrClosed, os.ErrClosed)
	is(t, "broken", conn.ErrBrokenPipe, syscall.EPIPE)
	is(t, "lost", conn.ErrMessageLost, io.ErrUnexpectedEOF)
	is(t, "too long", &conn.MessageTooLongError{}, conn.ErrTooLarge)
	is(t, "too short", &conn.BufferTooShortError{}, io.ErrShortBuffer)
	if errors.Is(&conn.DecodeError{Err: io.EOF}, io.EOF) {
		t.Error("a DecodeError looks like the end of the stream")
	}
}

// Bad sizes and labels are refused, and too much memory is said so.
func TestPipeRefuses(t *testing.T) {
	shmtest.NoLeaks(t)
	for _, o := range []*conn.Options{{Size: -1}, {Size: 1<<30 + 1}, {Label: "a\x00b"}} {
		if a, b, err := conn.Pipe(o); err == nil {
			t.Errorf("%+v is accepted", o)
			a.Close()
			b.Close()
		}
	}
	r, w, err := conn.SimplexPipe(&conn.Options{Size: 1})
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	w.Close()
}
