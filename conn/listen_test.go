//go:build linux

package conn_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-ipc/sluice/conn"
	"github.com/sluice-ipc/sluice/internal/shmtest"
)

// What a dialer sends before Accept, and before it closes, arrives.
func TestDialSendClose(t *testing.T) {
	shmtest.NoLeaks(t)
	for _, addr := range []string{"", "@sluice-test-" + fmt.Sprint(os.Getpid()), t.TempDir() + "/s"} {
		l := must(conn.Listen(addr, nil))
		c := must(conn.Dial(bg, l.Addr(), nil))
		send(t, c, "one", "two")
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		a := must(l.Accept(bg))
		expect(t, a, "one", "two")
		if _, err := a.Recv(bg); err != io.EOF {
			t.Error(err)
		}
		if cred, ok := a.Credentials(); !ok || cred.PID != os.Getpid() || cred.UID != os.Getuid() {
			t.Error(cred, ok)
		}
		a.Close()
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		if _, err := l.Accept(bg); !errors.Is(err, conn.ErrListenerClosed) || !errors.Is(err, os.ErrClosed) {
			t.Error(err)
		}
		if _, err := conn.Dial(bg, l.Addr(), nil); err == nil {
			t.Error("dialled nobody")
		}
	}
}

// A key must be the same on both sides, or on neither.
func TestKeys(t *testing.T) {
	shmtest.NoLeaks(t)
	for _, tt := range []struct {
		listener, dialer []byte
		ok               bool
	}{
		{nil, nil, true},
		{[]byte("secret"), []byte("secret"), true},
		{[]byte("secret"), []byte("wrong"), false},
		{[]byte("secret"), nil, false},
		{nil, []byte("secret"), false},
	} {
		l := must(conn.Listen("", &conn.ListenOptions{Key: tt.listener}))
		c, err := conn.Dial(bg, l.Addr(), &conn.DialOptions{Key: tt.dialer})
		if tt.ok {
			if err != nil {
				t.Fatal(err)
			}
			a := must(l.Accept(bg))
			send(t, a, "hi")
			expect(t, c, "hi")
			a.Close()
			c.Close()
		} else if !errors.Is(err, conn.ErrAuth) {
			t.Errorf("%q, %q: %v", tt.listener, tt.dialer, err)
		}
		l.Close()
	}
}

