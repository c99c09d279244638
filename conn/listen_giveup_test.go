//go:build linux

package conn_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-ipc/sluice/conn"
	"github.com/sluice-ipc/sluice/internal/shmtest"
	"github.com/sluice-ipc/sluice/shm"
)

// Dialers that were waiting for Accept and have gone take nobody's place.
func TestDialersThatGoBeforeTheirWelcome(t *testing.T) {
	shmtest.NoLeaks(t)
	failed := newFailures()
	l := listen(t, "", &conn.ListenOptions{Backlog: 1, Handshakes: 2, Failed: failed.add})
	first := must(conn.Dial(bg, l.Addr(), nil))
	defer first.Close()
	for n := 1; n <= 10; n++ {
		ctx, cancel := context.WithCancel(bg)
		waits := make(chan error)
		go func() { _, err := conn.Dial(ctx, l.Addr(), nil); waits <- err }()
		shmtest.Eventually(t, func() bool { return conn.Waiting(l) == 1 }, "it has offered a pipe")
		cancel()
		is(t, "Dial", <-waits, context.Canceled)
		shmtest.Eventually(t, func() bool { return failed.count(conn.ErrHungUp) == n }, "the listener lets it go")
	}
	must(l.Accept(bg)).Close()
	goodClient(t, l, nil)
}

// Who waits for its welcome has nothing to send: files that came all the same would
// stay here for as long as nobody calls Accept.
func TestFilesBeforeTheWelcome(t *testing.T) {
	shmtest.NoLeaks(t)
	failed := newFailures()
	l := listen(t, "", &conn.ListenOptions{Backlog: 1, Failed: failed.add})
	first := must(conn.Dial(bg, l.Addr(), nil))
	defer first.Close()
	own, other := newPipe(t, nil)
	defer own.Close()
	f, desc, err := shm.Export(other)
	check(err)
	defer f.Close()
	r := dialRaw(t, l.Addr())
	r.greet(nil)
	r.say(append([]byte("O"), desc...), f)
	r.say([]byte("F"), os.Stdin)
	if why := <-failed.c; !errors.Is(why, conn.ErrHungUp) {
		t.Errorf("it failed because %v", why)
	}
	must(l.Accept(bg)).Close()
	goodClient(t, l, nil)
}

// A process with many connections that wait for Accept cannot keep another one
// from shaking hands.
func TestWhoHasManyGivesWay(t *testing.T) {
	shmtest.NoLeaks(t)
	failed := newFailures()
	l := listen(t, "", &conn.ListenOptions{Backlog: 1, Handshakes: 4, Failed: failed.add})
	c := shmtest.Start(t, "dialers", l.Addr(), "4")
	shmtest.Eventually(t, func() bool { return conn.Waiting(l) == 3 }, "three wait for Accept")
	ours := dialRaw(t, l.Addr()) // the fourth, in the middle of its handshake
	ours.say(conn.NewHello(nil))
	ours.hear()
	c.Send("more")
	c.Expect("busy")
	shmtest.Eventually(t, func() bool { return failed.count(conn.ErrBusy) == 1 })
	ours.Close()
	shmtest.Eventually(t, func() bool { return failed.count(conn.ErrHungUp) == 1 }, "only now ours is over")
}

func init() {
	roles["dialers"] = func(args []string) int {
		dial := func() error { _, err := conn.Dial(bg, args[0], nil); return err }
		var n int
		fmt.Sscan(args[1], &n)
		for range n {
			go dial()
		}
		shmtest.Hear()
		if err := dial(); errors.Is(err, conn.ErrBusy) {
			shmtest.Say("busy")
		} else {
			shmtest.Say("%v", err)
		}
		shmtest.Hear()
		return 0
	}
	roles["few descriptors"] = func(args []string) int {
		limit := syscall.Rlimit{Cur: 40, Max: 40}
		check(syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit))
		var handshakes int
		fmt.Sscan(args[0], &handshakes)
		l := must(conn.Listen("", &conn.ListenOptions{HandshakeTimeout: time.Hour, Handshakes: handshakes}))
		defer l.Close()
		shmtest.Say("%s", l.Addr())
		c := must(l.Accept(bg))
		check(c.SendBytes(bg, must(c.RecvBytes(bg))))
		shmtest.Hear()
		return 0
	}
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

