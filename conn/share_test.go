//go:build linux

package conn_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/sluice-ipc/sluice/conn"
	"github.com/sluice-ipc/sluice/internal/shmtest"
)

// P32: one end is safe for many goroutines: every message arrives once, whole,
// and those of one sender in their order.
func TestManyGoroutinesOnOneEnd(t *testing.T) {
	for name, o := range map[string]*conn.Options{"adaptive": small, "asleep": asleep} {
		t.Run(name, func(t *testing.T) {
			const senders, receivers, each = 4, 4, 500
			a, b := newPipe(t, o)
			var sending, receiving sync.WaitGroup
			for s := range senders {
				sending.Go(func() {
					for i := range each {
						if err := sendAnyWay(a, i, message(s, i)); err != nil {
							t.Error(err)
							return
						}
					}
				})
			}
			var mu sync.Mutex
			seen := map[string]bool{}
			for range receivers {
				receiving.Go(func() {
					last := [senders]int{-1, -1, -1, -1}
					for {
						msg, err := b.RecvBytes(bg)
						if err == io.EOF {
							return
						}
						s, i, ok := parse(msg)
						if err != nil || !ok || i <= last[s] {
							t.Errorf("sender %d, message %d after %d: %v", s, i, last[s], err)
							return
						}
						last[s] = i
						mu.Lock()
						seen[fmt.Sprint(s, i)] = true
						mu.Unlock()
					}
				})
			}
			sending.Wait()
			a.Close()
			receiving.Wait()
			if len(seen) != senders*each {
				t.Errorf("%d different messages arrived, %d were sent", len(seen), senders*each)
			}
		})
	}
}

// message is a message that says whose it is and whether it is whole.
func message(sender, i int) []byte {
	b := make([]byte, 16+i*7%2500)
	binary.LittleEndian.PutUint64(b, uint64(sender))
	binary.LittleEndian.PutUint64(b[8:], uint64(i))
	for j := 16; j < len(b); j++ {
		b[j] = byte(sender + i)
	}
	return b
}

func parse(b []byte) (sender, i int, ok bool) {
	if len(b) < 16 {
		return 0, 0, false
	}
	sender = int(binary.LittleEndian.Uint64(b))
	i = int(binary.LittleEndian.Uint64(b[8:]))
	for _, c := range b[16:] {
		if c != byte(sender+i) {
			return 0, 0, false
		}
	}
	return sender, i, sender < 4 && len(b) == 16+i*7%2500
}

// sendAnyWay sends a message in one of the ways there are.
func sendAnyWay(c *conn.Conn, way int, msg []byte) error {
	switch {
	case way%3 == 0 && len(msg) <= c.MaxReserve():
		buf, err := c.Reserve(bg, len(msg))
		if err != nil {
			return err
		}
		return c.Commit(copy(buf, msg))
	case way%3 == 1 && len(msg) <= c.MaxReserve():
		return c.SendBatch(bg, [][]byte{msg})
	}
	return c.SendBytes(bg, msg)
}

// P33, P47: both directions at once, in two processes.
func TestBothDirectionsAtOnce(t *testing.T) {
	a, b := newPipe(t, small)
	spawn(t, b, "mirror")
	const n = 2000
	sent := make(chan error, 1)
	go func() {
		for i := range n {
			if err := a.SendBytes(bg, message(1, i)); err != nil {
				sent <- err
				return
			}
		}
		sent <- a.CloseWrite()
	}()
	next := 0
	for msg, err := range a.AllBytes(bg) {
		s, i, ok := parse(msg)
		if err != nil || !ok || s != 1 || i != next {
			t.Fatal(s, i, ok, err)
		}
		next++
	}
	if err := <-sent; err != nil || next != n {
		t.Error(next, err)
	}
}

func init() {
	roles["mirror"] = func([]string) int {
		c := must(conn.Inherited("end", nil))
		for msg, err := range c.AllBytes(bg) {
			if err != nil {
				panic(err)
			}
			if err := c.SendBytes(bg, msg); err != nil {
				panic(err)
			}
		}
		c.Close()
		return 0
	}
}

// G7: signals do not disturb a wait.
func TestSignalsDoNotEndWaits(t *testing.T) {
	a, b := newPipe(t, asleep)
	got := make(chan os.Signal, 1)
	signal.Notify(got, syscall.SIGUSR1)
	defer signal.Stop(got)
	out := make(chan error)
	go func() { _, err := b.RecvBytes(bg); out <- err }()
	inside(t, receiving(b))
	for range 100 {
		if err := syscall.Kill(os.Getpid(), syscall.SIGUSR1); err != nil {
			t.Fatal(err)
		}
		<-got
	}
	send(t, a, "hello")
	if err := <-out; err != nil {
		t.Error(err)
	}
}

