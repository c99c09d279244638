//go:build linux

package conn_test

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/sluice-ipc/sluice/conn"
	"github.com/sluice-ipc/sluice/internal/shmtest"
)

// A thousand half-open handshakes of another process: the good ones get through,
// and what they cost is bounded.
func TestHalfOpenHandshakes(t *testing.T) {
	shmtest.NoLeaks(t)
	failed := newFailures()
	const most = 64
	l := listen(t, "", &conn.ListenOptions{Handshakes: most, Failed: failed.add, HandshakeTimeout: time.Hour})
	goodClient(t, l, nil)
	before := takeCensus()
	c := shmtest.Start(t, "halfopen", l.Addr(), "1000")
	for range 20 {
		goodClient(t, l, nil)
	}
	c.Expect("open")
	shmtest.Eventually(t, func() bool { return failed.count(conn.ErrBusy) >= 1000-most }, "the surplus is given up")
	t.Logf("before: %v", before)
	var during census
	defer func() { t.Logf("during: %v", during) }()
	// What has been given up may still have to be closed.
	shmtest.Eventually(t, func() bool {
		during = takeCensus()
		return during.fds <= before.fds+most+10 && during.goroutines <= before.goroutines+most+10
	}, "that is bounded by %d handshakes", most)
	goodClient(t, l, nil)
	c.Kill()
	shmtest.Eventually(t, func() bool { return failed.count(conn.ErrHungUp) >= most-1 }, "the others end")
	goodClient(t, l, nil)
}

func init() {
	roles["halfopen"] = func(args []string) int {
		var n int
		fmt.Sscan(args[1], &n)
		for i := range n {
			r := dialRaw(nobody{}, args[0])
			if i%2 == 0 {
				r.say(conn.NewHello(nil))
			}
		}
		shmtest.Say("open")
		shmtest.Hear()
		return 0
	}
}

// nobody is a testing.TB for helpers in children.
type nobody struct{ testing.TB }

func (nobody) Helper()               {}
func (nobody) Cleanup(func())        {}
func (nobody) Errorf(string, ...any) {}
func (nobody) Fatal(args ...any)     { panic(fmt.Sprint(args...)) }
func (nobody) Fatalf(f string, args ...any) {
	panic(fmt.Sprintf(f, args...))
}

// Storms of those who connect and leave, at any moment of the handshake, while
// good clients come and go.
func TestConnectStorm(t *testing.T) {
	shmtest.NoLeaks(t)
	l := listen(t, "", nil)
	goodClient(t, l, nil)
	rounds := 2000
	if testing.Short() {
		rounds = 200
	}
	var storms []*shmtest.Child
	for range 3 {
		storms = append(storms, shmtest.Start(t, "storm", l.Addr(), fmt.Sprint(rounds)))
	}
	before := takeCensus()
	for _, c := range storms {
		c.Send("go")
	}
	for range rounds / 10 {
		goodClient(t, l, nil)
	}
	for _, c := range storms {
		c.Expect("over")
		c.Exit()
	}
	goodClient(t, l, nil)
	shmtest.Eventually(t, func() bool { return len(shmtest.FDs()) <= before.fds }, "all sockets are closed")
	t.Logf("before: %v", before)
	t.Logf("after %d: %v", 3*rounds, takeCensus())
}

func init() {
	roles["storm"] = func(args []string) int {
		var rounds int
		fmt.Sscan(args[1], &rounds)
		shmtest.Hear()
		for i := range rounds {
			r := dialRaw(nobody{}, args[0])
			switch i % 3 {
			case 1:
				r.say(conn.NewHello(nil))
			case 2:
				r.say(conn.NewHello(nil))
				r.say([]byte("O"), os.Stdin)
			}
			r.Close()
		}
		shmtest.Say("over")
		return 0
	}
}

// Dialers that have shaken hands and wait for Accept are not given up for others,
// who are told.
func TestBusyListener(t *testing.T) {
	shmtest.NoLeaks(t)
	failed := newFailures()
	// The time of a handshake does not count while it waits for Accept.
	l := listen(t, "", &conn.ListenOptions{Backlog: 2, Handshakes: 3, Failed: failed.add})
	type result struct {
		c   *conn.Conn
		err error
	}
	out := make(chan result)
	dial := func() { c, err := conn.Dial(bg, l.Addr(), &conn.DialOptions{Conn: *small}); out <- result{c, err} }
	for range 2 {
		go dial()
		defer must2(<-out).Close()
	}
	for range 10 {
		go dial()
	}
	// Three are waiting, seven have been told.
	for range 7 {
		r := <-out
		is(t, "Dial", r.err, conn.ErrBusy)
	}
	for range 5 {
		a := must(l.Accept(bg))
		defer a.Close()
	}
	for range 3 {
		r := <-out
		if r.err != nil {
			t.Fatal(r.err)
		}
		defer r.c.Close()
	}
	// The dialer may know before the listener has said so.
	shmtest.Eventually(t, func() bool { return failed.count(conn.ErrBusy) == 7 })
	goodClient(t, l, nil)
}

func must2(r struct {
	c   *conn.Conn
	err error
}) *conn.Conn {
	return must(r.c, r.err)
}

// Dialers wait longer for Accept than a handshake may take.
func TestBacklogOutlastsHandshakeTimeout(t *testing.T) {
	shmtest.NoLeaks(t)
	timeout := 30 * time.Millisecond
	failed := newFailures()
	l := listen(t, "", &conn.ListenOptions{Backlog: 1, HandshakeTimeout: timeout, Failed: failed.add})
	first := must(conn.Dial(bg, l.Addr(), nil))
	defer first.Close()
	out := make(chan error)
	go func() {
		c, err := conn.Dial(bg, l.Addr(), nil)
		if err == nil {
			c.Close()
		}
		out <- err
	}()
	for start := time.Now(); time.Since(start) < 5*timeout; {
		// A mute one shows that the time of a handshake has passed.
		is(t, "mute", dialRaw(t, l.Addr()).refused(), conn.ErrRefused)
	}
	for range 2 {
		must(l.Accept(bg)).Close()
	}
	if err := <-out; err != nil {
		t.Error(err)
	}
}

// Files that nobody receives: the sender waits, and what the receiver holds is
// bounded.
func TestFilesThatNobodyReceives(t *testing.T) {
	shmtest.NoLeaks(t)
	l := listen(t, "", nil)
	c := must(conn.Dial(bg, l.Addr(), nil))
	defer c.Close()
	a := must(l.Accept(bg))
	defer a.Close()
	before := takeCensus()
	sent := 0
	for full := false; !full && sent < 100_000; {
		// It is full for good, not for a moment, if the receiver has read what
		// it will before we try.
		stuck := len(shmtest.FDs()) >= before.fds+17
		switch err := c.SendFile(done, os.Stdin); {
		case err == nil:
			sent++
		default:
			is(t, "SendFile", err, conn.ErrFull, context.Canceled)
			full = stuck
		}
	}
	during := takeCensus()
	t.Logf("%d files are on their way; %d descriptors are open here for them", sent, during.fds-before.fds)
	if during.fds-before.fds > 20 || sent > 5000 {
		t.Errorf("that is not bounded")
	}
	is(t, "SendHandle", c.SendHandle(done, c), os.ErrInvalid)
	x, y := newPipe(t, small)
	is(t, "SendHandle", c.SendHandle(done, y), conn.ErrFull)
	send(t, y, "not lost")
	expect(t, x, "not lost")
	for range sent {
		must(a.RecvFile(bg)).Close()
	}
	if err := c.SendFile(done, os.Stdin); err != nil {
		t.Error(err)
	}
}
