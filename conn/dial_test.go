//go:build linux

package conn_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-ipc/sluice/conn"
	"github.com/sluice-ipc/sluice/internal/shmtest"
)

// L13: a dialer can wait for a listener that is not there yet, that ends, or that
// is followed by another.
func TestDialWaits(t *testing.T) {
	shmtest.NoLeaks(t)
	addr := t.TempDir() + "/s"
	_, err := conn.Dial(bg, addr, nil)
	is(t, "nobody", err, fs.ErrNotExist)
	ctx, cancel := context.WithTimeout(bg, 20*time.Millisecond)
	defer cancel()
	_, err = conn.Dial(ctx, addr, &conn.DialOptions{Wait: true})
	is(t, "nobody in time", err, context.DeadlineExceeded, fs.ErrNotExist)
	out := make(chan *conn.Conn)
	go func() { out <- must(conn.Dial(bg, addr, &conn.DialOptions{Wait: true})) }()
	for range 3 {
		mute := rawListener(t, addr)
		c := must(mute.AcceptUnix())
		mute.Close()
		c.Close()
	}
	l := listen(t, addr, nil)
	c := <-out
	defer c.Close()
	a := must(l.Accept(bg))
	defer a.Close()
	send(t, c, "at last")
	expect(t, a, "at last")
}

// A context that ends at any moment of Dial leaves nothing, on either side.
func TestDialContextEndsAnytime(t *testing.T) {
	shmtest.NoLeaks(t)
	l := listen(t, "", &conn.ListenOptions{Key: []byte("k")})
	go func() {
		for {
			a, err := l.Accept(bg)
			if err != nil {
				return
			}
			go func() {
				a.RecvBytes(bg)
				a.Close()
			}()
		}
	}()
	o := &conn.DialOptions{Key: []byte("k"), Conn: *small}
	start := time.Now()
	must(conn.Dial(bg, l.Addr(), o)).Close()
	whole := time.Since(start)
	made, rounds := 0, 1000
	if testing.Short() {
		rounds = 200
	}
	for i := range rounds {
		ctx, cancel := context.WithTimeout(bg, whole*time.Duration(i)/time.Duration(rounds)*3/2)
		c, err := conn.Dial(ctx, l.Addr(), o)
		if err == nil {
			made++
			c.Close()
		} else {
			is(t, "Dial", err, context.DeadlineExceeded)
		}
		cancel()
	}
	_, err := conn.Dial(done, l.Addr(), o)
	is(t, "Dial", err, context.Canceled)
	t.Logf("%d of %d were made", made, rounds)
}

// A mute listener holds a dialer for as long as its context lasts.
func TestDialMuteListener(t *testing.T) {
	shmtest.NoLeaks(t)
	addr := t.TempDir() + "/s"
	rawListener(t, addr)
	ctx, cancel := context.WithTimeout(bg, 10*time.Millisecond)
	defer cancel()
	_, err := conn.Dial(ctx, addr, nil)
	is(t, "Dial", err, context.DeadlineExceeded)
}

// A listener that closes under dialers: each gets a connection that ends, or an
// error that says so.
func TestCloseUnderDial(t *testing.T) {
	shmtest.NoLeaks(t)
	rounds := 100
	if testing.Short() {
		rounds = 20
	}
	var made, hungUp, nobody atomic.Int64
	for i := range rounds {
		l := must(conn.Listen("", &conn.ListenOptions{Backlog: 1}))
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				for {
					c, err := conn.Dial(bg, l.Addr(), &conn.DialOptions{Conn: *small})
					switch {
					case err == nil:
						made.Add(1)
						if _, err := c.RecvBytes(bg); err != io.EOF {
							t.Error(err)
						}
						c.Close()
					case errors.Is(err, conn.ErrHungUp):
						hungUp.Add(1)
					case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
						nobody.Add(1)
						return
					default:
						t.Error(err)
						return
					}
				}
			})
		}
		for range i % 10 {
			must(l.Accept(bg)).Close()
		}
		l.Close()
		all.Wait()
	}
	t.Logf("%d made, %d hung up, %d found nobody", made.Load(), hungUp.Load(), nobody.Load())
}

// What a connection costs in descriptors, in each of two processes.
func TestDescriptorsOfAConnection(t *testing.T) {
	shmtest.NoLeaks(t)
	l := listen(t, "", nil)
	const n = 50
	c := shmtest.Start(t, "collector", l.Addr())
	var base, after int
	must(l.Accept(bg)).Close()
	fmt.Sscan(c.Line(), &base)
	ours := len(shmtest.FDs())
	c.Send("%d", n)
	for range n {
		a := must(l.Accept(bg))
		defer a.Close()
		send(t, a, "wait")
		go func() { a.RecvBytes(bg) }() // somebody waits at each end
	}
	fmt.Sscan(c.Line(), &after)
	here, there := float64(len(shmtest.FDs())-ours)/n, float64(after-base)/n
	t.Logf("a connection costs %.2f descriptors in the listener's process, %.2f in the dialer's", here, there)
	if here > 3 || there > 3 || here < 1 || there < 1 {
		t.Error("it should be at most 3")
	}
	c.Exit()
}

func init() {
	roles["collector"] = func(args []string) int {
		must(conn.Dial(bg, args[0], nil)).Close()
		shmtest.Say("%d", len(shmtest.FDs()))
		line, _ := shmtest.Hear()
		var n int
		fmt.Sscan(line, &n)
		for range n {
			c := must(conn.Dial(bg, args[0], &conn.DialOptions{Conn: *asleep}))
			must(c.RecvBytes(bg))
			go c.RecvBytes(bg)
		}
		shmtest.Say("%d", len(shmtest.FDs()))
		shmtest.Hear()
		return 0
	}
}
