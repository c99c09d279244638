//go:build linux

package ring_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/sluice-ipc/sluice/internal/shmtest"
	"github.com/sluice-ipc/sluice/internal/sys"
	"github.com/sluice-ipc/sluice/internal/wait"
	"github.com/sluice-ipc/sluice/ring"
)

func init() {
	roles["send"] = sendAll
	roles["hold-writer"] = holdWriter
	roles["hold-reader"] = holdReader
	roles["count-reader"] = countReader
}

// sendAll sends messages until it is told to close.
func sendAll(args []string) int {
	r := openRing(args[0])
	w := must(r.Writer())
	for i := range 5000 {
		n := deal(i, 1500)
		if i%500 == 499 {
			n = 20000
		}
		if err := w.Write(bg, payload(i, n)); err != nil {
			panic(err)
		}
	}
	w.Close()
	r.Close()
	return 0
}

func TestStreamBetweenProcesses(t *testing.T) {
	r, name := newRing(t, nil)
	rd := must(r.Reader())
	c := shmtest.Start(t, "send", name)
	for i := 0; ; i++ {
		b, err := rd.ReadAppend(bg, nil, -1)
		if err == io.EOF {
			if i != 5000 {
				t.Fatalf("%d messages arrived", i)
			}
			break
		}
		if err != nil || number(t, b) != i {
			t.Fatalf("message %d: %v", i, err)
		}
	}
	c.Wait()
	if rd.Peer() != ring.PeerClosed {
		t.Errorf("the writer that closed is %v", rd.Peer())
	}
}

func holdWriter(args []string) int {
	w := must(openRing(args[0]).Writer())
	shmtest.Say("ready")
	for {
		msg, ok := shmtest.Hear()
		if !ok {
			return 0
		}
		if err := w.Write(bg, []byte(msg)); err != nil {
			panic(err)
		}
		shmtest.Say("sent")
	}
}

func holdReader(args []string) int {
	rd := must(openRing(args[0]).Reader())
	shmtest.Say("ready")
	for {
		if _, ok := shmtest.Hear(); !ok {
			return 0
		}
		shmtest.Say("%s", must(rd.ReadAppend(bg, nil, -1)))
	}
}

// bothSensors runs f with pidfds and with the tick alone.
func bothSensors(t *testing.T, f func(t *testing.T)) {
	t.Run("pidfd", f)
	t.Run("tick", func(t *testing.T) {
		sys.DisablePidfd(true)
		defer sys.DisablePidfd(false)
		f(t)
	})
}

func TestKilledPeerEndsBlockedCalls(t *testing.T) {
	bothSensors(t, func(t *testing.T) {
		for name, spin := range spins {
			t.Run(name, func(t *testing.T) {
				r, name := newRing(t, &ring.Options{Spin: spin})
				rd := must(r.Reader())
				c := shmtest.Start(t, "hold-writer", name)
				c.Expect("ready")
				reading := blocked(func() error { _, err := rd.Peek(bg); return err })
				start := time.Now()
				c.Kill()
				if err := <-reading; err != io.EOF {
					t.Fatalf("Peek under the writer's death = %v", err)
				}
				t.Logf("the reader saw the writer's death after %v", time.Since(start))
				if rd.Peer() != ring.PeerDied {
					t.Errorf("the dead writer is %v", rd.Peer())
				}

				rd.Close()
				r, name = newRing(t, &ring.Options{Spin: spin})
				w := must(r.Writer())
				c = shmtest.Start(t, "hold-reader", name)
				c.Expect("ready")
				for w.TryWrite(make([]byte, 1000)) == nil {
				}
				writing := blocked(func() error { return w.Write(bg, make([]byte, 1000)) })
				start = time.Now()
				c.Kill()
				if err := <-writing; !errors.Is(err, ring.ErrBrokenPipe) {
					t.Fatalf("Write under the reader's death = %v", err)
				}
				t.Logf("the writer saw the reader's death after %v", time.Since(start))
			})
		}
	})
}

// A stopped peer is not dead, however long it stands: its end stays its own,
// and it goes on where it was.
func TestStoppedPeerIsNeverRepaired(t *testing.T) {
	bothSensors(t, func(t *testing.T) {
		r, name := newRing(t, nil)
		rd := must(r.Reader())
		c := shmtest.Start(t, "hold-writer", name)
		c.Expect("ready")
		c.Send("before")
		c.Expect("sent")
		c.Stop()
		if b, err := rd.ReadAppend(bg, nil, -1); err != nil || string(b) != "before" {
			t.Fatalf("read %q, %v", b, err)
		}
		// Over several ticks, with a waiter and every other way to prove it.
		ctx, cancel := context.WithTimeout(bg, 250*time.Millisecond)
		defer cancel()
		waiting := blocked(func() error { _, err := rd.Peek(ctx); return err })
		for ctx.Err() == nil {
			r.Segment().CheckPeers()
			if rd.Peer() != ring.PeerAlive {
				t.Fatalf("the stopped writer is %v", rd.Peer())
			}
			if _, err := r.Writer(); !errors.Is(err, ring.ErrBusy) {
				t.Fatalf("Writer beside a stopped one = %v", err)
			}
		}
		if err := <-waiting; !errors.Is(err, ring.ErrEmpty) {
			t.Fatalf("Peek = %v", err)
		}
		c.Cont()
		c.Send("after")
		if b, err := rd.ReadAppend(bg, nil, -1); err != nil || string(b) != "after" {
			t.Fatalf("read %q, %v", b, err)
		}
	})
}