// Files and connections travel over a connection.
func TestSendFilesAndConnections(t *testing.T) {
	shmtest.NoLeaks(t)
	l := must(conn.Listen("", nil))
	defer l.Close()
	c := must(conn.Dial(bg, l.Addr(), nil))
	defer c.Close()
	a := must(l.Accept(bg))
	defer a.Close()
	f := must(os.CreateTemp(t.TempDir(), ""))
	defer f.Close()
	f.WriteString("contents")
	if err := c.SendFile(bg, f); err != nil {
		t.Fatal(err)
	}
	x, y, err := conn.Pipe(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	send(t, x, "waiting")
	if err := c.SendHandle(bg, y); err != nil {
		t.Fatal(err)
	}
	g := must(a.RecvFile(bg))
	defer g.Close()
	g.Seek(0, 0)
	if b := string(must(io.ReadAll(g))); b != "contents" {
		t.Error(b)
	}
	z := must(a.RecvConn(bg, nil))
	expect(t, z, "waiting")
	send(t, z, "thanks")
	expect(t, x, "thanks")
	z.Close()
	expectEOF(t, x)
	ctx, cancel := context.WithCancel(bg)
	cancel()
	if _, err := a.RecvFile(ctx); !errors.Is(err, conn.ErrEmpty) || !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	c.Close()
	if _, err := a.RecvFile(bg); err != io.EOF {
		t.Error(err)
	}
}

// L5, L10, L11: Accept waits for as long as it is told; Close wakes it, and it
// fails with one error from then on.
func TestAcceptEnds(t *testing.T) {
	shmtest.NoLeaks(t)
	l := must(conn.Listen("", nil))
	_, err := l.Accept(done)
	is(t, "Accept", err, context.Canceled)
	ctx, cancel := context.WithTimeout(bg, time.Millisecond)
	defer cancel()
	_, err = l.Accept(ctx)
	is(t, "Accept", err, context.DeadlineExceeded)
	c := must(conn.Dial(bg, l.Addr(), nil))
	defer c.Close()
	a := must(l.Accept(done)) // it is there when Dial has returned
	defer a.Close()
	out := make(chan error)
	for range 5 {
		go func() { _, err := l.Accept(bg); out <- err }()
	}
	waiting := must(conn.Dial(bg, l.Addr(), nil)) // one of them gets it
	defer waiting.Close()
	if err := <-out; err != nil {
		t.Error(err)
	}
	start := time.Now()
	l.Close()
	for range 4 {
		is(t, "Accept", <-out, conn.ErrListenerClosed, os.ErrClosed, net.ErrClosed)
	}
	t.Logf("Close and four Accepts took %v", time.Since(start))
	_, err = l.Accept(bg)
	is(t, "Accept", err, conn.ErrListenerClosed)
	if l.Addr() == "" {
		t.Error("no address any more")
	}
	send(t, a, "the connection stays")
	expect(t, c, "the connection stays")
	runtime.GC() // the one that was accepted and forgotten is closed
	collects(t, func() bool { _, err := waiting.TryRecvBytes(); return err == io.EOF }, "it is closed")
}

// L10: what nobody has accepted when the listener is closed is closed.
func TestCloseClosesWhatWasNotAccepted(t *testing.T) {
	shmtest.NoLeaks(t)
	l := must(conn.Listen("", nil))
	c := must(conn.Dial(bg, l.Addr(), nil))
	defer c.Close()
	l.Close()
	expectEOF(t, c)
	is(t, "send", c.SendBytes(bg, nil), conn.ErrBrokenPipe)
}

// L7: what the acceptor sends before it closes, at once, arrives.
func TestAcceptSendClose(t *testing.T) {
	shmtest.NoLeaks(t)
	l := listen(t, "", nil)
	rounds := 1000
	if testing.Short() {
		rounds = 100
	}
	go func() {
		for range rounds {
			a := must(l.Accept(bg))
			a.SendBytes(bg, []byte("bye"))
			a.Close()
		}
	}()
	for range rounds {
		c, err := conn.Dial(bg, l.Addr(), &conn.DialOptions{Conn: *small})
		if err != nil {
			t.Fatal(err)
		}
		if ready, err := c.Poll(bg); !ready || err != nil {
			t.Error(ready, err)
		}
		expect(t, c, "bye")
		expectEOF(t, c)
		c.Close()
	}
}

// Descriptors run out in a listener's process: it goes on when there are some
// again. A file that could not be received is told of.
func TestListenerOutOfDescriptors(t *testing.T) {
	shmtest.NoLeaks(t)
	addr := t.TempDir() + "/s"
	c := shmtest.Start(t, "starved", addr)
	c.Expect("listening")
	first := must(conn.Dial(bg, addr, &conn.DialOptions{Conn: *small}))
	defer first.Close()
	c.Expect("starved")
	if err := first.SendFile(bg, os.Stdin); err != nil {
		t.Fatal(err)
	}
	c.Expect("lost")
	out := make(chan *conn.Conn)
	go func() { out <- must(conn.Dial(bg, addr, &conn.DialOptions{Conn: *small})) }()
	var waiting []raw
	for range 20 {
		waiting = append(waiting, dialRaw(t, addr))
	}
	for _, r := range waiting {
		r.Close()
	}
	c.Send("feed")
	second := <-out
	defer second.Close()
	send(t, second, "hello")
	c.Expect("got hello")
	c.Exit()
}

func init() {
	roles["starved"] = func(args []string) int {
		l := must(conn.Listen(args[0], nil))
		shmtest.Say("listening")
		a := must(l.Accept(bg))
		var was, now syscall.Rlimit
		syscall.Getrlimit(syscall.RLIMIT_NOFILE, &was)
		now = was
		now.Cur = 3
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &now); err != nil {
			shmtest.Say("%v", err)
		}
		shmtest.Say("starved")
		if _, err := a.RecvFile(bg); errors.Is(err, syscall.EMFILE) {
			shmtest.Say("lost")
		} else {
			shmtest.Say("%v", err)
		}
		shmtest.Hear()
		syscall.Setrlimit(syscall.RLIMIT_NOFILE, &was)
		b := must(l.Accept(bg))
		m, err := b.RecvBytes(bg)
		answer("got "+string(m), err)
		shmtest.Hear()
		return 0
	}
}

// L24: signals do not end Accept, Dial or what waits on a connection.
func TestSignalsDoNotEndAccept(t *testing.T) {
	shmtest.NoLeaks(t)
	got := make(chan os.Signal, 1)
	signal.Notify(got, syscall.SIGUSR1)
	defer signal.Stop(got)
	l := listen(t, "", nil)
	out := make(chan error)
	go func() {
		a, err := l.Accept(bg)
		if err == nil {
			_, err = a.RecvBytes(bg)
			a.Close()
		}
		out <- err
	}()
	for range 100 {
		syscall.Kill(os.Getpid(), syscall.SIGUSR1)
		<-got
	}
	c := must(conn.Dial(bg, l.Addr(), nil))
	defer c.Close()
	for range 100 {
		syscall.Kill(os.Getpid(), syscall.SIGUSR1)
		<-got
	}
	send(t, c, "x")
	if err := <-out; err != nil {
		t.Error(err)
	}
}
