//go:build linux

package conn_test

import (
	"errors"
	"io"
	"os/exec"
	"runtime"
	"testing"

	"github.com/sluice-ipc/sluice/conn"
	"github.com/sluice-ipc/sluice/internal/shmtest"
	"github.com/sluice-ipc/sluice/ring"
	"github.com/sluice-ipc/sluice/shm"
)

// P43, G1: an end moves to a child, and the parent has nothing to close.
func TestPassToChild(t *testing.T) {
	shmtest.NoLeaks(t)
	a, b := newPipe(t, nil)
	send(t, a, "before")
	send(t, b, "early")
	c := spawn(t, b, "peer", "both")
	c.Expect("ready")
	checkGone(t, b, conn.ErrMoved)
	if !b.Closed() || b.CanSend() || b.CanRecv() {
		t.Error(b)
	}
	ask(c, "recv", "got before")
	expect(t, a, "early")
	if p := a.Peer(); p.PID != c.Pid() || p.State != ring.PeerAlive {
		t.Errorf("Peer = %+v, want process %d", p, c.Pid())
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	ask(c, "send hello", "sent")
	expect(t, a, "hello")
	ask(c, "close", "closed")
	expectEOF(t, a)
	c.Exit()
	a.Close()
}

// P2: the ends of a simplex pipe move as what they are.
func TestPassSimplex(t *testing.T) {
	r, w := newSimplex(t, nil)
	c := spawn(t, r, "peer", "recv")
	c.Expect("ready")
	send(t, w, "down")
	ask(c, "recv", "got down")
	ask(c, "close", "closed")
	is(t, "send", w.SendBytes(bg, nil), conn.ErrBrokenPipe)

	r, w = newSimplex(t, nil)
	c = spawn(t, w, "peer", "send")
	c.Expect("ready")
	ask(c, "send up", "sent")
	expect(t, r, "up")
	ask(c, "close", "closed")
	expectEOF(t, r)
	_, err := w.Handover()
	is(t, "Handover", err, conn.ErrMoved)
}

// P24: a handle that somebody forgot to close keeps no end alive: the end is in
// the child, and ends with it.
func TestForgottenHandleIsNoHolder(t *testing.T) {
	a, b := newPipe(t, nil)
	c := spawn(t, b, "peer", "both")
	c.Expect("ready")
	// Another child is started meanwhile, which must not get the end either.
	other := shmtest.Start(t, "idle")
	other.Expect("ready")
	c.Kill()
	expectEOF(t, a)
	if b.Closed() != true {
		t.Error(b)
	}
}

func init() {
	roles["idle"] = func([]string) int {
		shmtest.Say("ready")
		shmtest.Hear()
		return 0
	}
}

// A child that dies before it has asked for its end takes the end with it.
func TestChildThatNeverAttached(t *testing.T) {
	withAndWithoutPidfd(t, func(t *testing.T) {
		shmtest.NoLeaks(t)
		a, b := newPipe(t, asleep)
		send(t, b, "left behind")
		out := make(chan error)
		c := spawn(t, b, "idle")
		c.Expect("ready")
		expect(t, a, "left behind")
		go func() { _, err := a.RecvBytes(bg); out <- err }()
		inside(t, receiving(a))
		if p := a.Peer(); p.PID != 0 || p.State != ring.PeerAlive {
			t.Errorf("Peer = %+v while nobody has adopted the end", p)
		}
		c.Kill()
		if err := <-out; err != io.EOF {
			t.Errorf("RecvBytes = %v", err)
		}
		a.Close()
	})
}

// A child that could not be started takes the end with it too.
func TestChildThatNeverStarted(t *testing.T) {
	shmtest.NoLeaks(t)
	a, b := newPipe(t, asleep)
	cmd := exec.Command("/nonexistent/program")
	if err := shm.Pass(cmd, "end", b); err != nil {
		t.Fatal(err)
	}
	if err := shm.Start(cmd); err == nil {
		t.Fatal("it started")
	}
	expectEOF(t, a)
	is(t, "use", b.SendBytes(bg, nil), conn.ErrMoved)
	a.Close()
}

// An end that is in use stays, in both its directions, and works on.
func TestPassOfBusyEnd(t *testing.T) {
	a, b := newPipe(t, small)
	for _, tt := range []struct {
		name  string
		begin func() error
		end   func() error
	}{
		{"peeked", func() error { send(t, b, "x"); _, err := a.Peek(bg); return err }, a.Release},
		{"reserved", func() error { _, err := a.Reserve(bg, 1); return err }, a.Abort},
	} {
		if err := tt.begin(); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("/nonexistent/program")
		is(t, tt.name, shm.Pass(cmd, "end", a), conn.ErrBusy)
		if a.Closed() || !a.CanRecv() || !a.CanSend() {
			t.Fatal(a)
		}
		if err := tt.end(); err != nil {
			t.Fatal(err)
		}
	}
	send(t, b, "closed, and on loan")
	if _, err := a.Peek(bg); err != nil {
		t.Fatal(err)
	}
	_, err := a.Handover()
	is(t, "peeked", err, conn.ErrBusy)
	send(t, b, "next")
	if err := a.Release(); err != nil {
		t.Fatal(err)
	}
	expect(t, a, "next")

	got := make(chan error)
	go func() { _, err := a.RecvBytes(bg); got <- err }()
	inside(t, receiving(a))
	_, err = a.Handover()
	is(t, "receiving", err, conn.ErrBusy)
	send(t, a, "still here")
	expect(t, b, "still here")
	send(t, b, "x")
	if err := <-got; err != nil {
		t.Error(err)
	}
	a.Close()
	expectEOF(t, b)
}

// So does one of which a direction was closed with memory on loan: the other
// end has not been told yet.
func TestPassOfClosedDirectionOnLoan(t *testing.T) {
	a, b := newPipe(t, small)
	if _, err := a.Reserve(bg, 10); err != nil {
		t.Fatal(err)
	}
	if err := a.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	_, err := a.Handover()
	is(t, "reserved", err, conn.ErrBusy)
	if err := a.Abort(); err != nil {
		t.Fatal(err)
	}
	expectEOF(t, b)
	c := spawn(t, a, "peer", "both")
	c.Expect("ready")
	send(t, b, "still receiving")
	ask(c, "recv", "got still receiving")
	c.Kill()
	shmtest.Eventually(t, func() bool { return errors.Is(b.TrySendBytes(nil), conn.ErrBrokenPipe) })
}

// refusedWithHalfAMessage has a receive a part of a message, tries to pass it, and
// has it receive the rest.
func refusedWithHalfAMessage(t *testing.T, a, b *conn.Conn) {
	t.Helper()
	sent := make(chan error, 1)
	for err := error(nil); err == nil; {
		go func() { sent <- b.SendBytes(bg, make([]byte, 100_000)) }()
		must(a.Poll(bg))
		if _, err = a.RecvBytes(done); err == nil { // all of it came at once
			<-sent
		}
	}
	_, err := a.Handover()
	is(t, "half a message", err, conn.ErrBusy)
	if msg, err := a.RecvBytes(bg); len(msg) != 100_000 || err != nil {
		t.Fatal(len(msg), err)
	}
	check(<-sent)
}

// So does one that has received a part of a message, which nobody else could
// complete. Sending had been detached by then, and goes on.
func TestPassOfHalfReceivedMessage(t *testing.T) {
	shmtest.NoLeaks(t)
	a, b := newPipe(t, small)
	send(t, a, "one")
	refusedWithHalfAMessage(t, a, b)
	send(t, a, "two")
	expect(t, b, "one", "two")
	c := spawn(t, a, "peer", "both")
	c.Expect("ready")
	ask(c, "send three", "sent")
	expect(t, b, "three")
	c.Kill()
	expectEOF(t, b)
	b.Close()
}

// An end that could not be passed because it was receiving can be passed later,
// also when it does not send any more.
func TestPassAfterAllWithSendingClosed(t *testing.T) {
	shmtest.NoLeaks(t)
	a, b := newPipe(t, small)
	check(a.CloseWrite())
	refusedWithHalfAMessage(t, a, b)
	c := spawn(t, a, "peer", "receives")
	c.Expect("ready")
	send(t, b, "two")
	ask(c, "recv", "got two")
	c.Kill()
	b.Close()
}

// Whoever tries an end while it is being passed finds it there or not; the end is
// passed, or stays.
func TestPassUnderTries(t *testing.T) {
	shmtest.NoLeaks(t)
	for range 60 {
		a, b := newPipe(t, small)
		over := make(chan struct{})
		go func() {
			defer close(over)
			for {
				if _, err := a.TryRecvBytes(); errors.Is(err, conn.ErrClosed) {
					return
				}
				runtime.Gosched()
			}
		}()
		for {
			f, _, err := shm.Export(a)
			if err == nil {
				<-over
				f.Close() // and with it the end dies
				break
			}
			is(t, "Export", err, conn.ErrBusy)
			if err := b.TrySendBytes([]byte("it is there")); err != nil {
				is(t, "TrySendBytes", err, conn.ErrFull)
			}
		}
		expectEOF(t, b)
		b.Close()
	}
}

// G4, G5: a pipe has no name anywhere, and closing it here takes nothing from
// who has the other end.
func TestCloseIsLocal(t *testing.T) {
	shmtest.NoLeaks(t, "sluice-pipe")
	a, b := newPipe(t, nil)
	if files := shmtest.ShmFiles("sluice-pipe"); len(files) != 0 {
		t.Error(files)
	}
	send(t, a, "for the child")
	c := spawn(t, b, "peer", "both")
	a.Close()
	c.Expect("ready")
	ask(c, "recv", "got for the child")
	ask(c, "recv", "EOF")
	c.Send("send x")
	if got := c.Line(); got != "error: conn: send to memfd:pipe.b: no receiver" {
		t.Error(got)
	}
	c.Exit()
}