func TestBlockedReaderUsesNoCPU(t *testing.T) {
	r, name := newRing(t, nil)
	rd := must(r.Reader())
	c := shmtest.Start(t, "hold-writer", name)
	c.Expect("ready")
	reading := blocked(func() error { _, err := rd.Peek(bg); return err })
	used := time.Hour
	// The best of three, for the rest of the process uses some too, and more on a
	// busy machine.
	for i := 0; i < 3 && used > 200*time.Millisecond; i++ {
		before := sys.CPUTime()
		time.Sleep(2 * time.Second) // not to order anything: the time that is measured
		used = sys.CPUTime() - before
		t.Logf("a reader blocked for 2 s used %v of CPU time", used)
	}
	if used > 200*time.Millisecond {
		t.Errorf("a blocked reader used %v in 2 s: it polls", used)
	}
	c.Send("x")
	if err := <-reading; err != nil {
		t.Fatal(err)
	}
	rd.Release()
}

// countReader reads what is sent, sleeping or never sleeping as it is told, and
// says how often it slept.
func countReader(args []string) int {
	spin := ring.SpinAlways
	if args[1] == "never" {
		spin = ring.SpinNever
	}
	r := must(ring.Open(args[0], &ring.Options{Spin: spin}))
	rd := must(r.Reader())
	shmtest.Say("ready")
	for {
		b, err := rd.Peek(bg)
		if err == io.EOF {
			shmtest.Say("%d", wait.Sleeps())
			return 0
		}
		if err != nil {
			panic(err)
		}
		_ = b
		rd.Release()
	}
}

// A writer makes no system call while its reader is awake, and at most one for
// each time that the reader went to sleep.
func TestWakeCallsAreCounted(t *testing.T) {
	for _, mode := range []string{"always", "never"} {
		t.Run(mode, func(t *testing.T) {
			r, name := newRing(t, &ring.Options{Spin: ring.SpinAlways})
			w := must(r.Writer())
			c := shmtest.Start(t, "count-reader", name, mode)
			c.Expect("ready")
			if mode == "never" { // else the writer may be done before it begins
				shmtest.Eventually(t, func() bool { return ring.ReaderAsleep(r) })
			}
			_, before := sys.FutexCalls()
			n := count(t, 20000)
			for range n {
				if err := w.Write(bg, make([]byte, 64)); err != nil {
					t.Fatal(err)
				}
			}
			w.Close()
			_, after := sys.FutexCalls()
			slept := atoi(t, c.Line()) // went to sleep, whether or not it came to it
			t.Logf("%d messages: the reader slept %d times, the writer woke it %d times",
				n, slept, after-before)
			if int(after-before) > slept {
				t.Errorf("%d wake calls for %d sleeps", after-before, slept)
			}
			if mode == "always" && slept != 0 {
				t.Errorf("a spinning reader slept %d times", slept)
			}
			if mode == "never" && slept == 0 {
				t.Error("the reader never slept: the test shows nothing")
			}
		})
	}
}

func TestCancelledWaitsLeaveNothing(t *testing.T) {
	r, _ := newRing(t, &ring.Options{Spin: ring.SpinNever})
	rd := must(r.Reader())
	wait := func() {
		ctx, cancel := context.WithCancel(bg)
		out := blocked(func() error { _, err := rd.Peek(ctx); return err })
		cancel()
		if err := <-out; !errors.Is(err, context.Canceled) {
			t.Fatalf("Peek = %v", err)
		}
	}
	for range 100 {
		wait() // what the runtime keeps, it keeps from now on
	}
	threads, fds := shmtest.Threads(), len(shmtest.FDs())
	shmtest.NoLeaks(t)
	for range 10_000 {
		wait()
	}
	t.Logf("threads %d before, %d after 10,000 cancelled waits; descriptors %d, %d",
		threads, shmtest.Threads(), fds, len(shmtest.FDs()))
	// The runtime may start a few of its own; a leak would be one for each wait.
	if got := shmtest.Threads(); got > threads+16 {
		t.Errorf("%d threads before, %d after", threads, got)
	}
	if got := len(shmtest.FDs()); got > fds {
		t.Errorf("%d descriptors before, %d after", fds, got)
	}
}