// fewDescriptors starts a listener that has few descriptors and allows so many
// handshakes, and 60 dialers that say nothing.
func fewDescriptors(t *testing.T, handshakes string) (addr string) {
	t.Helper()
	l := shmtest.Start(t, "few descriptors", handshakes)
	addr, _ = l.Next()
	for range 60 {
		dialRaw(t, addr)
	}
	return addr
}

// Where descriptors run out before there are too many handshakes, mute dialers
// keep nobody out all the same.
func TestMuteDialersAndFewDescriptors(t *testing.T) {
	shmtest.NoLeaks(t)
	addr := fewDescriptors(t, "0")
	c := must(conn.Dial(bg, addr, &conn.DialOptions{Conn: *small}))
	defer c.Close()
	send(t, c, "through")
	expect(t, c, "through")
}

// With more handshakes allowed than there are descriptors a dialer may be refused,
// but is never left waiting for those who say nothing.
func TestMoreHandshakesThanDescriptors(t *testing.T) {
	shmtest.NoLeaks(t)
	addr := fewDescriptors(t, "1000")
	ctx, cancel := context.WithTimeout(bg, shmtest.Watchdog())
	defer cancel()
	c, err := conn.Dial(ctx, addr, &conn.DialOptions{Conn: *small})
	if errors.Is(err, context.DeadlineExceeded) {
		t.Fatal("nobody made room:", err)
	}
	t.Log(err)
	if err == nil {
		c.Close()
	}
}

// A file whose closing waits for a peer that does not read holds nobody up.
func TestFilesThatLinger(t *testing.T) {
	shmtest.NoLeaks(t)
	failed := newFailures()
	l := must(conn.Listen("", &conn.ListenOptions{Failed: failed.add}))
	for range 3 {
		r := dialRaw(t, l.Addr())
		f := lingering(t)
		r.say(conn.NewHello(nil), f, f)
		f.Close()
	}
	shmtest.Eventually(t, func() bool { return failed.count(conn.ErrProtocol) == 3 }, "they are refused")
	goodClient(t, l, nil)

	r := dialRaw(t, l.Addr()) // one that is let in, and says that it sends a handle
	r.greet(nil)
	own, other := newPipe(t, nil)
	defer own.Close()
	offer, desc, err := shm.Export(other)
	check(err)
	r.say(append([]byte("O"), desc...), offer)
	offer.Close()
	a := must(l.Accept(bg))
	r.hear()
	f := lingering(t)
	r.say(append([]byte("F"), desc...), f)
	f.Close()
	_, err = a.RecvConn(bg, nil)
	var format *shm.FormatError
	if !errors.As(err, &format) {
		t.Errorf("RecvConn = %v", err)
	}
	check(a.Close())
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

// lingering is a TCP connection whose other side reads nothing, that is full, and
// waits for an hour when its last descriptor is closed.
func lingering(t *testing.T) *os.File {
	t.Helper()
	tl := must(net.Listen("tcp", "127.0.0.1:0"))
	t.Cleanup(func() { tl.Close() })
	c := must(net.Dial("tcp", tl.Addr().String())).(*net.TCPConn)
	other := must(tl.Accept())
	t.Cleanup(func() { other.Close() })
	c.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
	for {
		if _, err := c.Write(make([]byte, 1<<20)); err != nil {
			break // it is full
		}
	}
	f := must(c.File())
	c.Close()
	if err := syscall.SetsockoptLinger(int(f.Fd()), syscall.SOL_SOCKET, syscall.SO_LINGER,
		&syscall.Linger{Onoff: 1, Linger: 3600}); err != nil {
		t.Fatal(err)
	}
	return f
}
