//go:build linux

package conn_test

import (
	"errors"
	"io"
	"syscall"
	"testing"

	"github.com/sluice-ipc/sluice/conn"
	"github.com/sluice-ipc/sluice/internal/shmtest"
	"github.com/sluice-ipc/sluice/internal/sys"
	"github.com/sluice-ipc/sluice/ring"
)

// withAndWithoutPidfd runs f with the death of processes told by the kernel, and
// found by the tick.
func withAndWithoutPidfd(t *testing.T, f func(t *testing.T)) {
	t.Run("pidfd", f)
	t.Run("tick", func(t *testing.T) {
		sys.DisablePidfd(true)
		defer sys.DisablePidfd(false)
		f(t)
	})
}

// P23: the death of the process that has the other end ends a blocked receive
// like a close.
func TestKilledPeerIsEOF(t *testing.T) {
	withAndWithoutPidfd(t, func(t *testing.T) {
		shmtest.NoLeaks(t)
		for _, o := range []*conn.Options{small, asleep, {Size: 4096, Spin: ring.SpinAlways}} {
			a, b := newPipe(t, o)
			c := spawn(t, b, "peer", "both")
			c.Expect("ready")
			ask(c, "send last", "sent")
			expect(t, a, "last")
			out := make(chan error)
			go func() { _, err := a.RecvBytes(bg); out <- err }()
			inside(t, receiving(a))
			c.Kill()
			if err := <-out; err != io.EOF {
				t.Errorf("RecvBytes = %v", err)
			}
			expectEOF(t, a)
			noReader(t, a)
			is(t, "send", a.SendBytes(bg, nil), conn.ErrBrokenPipe, syscall.EPIPE)
			if p := a.Peer(); p.State != ring.PeerDied || p.PID != 0 {
				t.Errorf("Peer = %+v", p)
			}
			a.Close()
		}
	})
}

// P23: the same for a blocked send.
func TestKilledPeerIsBrokenPipe(t *testing.T) {
	withAndWithoutPidfd(t, func(t *testing.T) {
		shmtest.NoLeaks(t)
		for _, size := range []int{2000, 100_000} { // whole, in pieces
			a, b := newPipe(t, asleep)
			c := spawn(t, b, "peer", "both")
			c.Expect("ready")
			out := make(chan error)
			go func() {
				for {
					if err := a.SendBytes(bg, make([]byte, size)); err != nil {
						out <- err
						return
					}
				}
			}()
			inside(t, sending(a))
			c.Kill()
			is(t, "SendBytes", <-out, conn.ErrBrokenPipe, syscall.EPIPE)
			expectEOF(t, a)
			a.Close()
		}
	})
}

// P23: who only polls, with calls that never sleep, learns of the death as well.
func TestKilledPeerIsNoticedByPolling(t *testing.T) {
	withAndWithoutPidfd(t, func(t *testing.T) {
		for name, poll := range map[string]func(c *conn.Conn) error{
			"TryRecvBytes": func(c *conn.Conn) error { _, err := c.TryRecvBytes(); return err },
			"TryRecv":      func(c *conn.Conn) error { _, err := c.TryRecv(); return err },
			"TryPoll": func(c *conn.Conn) error {
				if ready, err := c.TryPoll(); !ready || err != nil {
					return err
				}
				_, err := c.TryPeek()
				return err
			},
		} {
			a, b := newPipe(t, small)
			c := spawn(t, b, "peer", "both")
			c.Expect("ready")
			if err := poll(a); err != conn.ErrEmpty && err != nil {
				t.Fatalf("%s = %v", name, err)
			}
			c.Kill()
			shmtest.Eventually(t, func() bool { return poll(a) == io.EOF }, name)
		}
		a, b := newPipe(t, small)
		c := spawn(t, b, "peer", "both")
		c.Expect("ready")
		for a.TrySendBytes(make([]byte, 1000)) == nil {
		}
		c.Kill()
		shmtest.Eventually(t, func() bool {
			return errors.Is(a.TrySendBytes(make([]byte, 1000)), conn.ErrBrokenPipe)
		}, "TrySendBytes")
		shmtest.Eventually(t, func() bool {
			_, err := a.TryReserve(1000)
			return errors.Is(err, conn.ErrBrokenPipe)
		}, "TryReserve")
	})
}

