//go:build linux

package conn_test

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/sluice-ipc/sluice/conn"
	"github.com/sluice-ipc/sluice/internal/race"
	"github.com/sluice-ipc/sluice/internal/shmtest"
)

func init() {
	// dialer dials so many connections, talks over each, and stays.
	roles["dialer"] = func(args []string) int {
		n := 1
		if len(args) > 1 {
			fmt.Sscan(args[1], &n)
		}
		for range n {
			c := must(conn.Dial(bg, args[0], &conn.DialOptions{Conn: *asleep}))
			must("", c.SendBytes(bg, []byte("hello")))
			must(c.RecvBytes(bg))
		}
		shmtest.Say("talked")
		shmtest.Hear()
		return 0
	}
	// restless dials, talks and closes, for ever.
	roles["restless"] = func(args []string) int {
		shmtest.Say("ready")
		for {
			c, err := conn.Dial(bg, args[0], &conn.DialOptions{Conn: *small, Wait: true})
			if err != nil {
				continue
			}
			c.SendBytes(bg, []byte("hello"))
			c.SendFile(bg, os.Stdin)
			c.RecvBytes(bg)
			c.Close()
		}
	}
}

// times collects how long after a death somebody learned of it.
type times []time.Duration

func (d times) String() string {
	slices.Sort(d)
	return fmt.Sprintf("%d deaths: median %v, longest %v", len(d), d[len(d)/2], d[len(d)-1])
}

// The other side of one that is killed while it is idle, or blocked itself: every
// call that is blocked here returns, and the listener goes on.
func TestKilledDialerEndsBlockedCalls(t *testing.T) {
	withAndWithoutPidfd(t, func(t *testing.T) {
		shmtest.NoLeaks(t)
		l := listen(t, "", &conn.ListenOptions{Conn: *asleep})
		var took times
		for range deathRounds() {
			child := shmtest.Start(t, "dialer", l.Addr())
			a := must(l.Accept(bg))
			expect(t, a, "hello")
			send(t, a, "hello")
			child.Expect("talked")
			took = append(took, blockedUntil(t, a, child.Kill)...)
			a.Close()
		}
		t.Log(took)
		goodClient(t, l, nil)
	})
}

// The same for the listener.
func TestKilledListenerEndsBlockedCalls(t *testing.T) {
	withAndWithoutPidfd(t, func(t *testing.T) {
		shmtest.NoLeaks(t)
		var took times
		addr := t.TempDir() + "/s"
		for range deathRounds() {
			child := shmtest.Start(t, "listener", addr, "hold") // takes over what the last one left
			child.Expect("listening")
			c := must(conn.Dial(bg, addr, &conn.DialOptions{Conn: *asleep}))
			send(t, c, "echo")
			expect(t, c, "echo")
			took = append(took, blockedUntil(t, c, child.Kill)...)
			c.Close()
		}
		t.Log(took)
	})
}

// blockedUntil blocks in all ways on an end, kills whoever has the other one, and
// returns how long it took until the calls had ended.
func blockedUntil(t *testing.T, c *conn.Conn, kill func()) (took times) {
	t.Helper()
	ends := make(chan time.Time, 3)
	go func() {
		if _, err := c.RecvBytes(bg); err != io.EOF {
			t.Errorf("RecvBytes = %v", err)
		}
		ends <- time.Now()
	}()
	go func() {
		if _, err := c.RecvFile(bg); err != io.EOF {
			t.Errorf("RecvFile = %v", err)
		}
		ends <- time.Now()
	}()
	go func() {
		for {
			if err := c.SendBytes(bg, make([]byte, 100_000)); err != nil {
				is(t, "SendBytes", err, conn.ErrBrokenPipe)
				ends <- time.Now()
				return
			}
		}
	}()
	inside(t, receiving(c))
	inside(t, sending(c))
	start := time.Now()
	kill()
	for range 3 {
		took = append(took, (<-ends).Sub(start))
	}
	return took
}

