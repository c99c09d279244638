//go:build linux

package conn_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"testing"

	"github.com/sluice-ipc/sluice/conn"
	"github.com/sluice-ipc/sluice/internal/shmtest"
	"github.com/sluice-ipc/sluice/ring"
	"github.com/sluice-ipc/sluice/shm"
)

// strangers are two ends that have met at a listener.
func strangers(t testing.TB) (c, a *conn.Conn) {
	t.Helper()
	l := listen(t, "", nil)
	c = must(conn.Dial(bg, l.Addr(), &conn.DialOptions{Conn: *small}))
	a = must(l.Accept(bg))
	t.Cleanup(func() {
		c.Close()
		a.Close()
	})
	return c, a
}

// P44: descriptors of any number arrive, in order, and the sender's stay open.
func TestSendManyFiles(t *testing.T) {
	shmtest.NoLeaks(t)
	c, a := strangers(t)
	dir := t.TempDir()
	const n = 300
	var sent []*os.File
	for i := range n {
		f := must(os.Create(filepath.Join(dir, fmt.Sprint(i))))
		defer f.Close()
		fmt.Fprint(f, i)
		sent = append(sent, f)
	}
	if sent[n-1].Fd() <= 255 {
		t.Errorf("descriptor %d is no large number", sent[n-1].Fd())
	}
	out := make(chan error)
	go func() {
		for _, f := range sent {
			if err := c.SendFile(bg, f); err != nil {
				out <- err
				return
			}
		}
		out <- nil
	}()
	for i := range n {
		f := must(a.RecvFile(bg))
		b := make([]byte, 10)
		m, _ := f.ReadAt(b, 0)
		if string(b[:m]) != fmt.Sprint(i) {
			t.Errorf("file %d is %q", i, b[:m])
		}
		f.Close()
	}
	if err := <-out; err != nil {
		t.Error(err)
	}
	if _, err := sent[0].Stat(); err != nil {
		t.Error(err)
	}
}

// What cannot be sent, or comes otherwise than it was asked for, is an error.
func TestSendFileErrors(t *testing.T) {
	shmtest.NoLeaks(t)
	c, a := strangers(t)
	f := must(os.Open("/dev/null"))
	f.Close()
	is(t, "a closed file", c.SendFile(bg, f), os.ErrClosed)
	is(t, "no file", c.SendFile(bg, nil), os.ErrInvalid)
	x, y := newPipe(t, small)
	is(t, "a pipe has no socket", x.SendFile(bg, os.Stdin), conn.ErrNoSocket, errors.ErrUnsupported)
	_, err := x.RecvFile(bg)
	is(t, "a pipe has no socket", err, conn.ErrNoSocket)
	is(t, "a pipe has no socket", x.SendHandle(bg, y), conn.ErrNoSocket)
	out := make(chan error)
	go func() { _, err := y.RecvBytes(bg); out <- err }()
	inside(t, receiving(y))
	is(t, "an end in use", c.SendHandle(bg, y), conn.ErrBusy)
	send(t, x, "not lost")
	if err := <-out; err != nil {
		t.Error(err)
	}
	if err := c.SendFile(bg, os.Stdin); err != nil {
		t.Fatal(err)
	}
	_, err = a.RecvConn(bg, nil)
	var format *shm.FormatError
	if !errors.As(err, &format) {
		t.Errorf("RecvConn of a file = %v", err)
	}
	if err := c.SendHandle(bg, y); err != nil {
		t.Fatal(err)
	}
	_, err = a.RecvFile(bg)
	is(t, "RecvFile of a handle", err, conn.ErrProtocol)
	expectEOF(t, x) // it was lost
	c.Close()
	is(t, "closed", c.SendFile(bg, os.Stdin), conn.ErrClosed)
	_, err = c.RecvFile(bg)
	is(t, "closed", err, conn.ErrClosed)
	is(t, "the other is closed", a.SendFile(bg, os.Stdin), conn.ErrBrokenPipe, syscall.EPIPE)
}

// P45: the ends of pipes travel over a connection to another process, keep their
// directions, and live and die with it.
func TestSendEndsToAnotherProcess(t *testing.T) {
	shmtest.NoLeaks(t)
	l := listen(t, "", nil)
	child := shmtest.Start(t, "receiver", l.Addr())
	a := must(l.Accept(bg))
	defer a.Close()
	x, y := newPipe(t, small)
	r, w := newSimplex(t, small)
	r2, w2 := newSimplex(t, small)
	send(t, x, "on the way")
	for _, h := range []shm.Handle{y, r, w2} {
		if err := a.SendHandle(bg, h); err != nil {
			t.Fatal(err)
		}
	}
	child.Expect("three")
	is(t, "moved", y.SendBytes(bg, nil), conn.ErrMoved)
	expect(t, x, "re: on the way")
	if p := x.Peer(); p.PID != child.Pid() || p.State != ring.PeerAlive {
		t.Errorf("Peer = %+v", p)
	}
	send(t, w, "down")
	child.Expect("got down")
	expect(t, r2, "up")
	child.Kill()
	expectEOF(t, x)
	expectEOF(t, r2)
	shmtest.Eventually(t, func() bool { return errors.Is(w.TrySendBytes(make([]byte, 1000)), conn.ErrBrokenPipe) })
	if _, err := a.RecvFile(bg); err != io.EOF {
		t.Error(err)
	}
}

