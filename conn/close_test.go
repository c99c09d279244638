//go:build linux

package conn_test

import (
	"os"
	"testing"

	"github.com/sluice-ipc/sluice/conn"
	"github.com/sluice-ipc/sluice/internal/shmtest"
	"github.com/sluice-ipc/sluice/ring"
)

// Closing one direction leaves the other as it is.
func TestHalfClose(t *testing.T) {
	a, b := newPipe(t, nil)
	send(t, a, "question")
	for range 2 {
		if err := a.CloseWrite(); err != nil {
			t.Fatal(err)
		}
	}
	if a.CanSend() || !a.CanRecv() || a.Closed() {
		t.Error(a)
	}
	is(t, "send", a.SendBytes(bg, nil), conn.ErrClosed)
	expect(t, b, "question")
	expectEOF(t, b)
	send(t, b, "answer")
	expect(t, a, "answer")
	if err := a.CloseRead(); err != nil {
		t.Fatal(err)
	}
	is(t, "send", b.SendBytes(bg, nil), conn.ErrBrokenPipe)
	_, err := a.RecvBytes(bg)
	is(t, "receive", err, conn.ErrClosed)
}

// P4, P29, P51: Close may be called twice, after which everything fails, before
// its arguments are looked at.
func TestClosed(t *testing.T) {
	a, b := newPipe(t, nil)
	if a.Closed() || !a.CanSend() || !a.CanRecv() {
		t.Error(a)
	}
	send(t, b, "unread")
	for range 2 {
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if !a.Closed() || a.CanSend() || a.CanRecv() {
		t.Error(a)
	}
	checkGone(t, a, conn.ErrClosed)
	if p := a.Peer(); p != (conn.Peer{}) {
		t.Errorf("Peer = %v", p)
	}
	if a.MaxReserve() != b.MaxReserve() {
		t.Errorf("MaxReserve = %d, %d", a.MaxReserve(), b.MaxReserve())
	}
}

// checkGone checks that every call fails with want, also one whose arguments
// are wrong.
func checkGone(t *testing.T, c *conn.Conn, want error) {
	t.Helper()
	errs := receiveErrors(c, bg)
	for name, err := range sendErrors(c, bg) {
		errs[name] = err
	}
	_, errs["Poll"] = c.Poll(bg)
	_, errs["TryPoll"] = c.TryPoll()
	errs["Commit"] = c.Commit(0)
	errs["Abort"] = c.Abort()
	errs["Release"] = c.Release()
	_, errs["More"] = c.More()
	_, errs["RecvBytesMax(-1)"] = c.RecvBytesMax(bg, -1)
	errs["RecvTo(nil)"] = c.RecvTo(bg, nil)
	errs["Send(chan)"] = c.Send(bg, make(chan int))
	errs["SendBytes(too long)"] = c.SendBytes(bg, make([]byte, 2<<20))
	errs["SendSlice[string]"] = conn.SendSlice(bg, c, []string{""})
	_, errs["RecvSlice[bool]"] = conn.RecvSlice[bool](bg, c)
	_, errs["Handover"] = c.Handover()
	for name, err := range errs {
		is(t, name, err, want, conn.ErrClosed, os.ErrClosed)
	}
	for _, err := range c.All(bg) {
		is(t, "All", err, want)
	}
	for _, err := range c.AllBytes(bg) {
		is(t, "AllBytes", err, want)
	}
}

// P30: Close is what defer calls, and does no harm to an end that is closed.
func TestDeferredClose(t *testing.T) {
	a, b := newPipe(t, nil)
	func() {
		defer a.Close()
		send(t, a, "bye")
		a.Close()
	}()
	expect(t, b, "bye")
	expectEOF(t, b)
}

// P31: Close wakes everybody who is blocked in this process, in every call.
func TestCloseWakesBlockedGoroutines(t *testing.T) {
	for _, o := range []*conn.Options{small, asleep, {Size: 4096, Spin: ring.SpinAlways}} {
		shmtest.NoLeaks(t)
		a, b := newPipe(t, o)
		send(t, a, string(make([]byte, 2000)), string(make([]byte, 1000)))
		calls := []func(c *conn.Conn) error{
			func(c *conn.Conn) error { _, err := c.RecvBytes(bg); return err },
			func(c *conn.Conn) error { _, err := c.Recv(bg); return err },
			func(c *conn.Conn) error { _, err := c.Peek(bg); return err },
			func(c *conn.Conn) error { _, err := c.Poll(bg); return err },
			func(c *conn.Conn) error { return c.SendBytes(bg, make([]byte, 2000)) },
			func(c *conn.Conn) error { _, err := c.Reserve(bg, 2000); return err },
		}
		out := make(chan error)
		for _, call := range calls {
			go func() { out <- call(a) }()
		}
		inside(t, receiving(a))
		inside(t, sending(a))
		a.Close()
		for range calls {
			is(t, "blocked call", <-out, conn.ErrClosed, os.ErrClosed)
		}
		b.Close()
	}
}

// Memory on loan outlives Close, and the other end learns of the closing when
// it has been given back.
func TestCloseWithLoans(t *testing.T) {
	shmtest.NoLeaks(t)
	a, b := newPipe(t, nil)
	send(t, b, "peeked")
	msg, err := a.Peek(bg)
	if err != nil {
		t.Fatal(err)
	}
	buf, err := a.Reserve(bg, 4)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if string(msg) != "peeked" {
		t.Errorf("the message is %q", msg)
	}
	copy(buf, "last")
	if _, err := b.TryRecvBytes(); err != conn.ErrEmpty {
		t.Errorf("before Commit: %v", err)
	}
	if err := a.Commit(4); err != nil {
		t.Fatal(err)
	}
	if err := a.Release(); err != nil {
		t.Fatal(err)
	}
	expect(t, b, "last")
	expectEOF(t, b)
	is(t, "send", b.SendBytes(bg, nil), conn.ErrBrokenPipe)
}
