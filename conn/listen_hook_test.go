//go:build linux && sluice_hooks

package conn_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/sluice-ipc/sluice/conn"
	"github.com/sluice-ipc/sluice/internal/hook"
	"github.com/sluice-ipc/sluice/internal/shmtest"
)

var hookKey = []byte("key")

func init() {
	// step-dialer dials, talks, sends a file and an end, and closes.
	roles["step-dialer"] = func(args []string) int {
		c, err := conn.Dial(bg, args[0], &conn.DialOptions{Key: hookKey, Conn: *asleep})
		if err != nil {
			return 1
		}
		c.SendBytes(bg, []byte("hello"))
		c.RecvBytes(bg)
		x, y, _ := conn.Pipe(small)
		c.SendHandle(bg, y)
		x.Close()
		c.Close()
		sayDone()
		return 0
	}
	// step-listener listens over a stale socket, serves one dialer, and closes.
	roles["step-listener"] = func(args []string) int {
		l, err := conn.Listen(args[0], &conn.ListenOptions{Key: hookKey, Conn: *asleep})
		if err != nil {
			return 1
		}
		shmtest.Say("listening")
		c, err := l.Accept(bg)
		if err != nil {
			return 1
		}
		c.RecvBytes(bg)
		c.SendBytes(bg, []byte("hello"))
		c.RecvBytes(bg)
		c.Close()
		l.Close()
		sayDone()
		return 0
	}
}

// stepsOf returns the steps that a child says it came by, at most two arrivals
// at each.
func stepsOf(t *testing.T, c *shmtest.Child) (all []string) {
	t.Helper()
	line := c.Line()
	for !strings.HasPrefix(line, "steps ") {
		line = c.Line()
	}
	for _, s := range strings.Fields(line)[1:] {
		step, times, _ := strings.Cut(s, ":")
		count, err := strconv.Atoi(times)
		if err != nil {
			t.Fatal(err)
		}
		for i := range min(count, 2) {
			all = append(all, fmt.Sprintf("%s:%d", step, i+1))
		}
	}
	t.Logf("%d steps", len(all))
	return all
}

func startAt(t *testing.T, role, step string, args ...string) *shmtest.Child {
	c := shmtest.Command(t, role, args...)
	if step != "" {
		c.Cmd.Env = append(c.Cmd.Env, "SLUICE_HOOK="+step+":kill")
	}
	c.Start()
	return c
}

// A dialer that is killed at any step: the listener goes on, what it accepted
// ends, and nothing of it is left.
func TestDialerKilledAtEachStep(t *testing.T) {
	addr := t.TempDir() + "/s"
	serve := func(l *conn.Listener) {
		for {
			a, err := l.Accept(bg)
			if err != nil {
				return
			}
			go func() {
				a.RecvBytes(bg)
				a.SendBytes(bg, []byte("hello"))
				a.RecvBytes(bg)
				if c, err := a.RecvConn(bg, nil); err == nil {
					c.RecvBytes(bg)
					c.Close()
				}
				a.Close()
			}()
		}
	}
	l := listen(t, addr, &conn.ListenOptions{Key: hookKey, Conn: *asleep})
	go serve(l)
	all := stepsOf(t, startAt(t, "step-dialer", "", addr))
	l.Close()
	for _, step := range all {
		t.Run(step, func(t *testing.T) {
			shmtest.NoLeaks(t)
			l := listen(t, addr, &conn.ListenOptions{Key: hookKey, Conn: *asleep})
			go serve(l)
			c := startAt(t, "step-dialer", step, addr)
			c.Hang()
			c.Wait()
			d := must(conn.Dial(bg, addr, &conn.DialOptions{Key: hookKey, Conn: *small}))
			send(t, d, "hello")
			expect(t, d, "hello")
			d.Close()
		})
	}
}

// A listener that is killed at any step, of taking over a stale socket too: the
// dialer's call returns, and the next listener takes the address over.
func TestListenerKilledAtEachStep(t *testing.T) {
	addr := t.TempDir() + "/s"
	stale := func() {
		s := rawListener(t, addr)
		s.SetUnlinkOnClose(false)
		s.Close()
	}
	talk := func() error {
		c, err := conn.Dial(bg, addr, &conn.DialOptions{Key: hookKey, Conn: *asleep})
		if err != nil {
			return err
		}
		defer c.Close()
		if err := c.SendBytes(bg, []byte("hello")); err != nil {
			return err
		}
		_, err = c.RecvBytes(bg)
		return err
	}
	stale()
	c := startAt(t, "step-listener", "", addr)
	c.Expect("listening")
	if err := talk(); err != nil {
		t.Fatal(err)
	}
	outcomes := map[string]int{}
	for _, step := range stepsOf(t, c) {
		t.Run(step, func(t *testing.T) {
			shmtest.NoLeaks(t)
			os.Remove(addr)
			stale()
			c := startAt(t, "step-listener", step, addr)
			c.Hang()
			if line, ok := c.Next(); ok && line == "listening" {
				err := talk()
				switch {
				case err == nil:
					outcomes["talked"]++
				case errors.Is(err, conn.ErrHungUp):
					outcomes["hung up"]++
				case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, fs.ErrNotExist):
					outcomes["nobody"]++
				default:
					outcomes["ended"]++
				}
			} else {
				outcomes["killed in Listen"]++
			}
			c.Wait()
			l := listen(t, addr, nil)
			goodClient(t, l, nil)
			l.Close()
		})
	}
	t.Log(outcomes)
}

// L7: an acceptor that is quick closes its end before the dialer is welcome: the
// dialer gets its connection nevertheless.
func TestWelcomeIsNotOvertaken(t *testing.T) {
	shmtest.NoLeaks(t)
	l := listen(t, "", nil)
	hook.Set(func(step string) {
		if step != "conn.listen.ready" {
			return
		}
		for range 10_000 { // until Accept has it, and some time longer
			runtime.Gosched()
		}
	})
	defer hook.Set(nil)
	go func() {
		a := must(l.Accept(bg))
		a.SendBytes(bg, []byte("bye"))
		a.Close()
	}()
	c := must(conn.Dial(bg, l.Addr(), &conn.DialOptions{Conn: *small}))
	defer c.Close()
	expect(t, c, "bye")
	expectEOF(t, c)
}