// Cancelling waits leaves nothing behind, and the next waiter finds everything
// as it was.
func TestCancelledWaitsLeaveNothing(t *testing.T) {
	shmtest.NoLeaks(t)
	a, b := newPipe(t, asleep)
	var cancelled atomic.Int64
	for range 20 {
		ctx, cancel := context.WithCancel(bg)
		var waiting sync.WaitGroup
		for range 20 {
			waiting.Go(func() {
				_, err := b.RecvBytes(ctx)
				is(t, "RecvBytes", err, conn.ErrEmpty, context.Canceled)
				cancelled.Add(1)
			})
		}
		inside(t, receiving(b))
		cancel()
		waiting.Wait()
	}
	if cancelled.Load() != 400 {
		t.Error(cancelled.Load())
	}
	send(t, a, "hello")
	expect(t, b, "hello")
	a.Close()
	b.Close()
}

// P38: messages much larger than the ring go through it.
func TestLargeMessages(t *testing.T) {
	r, w := newSimplex(t, nil)
	c := spawn(t, r, "peer", "recv")
	c.Expect("ready")
	for _, n := range []int{1 << 20, 16 << 20, 16<<20 + 1} {
		c.Send("size")
		if err := w.SendBytes(bg, make([]byte, n)); err != nil {
			t.Fatal(err)
		}
		c.Expect(fmt.Sprint("got ", n))
	}
}

// P38, P40: what is above MaxMessage is refused by who sends it, and by who
// receives it, who then goes on with the next one.
// A message in one frame is no less too large than one in pieces, whatever the
// other side may send.
func TestMaxMessageInOneFrame(t *testing.T) {
	l := listen(t, "", &conn.ListenOptions{Conn: conn.Options{MaxMessage: 100}})
	a := must(conn.Dial(bg, l.Addr(), nil)) // its limit is 1 GiB
	defer a.Close()
	b := must(l.Accept(bg))
	defer b.Close()
	large := make([]byte, 101)
	for range 2 { // the second is as long as the last one
		check(errors.Join(a.TrySendBytes(large), a.TrySendBytes(large[:100])))
		_, err := b.RecvBytes(bg)
		is(t, "RecvBytes", err, conn.ErrTooLarge)
		if got, err := b.RecvBytes(bg); len(got) != 100 || err != nil {
			t.Fatal(len(got), err)
		}
	}
	check(errors.Join(a.TrySendBytes(large[:1]), a.TrySendBytes(large), a.TrySendBytes(large[:2])))
	if got, err := b.Peek(bg); len(got) != 1 || err != nil {
		t.Fatal(len(got), err)
	}
	_, err := b.More()
	is(t, "More", err, conn.ErrEmpty)
	check(b.Release())
	_, err = b.Peek(bg)
	is(t, "Peek", err, conn.ErrTooLarge)
	if got, err := b.RecvBytes(bg); len(got) != 2 || err != nil {
		t.Fatal(len(got), err)
	}
	if n := b.MaxReserve(); n != 100 {
		t.Errorf("MaxReserve is %d", n)
	}
	_, err = b.Reserve(bg, 101)
	is(t, "Reserve", err, conn.ErrTooLarge)
	is(t, "SendBatch", b.SendBatch(bg, [][]byte{large[:1], large}), conn.ErrTooLarge)
}

func TestMaxMessage(t *testing.T) {
	a, b := newPipe(t, &conn.Options{Size: 4096, MaxMessage: 5000})
	var long *conn.MessageTooLongError
	for _, n := range []int{5001, 1 << 20} {
		err := a.SendBytes(bg, make([]byte, n))
		if !errors.As(err, &long) || long.Size != n || long.Max != 5000 {
			t.Errorf("SendBytes = %v", err)
		}
		if err := a.TrySendBytes(make([]byte, n)); !errors.As(err, &long) {
			t.Errorf("TrySendBytes = %v", err)
		}
	}
	_, err := a.Reserve(bg, a.MaxReserve()+1)
	is(t, "Reserve", err, conn.ErrTooLarge)
	is(t, "TrySendBytes", a.TrySendBytes(make([]byte, 5000)), conn.ErrTooLarge)

	c := spawn(t, b, "peer", "both") // its limit is 1 GiB
	c.Expect("ready")
	for _, n := range []int{5001, 100_000} {
		c.Send("fill %d", n)
		_, err := a.RecvBytes(bg)
		is(t, "RecvBytes", err, conn.ErrTooLarge)
		c.Send("fill 5000")
		if got, err := a.RecvBytes(bg); len(got) != 5000 || err != nil {
			t.Fatal(len(got), err)
		}
		c.Expect("sent")
		c.Expect("sent")
	}
}

// P39: lengths have 64 bits.
func TestMessageOfMoreThan2GiB(t *testing.T) {
	if os.Getenv("SLUICE_TEST_HUGE") == "" {
		t.Skip("needs 8 GiB of memory: set SLUICE_TEST_HUGE=1")
	}
	var length int64 = 1<<31 + 5
	n := int(length)
	a, b := newPipe(t, &conn.Options{MaxMessage: n})
	sent := make(chan error)
	go func() {
		msg := make([]byte, n)
		msg[n-1] = 'x'
		sent <- a.SendBytes(bg, msg)
	}()
	got, err := b.RecvBytes(bg)
	if err != nil || len(got) != n || got[n-1] != 'x' {
		t.Errorf("received %d bytes, %v", len(got), err)
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
}
