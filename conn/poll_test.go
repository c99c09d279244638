//go:build linux

package conn_test

import (
	"context"
	"errors"
	"os"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-ipc/sluice/conn"
	"github.com/sluice-ipc/sluice/internal/shmtest"
	"github.com/sluice-ipc/sluice/ring"
)

func init() {
	roles["late"] = func(args []string) int {
		c := must(conn.Dial(bg, args[0], nil))
		for {
			line, ok := shmtest.Hear()
			if !ok {
				return 0
			}
			if err := c.SendBytes(bg, []byte(line)); err != nil {
				return 1
			}
		}
	}
}

func isReady(t *testing.T, got []conn.Waitable, want ...conn.Waitable) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Fatalf("ready: %v, want %v", got, want)
	}
}

// W1, W2, W8, W9: those that are ready, in the order in which they were given,
// for as long as they are: there is a message, or the other end is gone.
func TestWaitReturnsWhatIsReady(t *testing.T) {
	shmtest.NoLeaks(t)
	var ours, theirs []*conn.Conn
	var ws []conn.Waitable
	for range 4 {
		a, b := newPipe(t, nil)
		ours, theirs, ws = append(ours, a), append(theirs, b), append(ws, a)
	}
	isReady(t, must(conn.TryWait(ws...)))
	send(t, theirs[2], "hello")
	isReady(t, must(conn.Wait(bg, ws...)), ours[2])
	theirs[1].Close()
	isReady(t, must(conn.Wait(bg, ws...)), ours[1], ours[2])
	isReady(t, must(conn.TryWait(ws...)), ours[1], ours[2])
	expect(t, ours[2], "hello")
	isReady(t, must(conn.TryWait(ws...)), ours[1])
	expectEOF(t, ours[1])
	isReady(t, must(conn.TryWait(ws...)), ours[1])
}

// W1: a wait ends when something happens in another process, which may die.
func TestWaitIsWoken(t *testing.T) {
	shmtest.NoLeaks(t)
	l := must(conn.Listen("", nil))
	defer l.Close()
	var ws []conn.Waitable
	var children []*shmtest.Child
	for range 3 {
		children = append(children, shmtest.Start(t, "late", l.Addr()))
		c := must(l.Accept(bg))
		defer c.Close()
		ws = append(ws, c)
	}
	other := func(n int) conn.Waitable {
		i := slices.IndexFunc(ws, func(w conn.Waitable) bool {
			cred, _ := w.(*conn.Conn).Credentials()
			return cred.PID == children[n].Pid()
		})
		return ws[i]
	}
	for n := range 3 {
		children[n].Send("now")
		isReady(t, must(conn.Wait(bg, ws...)), other(n))
		must(other(n).(*conn.Conn).RecvBytes(bg))
	}
	children[1].Kill()
	isReady(t, must(conn.Wait(bg, ws...)), other(1))
}

// W3, W12: connections, listeners, queues and descriptors in one wait, and
// whatever else has Poll and TryPoll.
func TestWaitForEverything(t *testing.T) {
	shmtest.NoLeaks(t)
	a, b := newPipe(t, nil)
	l := must(conn.Listen("", nil))
	defer l.Close()
	q := must(ring.AnonymousQueue[int]("waited", nil))
	defer q.Close()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	ws := []conn.Waitable{a, l, q, conn.Descriptor(r)}
	for i, happen := range []func(){
		func() { send(t, b, "1") },
		func() { must(conn.Dial(bg, l.Addr(), nil)).Close() },
		func() { q.Put(bg, 1) },
		func() { w.Write([]byte("x")) },
	} {
		isReady(t, must(conn.TryWait(ws...)))
		done := make(chan []conn.Waitable)
		go func() {
			ready, err := conn.Wait(bg, ws...)
			if err != nil {
				t.Error(err)
			}
			done <- ready
		}()
		happen()
		isReady(t, <-done, ws[i])
		switch i {
		case 0:
			expect(t, a, "1")
		case 1:
			must(l.Accept(bg)).Close()
		case 2:
			must(q.Get(bg))
		case 3:
			w.Close()
			isReady(t, must(conn.TryWait(ws...)), ws[3])
		}
	}
	file := must(os.Open(os.Args[0])) // never blocks
	defer file.Close()
	isReady(t, must(conn.Wait(bg, conn.Descriptor(file))), conn.Descriptor(file))
}

// tooEarly has seen the deadline pass before the context says so.
type tooEarly struct{}

func (tooEarly) TryPoll() (bool, error)             { return false, nil }
func (tooEarly) Poll(context.Context) (bool, error) { return false, nil }