func init() {
	roles["receiver"] = func(args []string) int {
		c := must(conn.Dial(bg, args[0], nil))
		y := must(c.RecvConn(bg, nil))
		var r *conn.RecvConn
		var w *conn.SendConn
		must("", c.RecvHandle(bg, func(f *os.File, desc string) (err error) {
			if _, err := conn.ImportSend(f, desc, nil); !errors.Is(err, conn.ErrDirection) {
				panic(err)
			}
			r, err = conn.ImportRecv(f, desc, nil)
			return err
		}))
		must("", c.RecvHandle(bg, func(f *os.File, desc string) (err error) {
			w, err = conn.ImportSend(f, desc, nil)
			return err
		}))
		shmtest.Say("three")
		must("", y.SendBytes(bg, append([]byte("re: "), must(y.RecvBytes(bg))...)))
		shmtest.Say("got %s", must(r.RecvBytes(bg)))
		must("", w.SendBytes(bg, []byte("up")))
		shmtest.Hear()
		runtime.KeepAlive([]any{c, y, r, w})
		return 0
	}
}

// P45: queues and segments are shared, not moved.
func TestSendSharedHandles(t *testing.T) {
	shmtest.NoLeaks(t)
	c, a := strangers(t)
	q := must(ring.AnonymousQueue[int64]("jobs", nil))
	defer q.Close()
	s := must(shm.Anonymous("raw", &shm.Options{Size: 4096}))
	defer s.Close()
	for _, h := range []shm.Handle{q, s} {
		if err := c.SendHandle(bg, h); err != nil {
			t.Fatal(err)
		}
	}
	var q2 *ring.Queue[int64]
	if err := a.RecvHandle(bg, func(f *os.File, desc string) (err error) {
		q2, err = ring.QueueFromFile[int64](f, nil)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	defer q2.Close()
	if err := q.Put(bg, 42); err != nil {
		t.Fatal(err)
	}
	if v, err := q2.Get(bg); v != 42 || err != nil {
		t.Error(v, err)
	}
	var s2 *shm.Segment
	if err := a.RecvHandle(bg, func(f *os.File, desc string) (err error) {
		s2, _, err = shm.Import(f, desc, nil)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	defer s2.Close()
	s.Data()[7] = 9
	if s2.Data()[7] != 9 {
		t.Error("not the same memory")
	}
	oops := errors.New("oops")
	if err := c.SendFile(bg, os.Stdin); err != nil {
		t.Fatal(err)
	}
	is(t, "open fails", a.RecvHandle(bg, func(*os.File, string) error { return oops }), oops)
}

// Files and ends that nobody has received go with the connection that brought
// them, whichever side closes.
func TestCloseWithFilesOnTheWay(t *testing.T) {
	shmtest.NoLeaks(t)
	for _, first := range []int{0, 1} {
		c, a := strangers(t)
		for range 60 {
			if err := c.SendFile(bg, os.Stdin); err != nil {
				t.Fatal(err)
			}
		}
		for range 60 { // unread, which resets the socket when it is closed
			if err := a.SendFile(bg, os.Stdin); err != nil {
				t.Fatal(err)
			}
		}
		x, y := newPipe(t, small)
		if err := c.SendHandle(bg, y); err != nil {
			t.Fatal(err)
		}
		if first == 0 {
			c.Close()
			// What arrived is received, and then it ends.
			for range 60 {
				must(a.RecvFile(bg)).Close()
			}
			must(a.RecvConn(bg, nil)).Close()
			if _, err := a.RecvFile(bg); err != io.EOF {
				t.Error(err)
			}
		}
		a.Close()
		expectEOF(t, x)
		c.Close()
	}
}

// Many goroutines send and receive files over one connection at a time, some of
// whom give up: each file arrives once, or its sender knows that it did not.
func TestManyGoroutinesSendFiles(t *testing.T) {
	shmtest.NoLeaks(t)
	c, a := strangers(t)
	const senders, each = 8, 100
	var sent, full int
	var mu sync.Mutex
	var all sync.WaitGroup
	for i := range senders {
		all.Go(func() {
			for range each {
				ctx := bg
				if i%2 == 0 {
					ctx = done
				}
				err := c.SendFile(ctx, os.Stdin)
				mu.Lock()
				switch {
				case err == nil:
					sent++
				case errors.Is(err, conn.ErrFull):
					full++
				default:
					t.Error(err)
				}
				mu.Unlock()
			}
		})
	}
	var got sync.WaitGroup
	n := make(chan int, 4)
	for range 4 {
		got.Go(func() {
			for m := 0; ; m++ {
				f, err := a.RecvFile(bg)
				if err != nil {
					if err != io.EOF {
						t.Error(err)
					}
					n <- m
					return
				}
				f.Close()
			}
		})
	}
	all.Wait()
	c.Close()
	got.Wait()
	received := 0
	for range 4 {
		received += <-n
	}
	t.Logf("%d sent, %d found it full, %d received", sent, full, received)
	if received != sent || sent+full != senders*each {
		t.Error("some were lost")
	}
}

// Close wakes those who wait to send or receive files.
func TestCloseWakesFileWaiters(t *testing.T) {
	shmtest.NoLeaks(t)
	c, a := strangers(t)
	out := make(chan error)
	go func() { _, err := c.RecvFile(bg); out <- err }()
	for range 3 {
		go func() {
			for {
				if err := c.SendFile(bg, os.Stdin); err != nil {
					out <- err
					return
				}
			}
		}()
	}
	shmtest.Eventually(t, func() bool { return errors.Is(c.SendFile(done, os.Stdin), conn.ErrFull) }, "it is full")
	c.Close()
	for range 4 {
		is(t, "after Close", <-out, conn.ErrClosed)
	}
	a.Close()
}