// A listener that is killed while dialers are in the handshake, at any moment:
// they get a connection that ends or an error, and the address is taken over.
func TestKilledListenerInTheHandshake(t *testing.T) {
	shmtest.NoLeaks(t)
	addr := t.TempDir() + "/s"
	rounds := 40
	if testing.Short() {
		rounds = 8
	}
	made, failed := 0, 0
	for i := range rounds {
		child := shmtest.Start(t, "listener", addr)
		child.Expect("listening")
		out := make(chan error, 4)
		for range 4 {
			go func() {
				for {
					c, err := conn.Dial(bg, addr, &conn.DialOptions{Conn: *small})
					if err == nil {
						c.SendBytes(bg, []byte("hello"))
						_, err = c.RecvBytes(bg)
						c.Close()
					}
					if err != nil {
						out <- err
						return
					}
				}
			}()
		}
		for range i % 5 {
			must(conn.Dial(bg, addr, &conn.DialOptions{Conn: *small})).Close()
		}
		child.Kill()
		for range 4 {
			if err := <-out; err == io.EOF {
				made++
			} else {
				failed++
			}
		}
	}
	t.Logf("%d dialers had a connection that ended, %d failed", made, failed)
	l := listen(t, addr, nil)
	goodClient(t, l, nil)
}

// Dialers that are killed at any moment, most of them in the handshake: the
// listener goes on and keeps nothing of them.
func TestKilledDialersAtAnyMoment(t *testing.T) {
	shmtest.NoLeaks(t)
	l := listen(t, "", &conn.ListenOptions{Conn: *asleep})
	go func() {
		for {
			a, err := l.Accept(bg)
			if err != nil {
				return
			}
			go func() {
				defer a.Close()
				for {
					m, err := a.RecvBytes(bg)
					if err != nil {
						return
					}
					a.SendBytes(bg, m)
				}
			}()
		}
	}()
	rounds := 100
	if testing.Short() {
		rounds = 15
	}
	for range rounds {
		c := shmtest.Start(t, "restless", l.Addr())
		c.Expect("ready")
		for range rand.N(20_000) {
			runtime.Gosched()
		}
		c.Kill()
	}
	c := must(conn.Dial(bg, l.Addr(), nil))
	send(t, c, "still here")
	expect(t, c, "still here")
	c.Close()
}

// Ten thousand connections that are made, used, and end, some by closing and
// some by death, leave nothing behind.
func TestTenThousandCyclesLeaveNothing(t *testing.T) {
	shmtest.NoLeaks(t)
	dir := t.TempDir()
	l := listen(t, dir+"/s", &conn.ListenOptions{Conn: *asleep})
	closes, deaths := 9600, 400
	if testing.Short() || race.Enabled || os.Getenv("SLUICE_EMULATED") != "" {
		closes, deaths = 480, 20
	}
	const each = 10 // connections of a child
	serve := func(t *testing.T) {
		a := must(l.Accept(bg))
		defer a.Close()
		expect(t, a, "hello")
		send(t, a, "hello")
	}
	cycle := func() {
		go serve(t)
		c := must(conn.Dial(bg, l.Addr(), &conn.DialOptions{Conn: *asleep}))
		defer c.Close()
		send(t, c, "hello")
		expect(t, c, "hello")
	}
	die := func() {
		child := shmtest.Start(t, "dialer", l.Addr(), fmt.Sprint(each))
		var all []*conn.Conn
		for range each {
			a := must(l.Accept(bg))
			expect(t, a, "hello")
			send(t, a, "hello")
			all = append(all, a)
		}
		child.Expect("talked")
		child.Kill()
		for _, a := range all {
			expectEOF(t, a)
			a.Close()
		}
	}
	for range 20 {
		cycle()
	}
	before, files := takeCensus(), dirFiles(dir)
	start := time.Now()
	for i := range closes {
		cycle()
		if i%(closes/(deaths/each)) == 0 {
			die()
		}
	}
	t.Logf("%d closed and %d died in %v", closes, deaths, time.Since(start).Round(time.Millisecond))
	t.Logf("before: %v", before)
	shmtest.Eventually(t, func() bool {
		now := takeCensus()
		return now.maps <= before.maps && now.goroutines <= before.goroutines && now.threads <= before.threads+10
	}, "nothing is left")
	after := takeCensus()
	t.Logf("after:  %v (of the descriptors %d belong to the children's standard streams)", after, 3*deaths/each)
	if after.fds > before.fds+3*(deaths/each) || !slices.Equal(files, dirFiles(dir)) {
		t.Errorf("something is left behind; files %v", dirFiles(dir))
	}
}