func TestWaitWhoseContextIsLate(t *testing.T) {
	ctx, cancel := context.WithTimeout(bg, time.Hour)
	defer cancel()
	if _, err := conn.Wait(ctx, tooEarly{}); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, conn.ErrEmpty) {
		t.Error(err)
	}
}

// broken fails once somebody waits, and makes another ready meanwhile.
type broken struct {
	happen func()
	err    error
}

func (broken) TryPoll() (bool, error)               { return false, nil }
func (b broken) Poll(context.Context) (bool, error) { b.happen(); return false, b.err }

// slow becomes ready without waking anybody.
type slow struct{ ready *atomic.Bool }

func (s slow) TryPoll() (bool, error)                 { return s.ready.Load(), nil }
func (s slow) Poll(ctx context.Context) (bool, error) { <-ctx.Done(); return false, ctx.Err() }

// An error ends the wait, with those that are ready; that somebody else uses one
// of them at the moment does not.
func TestWaitThatFails(t *testing.T) {
	s := slow{new(atomic.Bool)}
	own := errors.New("own")
	ready, err := conn.Wait(bg, s, broken{func() { s.ready.Store(true) }, own})
	isReady(t, ready, s)
	is(t, "Wait", err, own)
	s.ready.Store(false)
	tries := 0
	isReady(t, must(conn.Wait(bg, broken{func() {
		if tries++; tries == 3 {
			s.ready.Store(true)
		}
	}, conn.ErrBusy}, s)), s)
}

// W4, W5, W6, W7: the context, nothing, the same twice, and what is closed.
func TestWaitEdges(t *testing.T) {
	shmtest.NoLeaks(t)
	a, b := newPipe(t, nil)
	ctx, cancel := context.WithTimeout(bg, time.Millisecond)
	defer cancel()
	for _, ctx := range []context.Context{ctx, ctx} { // the second time it has ended
		if _, err := conn.Wait(ctx, a, b); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, conn.ErrEmpty) {
			t.Error(err)
		}
	}
	stopped, stop := context.WithCancel(bg)
	go stop()
	if _, err := conn.Wait(stopped, a, b); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	send(t, b, "x")
	isReady(t, must(conn.Wait(ctx, a, b)), a) // one attempt
	isReady(t, must(conn.Wait(bg, a, a)), a, a)
	expect(t, a, "x")
	if _, err := conn.Wait(bg); !errors.Is(err, conn.ErrNothingToWait) {
		t.Error(err)
	}
	done := make(chan error)
	go func() { _, err := conn.Wait(bg, a); done <- err }()
	a.Close()
	if err := <-done; !errors.Is(err, conn.ErrClosed) {
		t.Error(err)
	}
	if _, err := conn.Wait(bg, a); !errors.Is(err, conn.ErrClosed) {
		t.Error(err)
	}
	r, w, _ := os.Pipe()
	w.Close()
	r.Close()
	if _, err := conn.Wait(bg, conn.Descriptor(r)); !errors.Is(err, os.ErrClosed) {
		t.Error(err)
	}
}

// A Get elsewhere is not left asleep by a wait that a Put has woken.
func TestWaitPassesTheWakeOn(t *testing.T) {
	shmtest.NoLeaks(t)
	q := must(ring.AnonymousQueue[int]("passed on", nil))
	defer q.Close()
	for range 500 {
		got, waited := make(chan error), make(chan error)
		ctx, cancel := context.WithCancel(bg)
		go func() { _, err := conn.Wait(ctx, q); waited <- err }()
		go func() { _, err := q.Get(bg); got <- err }()
		if err := q.Put(bg, 1); err != nil {
			t.Fatal(err)
		}
		if err := <-got; err != nil {
			t.Fatal(err)
		}
		cancel()
		<-waited
	}
}

// A Poller's descriptor is readable while there is something.
func TestPoller(t *testing.T) {
	shmtest.NoLeaks(t)
	a, b := newPipe(t, nil)
	p := must(conn.NewPoller(a))
	d := conn.Descriptor(p.File())
	isReady(t, must(conn.TryWait(d)))
	for range 3 {
		send(t, b, "one", "two")
		isReady(t, must(conn.Wait(bg, d)), d)
		expect(t, a, "one")
		p.Reset()
		isReady(t, must(conn.Wait(bg, d)), d) // there is another
		expect(t, a, "two")
		p.Reset()
		isReady(t, must(conn.TryWait(d)))
	}
	b.Close()
	isReady(t, must(conn.Wait(bg, d)), d)
	expectEOF(t, a)
	if err := errors.Join(p.Close(), p.Close()); err != nil {
		t.Error(err)
	}
}
