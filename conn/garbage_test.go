//go:build linux

package conn_test

import (
	"context"
	"errors"
	"io"
	"runtime"
	"testing"
	"time"

	"github.com/sluice-ipc/sluice/conn"
	"github.com/sluice-ipc/sluice/internal/shmtest"
)

// collects makes garbage be collected until f holds.
func collects(t *testing.T, f func() bool, what string) {
	t.Helper()
	shmtest.Eventually(t, func() bool { runtime.GC(); return f() }, what)
}

// P48, G6: an end that nobody can reach any more is closed, and gives back
// everything it had.
func TestForgottenEndIsClosed(t *testing.T) {
	shmtest.NoLeaks(t)
	for _, o := range []*conn.Options{nil, small} {
		a, _, err := conn.Pipe(o) // the other end is garbage at once
		if err != nil {
			t.Fatal(err)
		}
		collects(t, func() bool { _, err := a.TryRecvBytes(); return err == io.EOF }, "the end is closed")
		shmtest.Eventually(t, func() bool { return errors.Is(a.TrySendBytes(nil), conn.ErrBrokenPipe) })
		a.Close()
	}
	r, _, err := conn.SimplexPipe(nil)
	if err != nil {
		t.Fatal(err)
	}
	collects(t, func() bool { _, err := r.TryRecvBytes(); return err == io.EOF }, "the sender is closed")
	r.Close()
	_, w, err := conn.SimplexPipe(nil)
	if err != nil {
		t.Fatal(err)
	}
	collects(t, func() bool { return errors.Is(w.TrySendBytes(nil), conn.ErrBrokenPipe) }, "the receiver is closed")
	w.Close()
}

// P48: the same in another process, which goes on living.
func TestForgottenEndOfAChild(t *testing.T) {
	a, b := newPipe(t, small)
	c := spawn(t, b, "forgetful")
	c.Expect("sent")
	expect(t, a, "one")
	expectEOF(t, a)
	c.Exit()
}

func init() {
	roles["forgetful"] = func([]string) int {
		func() {
			c := must(conn.Inherited("end", nil))
			if err := c.SendBytes(bg, []byte("one")); err != nil {
				panic(err)
			}
		}()
		shmtest.Say("sent")
		stop := make(chan bool)
		go func() { shmtest.Hear(); close(stop) }()
		for {
			select {
			case <-stop:
				return 0
			case <-time.After(time.Millisecond):
				runtime.GC()
			}
		}
	}
}

// A goroutine that is blocked on an end keeps it open, although nothing else
// does, and so does a loop over it.
func TestBlockedGoroutineKeepsItsEnd(t *testing.T) {
	calls := map[string]func(c *conn.Conn) error{
		"RecvBytes": func(c *conn.Conn) error { _, err := c.RecvBytes(bg); return err },
		"Recv":      func(c *conn.Conn) error { _, err := c.Recv(bg); return err },
		"Peek":      func(c *conn.Conn) error { _, err := c.Peek(bg); return err },
		"Poll":      func(c *conn.Conn) error { _, err := c.Poll(bg); return err },
		"RecvSlice": func(c *conn.Conn) error { _, err := conn.RecvSlice[byte](bg, c); return err },
		"AllBytes": func(c *conn.Conn) error {
			for _, err := range c.AllBytes(bg) {
				return err
			}
			return nil
		},
		"SendBytes": func(c *conn.Conn) error { return c.SendBytes(bg, make([]byte, 2000)) },
		"Send":      func(c *conn.Conn) error { return c.Send(bg, make([]byte, 1500)) },
		"Reserve":   func(c *conn.Conn) error { _, err := c.Reserve(bg, 2000); return err },
	}
	for name, call := range calls {
		a, b, err := conn.Pipe(asleep)
		if err != nil {
			t.Fatal(err)
		}
		send(t, a, string(make([]byte, 2000)), string(make([]byte, 1000)))
		out := make(chan error)
		go func(c *conn.Conn) { out <- call(c) }(a)
		_, sends := map[string]int{"SendBytes": 1, "Send": 1, "Reserve": 1}[name]
		if sends {
			inside(t, sending(a))
		} else {
			inside(t, receiving(a))
		}
		a = nil // only the goroutine has it now
		for range 3 {
			runtime.GC()
		}
		if sends {
			expect(t, b, string(make([]byte, 2000)), string(make([]byte, 1000)))
		} else {
			send(t, b, "\x01")
		}
		if err := <-out; err != nil {
			t.Errorf("%s: %v", name, err)
		}
		b.Close()
	}
}

// An end that is forgotten while memory of it is on loan is given up for the
// other side, but the memory stays where it is.
func TestForgottenLoans(t *testing.T) {
	a, _, msg := forgetLoans(t)
	collects(t, func() bool { _, err := a.TryRecvBytes(); return err == io.EOF }, "the end is closed")
	shmtest.Eventually(t, func() bool { return errors.Is(a.TrySendBytes(nil), conn.ErrBrokenPipe) })
	if string(msg) != "on loan" {
		t.Errorf("the message is %q", msg)
	}
	a.Close()
	if string(msg) != "on loan" {
		t.Errorf("the message is %q", msg)
	}
}

func forgetLoans(t *testing.T) (a *conn.Conn, buf, msg []byte) {
	a, b, err := conn.Pipe(nil)
	if err != nil {
		t.Fatal(err)
	}
	send(t, a, "on loan")
	if msg, err = b.Peek(context.Background()); err != nil {
		t.Fatal(err)
	}
	if buf, err = b.Reserve(bg, 100); err != nil {
		t.Fatal(err)
	}
	return a, buf, msg
}