func dirFiles(dir string) []string {
	all, _ := filepath.Glob(filepath.Join(dir, "*"))
	return all
}

// An end that is passed on, or closed, while its sideband looks for a death or has
// files that nobody wants.
func TestHandoverUnderTheSideband(t *testing.T) {
	shmtest.NoLeaks(t)
	l := listen(t, "", nil)
	rounds := 500
	if testing.Short() {
		rounds = 100
	}
	x := must(conn.Dial(bg, l.Addr(), &conn.DialOptions{Conn: *small}))
	defer x.Close()
	y := must(l.Accept(bg))
	defer y.Close()
	for i := range rounds {
		c := must(conn.Dial(bg, l.Addr(), &conn.DialOptions{Conn: *small}))
		a := must(l.Accept(bg))
		send(t, a, "last")
		for range i % 20 {
			if err := a.SendFile(bg, os.Stdin); err != nil {
				t.Fatal(err)
			}
		}
		closed := make(chan error)
		go func() { closed <- a.Close() }()
		if i%2 == 0 {
			if err := <-closed; err != nil {
				t.Fatal(err)
			}
		}
		if i%3 == 0 {
			c.Close()
		} else {
			for err := x.SendHandle(bg, c); err != nil; err = x.SendHandle(bg, c) {
				is(t, "SendHandle", err, conn.ErrBusy) // it would lose a file
				must(c.RecvFile(bg)).Close()
			}
			c = must(y.RecvConn(bg, nil))
			expect(t, c, "last")
			expectEOF(t, c)
			c.Close()
		}
		if i%2 != 0 {
			if err := <-closed; err != nil {
				t.Fatal(err)
			}
		}
	}
}

// A connection that was dialled is passed to a child: the messages go on, the
// socket stays behind, and the child's death is its end.
func TestPassDialledConnection(t *testing.T) {
	shmtest.NoLeaks(t)
	l := listen(t, "", nil)
	c := must(conn.Dial(bg, l.Addr(), &conn.DialOptions{Conn: *small}))
	a := must(l.Accept(bg))
	defer a.Close()
	send(t, c, "of the parent")
	blocked := make(chan error)
	go func() { _, err := c.RecvFile(bg); blocked <- err }()
	child := spawn(t, c, "peer", "both")
	child.Expect("ready")
	is(t, "RecvFile of who passed it", <-blocked, conn.ErrMoved, conn.ErrClosed)
	is(t, "SendFile", c.SendFile(bg, os.Stdin), conn.ErrMoved)
	ask(child, "send of-the-child", "sent")
	expect(t, a, "of the parent", "of-the-child")
	send(t, a, "down")
	ask(child, "recv", "got down")
	if _, err := a.RecvFile(bg); err != io.EOF {
		t.Errorf("RecvFile = %v", err)
	}
	is(t, "SendFile", a.SendFile(bg, os.Stdin), conn.ErrBrokenPipe)
	child.Kill()
	expectEOF(t, a)
	noReader(t, a)
	if !errors.Is(c.Close(), nil) {
		t.Error("closing what has moved")
	}
}