// P23: what the dead one had sent is received, and a message that it peeked or
// had reserved is not in anybody's way.
func TestKilledWithLoans(t *testing.T) {
	a, b := newPipe(t, small)
	send(t, a, "peeked by the child", "not even that")
	c := spawn(t, b, "peer", "both")
	c.Expect("ready")
	ask(c, "send one", "sent")
	ask(c, "send two", "sent")
	ask(c, "peek", "peeked peeked by the child")
	ask(c, "reserve", "reserved")
	c.Kill()
	expect(t, a, "one", "two")
	expectEOF(t, a)
	noReader(t, a)
}

// noReader waits until it is seen that nobody receives any more: who notices a
// death repairs one direction after the other.
func noReader(t *testing.T, a *conn.Conn) {
	t.Helper()
	shmtest.Eventually(t, func() bool { return errors.Is(a.SendBytes(bg, nil), conn.ErrBrokenPipe) })
}

// P23: a child that is killed while it is blocked itself.
func TestKilledWhileBlocked(t *testing.T) {
	a, b := newPipe(t, small)
	c := spawn(t, b, "peer", "both")
	c.Expect("ready")
	ask(c, "block", "blocking")
	c.Kill()
	expectEOF(t, a)
}

// A process that ends without closing its end has closed it.
func TestExitIsClose(t *testing.T) {
	a, b := newPipe(t, small)
	c := spawn(t, b, "peer", "both")
	c.Expect("ready")
	ask(c, "send bye", "sent")
	c.Exit()
	expect(t, a, "bye")
	expectEOF(t, a)
}

// P25, P34: a message that its sender's death cut short is reported once, and
// then the stream ends. Nothing of it is ever received.
func TestMessageCutByDeath(t *testing.T) {
	a, b := newPipe(t, small)
	c := spawn(t, b, "peer", "both")
	c.Expect("ready")
	ask(c, "send whole", "sent")
	c.Send("fill 1000000")
	expect(t, a, "whole")
	if _, err := a.RecvBytesMax(bg, 0); !errors.Is(err, conn.ErrTooLarge) {
		t.Fatalf("the pieces do not come: %v", err)
	}
	c.Kill()
	_, err := a.RecvBytes(bg)
	is(t, "cut message", err, conn.ErrMessageLost, io.ErrUnexpectedEOF)
	expectEOF(t, a)
}

// P34: a message that its sender gave up is discarded, and the next one is
// whole.
func TestMessageCutByItsSender(t *testing.T) {
	a, b := newPipe(t, small)
	is(t, "send", a.SendBytes(done, make([]byte, 50_000)), conn.ErrFull)
	sent := make(chan error)
	go func() { sent <- a.SendBytes(bg, []byte("whole")) }()
	expect(t, b, "whole")
	if err := <-sent; err != nil {
		t.Error(err)
	}
}

// A process that is stopped is not dead: nothing says so, and it goes on where
// it was.
func TestStoppedPeerIsAlive(t *testing.T) {
	withAndWithoutPidfd(t, func(t *testing.T) {
		a, b := newPipe(t, asleep)
		c := spawn(t, b, "peer", "both")
		c.Expect("ready")
		c.Stop()
		c.Send("recv")
		out := make(chan error)
		go func() { _, err := a.RecvBytes(bg); out <- err }()
		inside(t, receiving(a))
		for range 10 {
			// Peer tests the lock of the other end each time.
			if p := a.Peer(); p.State != ring.PeerAlive || p.PID != c.Pid() {
				t.Fatalf("Peer of a stopped process = %+v", p)
			}
		}
		send(t, a, "hello")
		c.Cont()
		c.Expect("got hello")
		ask(c, "send well", "sent")
		if err := <-out; err != nil {
			t.Error(err)
		}
	})
}

// deathRounds is how often a child is killed by those tests that say how long it
// took until the death was noticed.
func deathRounds() int {
	if testing.Short() {
		return 3
	}
	return 10
}

// P32, P33: kill the sender of many at any moment: every message that arrives
// is whole and in order.
func TestKilledWhileSending(t *testing.T) {
	for range deathRounds() {
		r, w := newSimplex(t, small)
		c := spawn(t, w, "flood")
		for i := range 500 {
			if n, err := conn.RecvAs[int](bg, r); n != i || err != nil {
				t.Fatal(n, err)
			}
		}
		c.Kill()
		next := 500
		for v, err := range r.All(bg) {
			if v != int64(next) || err != nil {
				t.Fatalf("message %d is %v, %v", next, v, err)
			}
			next++
		}
	}
}

func init() {
	roles["flood"] = func([]string) int {
		w := must(conn.InheritedSend("end", nil))
		for i := 0; ; i++ {
			if err := w.Send(bg, i); err != nil {
				return 1
			}
		}
	}
}
