//go:build linux

package conn_test

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-ipc/sluice/conn"
	"github.com/sluice-ipc/sluice/internal/shmtest"
)

func future() time.Time { return time.Now().Add(time.Hour) }

var past = time.Unix(1, 0)

// aConnError checks what every error of a stream but io.EOF is.
func aConnError(t *testing.T, what string, err error, timeout bool, want ...error) {
	t.Helper()
	is(t, what, err, want...)
	var op *net.OpError
	if !errors.As(err, &op) || op.Net != "sluice" || op.Source == nil || op.Addr == nil {
		t.Errorf("%s: %#v is no complete *net.OpError", what, err)
	} else if op.Timeout() != timeout {
		t.Errorf("%s: Timeout() = %v: %v", what, op.Timeout(), err)
	}
}

// started runs f and returns a channel for its error.
func started(f func() error) chan error {
	c := make(chan error, 1)
	go func() { c <- f() }()
	return c
}

func readAll(c net.Conn) func() error {
	return func() error {
		_, err := io.Copy(io.Discard, struct{ io.Reader }{c})
		return err
	}
}

// fill writes until it fails.
func fill(c net.Conn) func() error {
	return func() error {
		for {
			if _, err := c.Write(make([]byte, 1000)); err != nil {
				return err
			}
		}
	}
}

// Calls that are blocked, and those that come later, are told what ended them.
func TestStreamEnds(t *testing.T) {
	shmtest.NoLeaks(t)
	for _, tt := range []struct {
		name        string
		end         func(a, b *conn.Stream)
		read, write error // nil: io.EOF
		timeout     bool
	}{
		{"closed here", func(a, b *conn.Stream) { a.Close() }, net.ErrClosed, net.ErrClosed, false},
		{"closed there", func(a, b *conn.Stream) { b.Close() }, nil, syscall.EPIPE, false},
		{"half-closed here", func(a, b *conn.Stream) { a.CloseRead(); a.CloseWrite() }, nil, syscall.EPIPE, false},
		{"half-closed there", func(a, b *conn.Stream) { b.CloseRead(); b.CloseWrite() }, nil, syscall.EPIPE, false},
		{"late", func(a, b *conn.Stream) { a.SetDeadline(past) },
			os.ErrDeadlineExceeded, os.ErrDeadlineExceeded, true},
		{"moved", func(a, b *conn.Stream) { a.SetDeadline(future()); a.SetDeadline(time.Now()) },
			os.ErrDeadlineExceeded, os.ErrDeadlineExceeded, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, b := newStreams(t, small)
			r, w := started(readAll(a)), started(fill(a))
			// A second of each waits for its turn.
			r2, w2 := started(readAll(a)), started(fill(a))
			inside(t, receiving(a.Conn()))
			inside(t, sending(a.Conn()))
			tt.end(a, b)
			for _, err := range []error{<-r, <-r2, readAll(a)()} {
				if tt.read == nil && err == nil {
					continue // io.EOF, to io.Copy
				}
				aConnError(t, "Read", err, tt.timeout, tt.read)
			}
			for _, err := range []error{<-w, <-w2, fill(a)()} {
				aConnError(t, "Write", err, tt.timeout, tt.write)
			}
			if tt.write == syscall.EPIPE {
				is(t, "Write", fill(a)(), conn.ErrBrokenPipe)
			}
		})
	}
}

// Nothing to read or write is done at once, also when a call is blocked, and
// says whether the stream can still be used.
func TestStreamOfNothing(t *testing.T) {
	a, b := newStreams(t, small)
	r := started(readAll(a))
	inside(t, receiving(a.Conn()))
	for _, f := range []func([]byte) (int, error){a.Read, a.Write} {
		if n, err := f(nil); n != 0 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
	}
	a.SetDeadline(past)
	aConnError(t, "blocked", <-r, true, os.ErrDeadlineExceeded)
	for _, f := range []func([]byte) (int, error){a.Read, a.Write} {
		_, err := f(nil)
		aConnError(t, "late", err, true, os.ErrDeadlineExceeded)
	}
	b.Close()
	for _, f := range []func([]byte) (int, error){b.Read, b.Write} {
		_, err := f(nil)
		aConnError(t, "closed", err, false, net.ErrClosed)
	}
	aConnError(t, "deadline", b.SetDeadline(future()), false, net.ErrClosed)
}

// A stream that was closed says so, also behind a deadline that had passed: who
// polls with deadlines would never learn of it.
func TestStreamClosedBehindItsDeadline(t *testing.T) {
	a, _ := newStreams(t, small)
	a.SetDeadline(past)
	if _, err := a.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
	a.Close()
	for _, b := range [][]byte{nil, make([]byte, 1)} {
		for _, f := range []func([]byte) (int, error){a.Read, a.Write} {
			_, err := f(b)
			aConnError(t, "closed", err, false, net.ErrClosed)
		}
	}
	if err, ok := a.SetDeadline(past).(*net.OpError); !ok {
		t.Errorf("SetDeadline = %v", err)
	}
}

// What was read in part keeps neither memory nor the other side's writers.
func TestStreamClosedWithARest(t *testing.T) {
	shmtest.NoLeaks(t)
	for name, end := range map[string]func(*conn.Stream) error{
		"Close": (*conn.Stream).Close, "CloseRead": (*conn.Stream).CloseRead,
	} {
		t.Run(name, func(t *testing.T) {
			a, b := newStreams(t, small)
			must(a.Write(make([]byte, 100)))
			must(a.Write(make([]byte, 100)))
			must(b.Read(make([]byte, 150)))
			if err := end(b); err != nil {
				t.Fatal(err)
			}
			aConnError(t, "Write", fill(a)(), false, syscall.EPIPE)
			if n, err := b.Read(make([]byte, 50)); n != 0 || err == nil {
				t.Errorf("read %d, %v after the end", n, err)
			}
		})
	}
}

// A connection moves to another process with all that was not read, unless a
// part of a message was: then it stays.
func TestStreamHandover(t *testing.T) {
	shmtest.NoLeaks(t)
	a, b := newStreams(t, small)
	must(a.Write([]byte("to be read in parts")))
	buf := make([]byte, 6)
	must(b.Read(buf))
	if _, err := b.Conn().Handover(); !errors.Is(err, conn.ErrBusy) {
		t.Fatalf("a part was read: Handover = %v", err)
	}
	must(io.ReadFull(b, make([]byte, 13)))
	must(a.Write([]byte("to-the-child")))
	c := spawn(t, b.Conn(), "peer", "both")
	c.Expect("ready")
	_, err := b.Read(buf)
	aConnError(t, "Read", err, false, net.ErrClosed)
	_, err = b.Write(buf)
	aConnError(t, "Write", err, false, net.ErrClosed)
	aConnError(t, "SetDeadline", b.SetReadDeadline(future()), false, net.ErrClosed)
	ask(c, "recv", "got to-the-child")
	ask(c, "send hi", "sent")
	if n := must(a.Read(buf)); string(buf[:n]) != "hi" {
		t.Errorf("%q", buf[:n])
	}
	c.Kill()
	if n, err := a.Read(buf); err != io.EOF {
		t.Errorf("the child died: Read = %d, %v", n, err)
	}
}

// The messages of another side that is no stream are bytes all the same: empty
// ones are none, also without end, and of one that was cut short the stream ends.
func TestStreamFromMessages(t *testing.T) {
	shmtest.NoLeaks(t)
	x, y := newPipe(t, small)
	s := conn.NewStream(y)
	send(t, x, "", "a", "", "bc", "")
	buf := make([]byte, 20_000)
	if must(io.ReadFull(s, buf[:3])); string(buf[:3]) != "abc" {
		t.Errorf("%q", buf[:3])
	}
	big := started(func() error { return x.SendBytes(bg, make([]byte, 20_000)) })
	must(io.ReadFull(s, buf))
	if err := <-big; err != nil {
		t.Error(err)
	}
	stop := make(chan bool)
	empty := started(func() error {
		for {
			select {
			case <-stop:
				return nil
			default:
				if err := x.TrySendBytes(nil); err != nil && err != conn.ErrFull {
					return err
				}
			}
		}
	})
	s.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
	_, err := s.Read(buf)
	aConnError(t, "empty messages", err, true, os.ErrDeadlineExceeded)
	close(stop)
	if err := <-empty; err != nil {
		t.Error(err)
	}
}

// When bytes are missing the stream ends there, for good: nothing that comes
// behind is taken for what follows.
func TestStreamWithMissingBytes(t *testing.T) {
	shmtest.NoLeaks(t)
	buf := make([]byte, 100)
	t.Run("cut short", func(t *testing.T) {
		a, b := newPipe(t, small)
		s := conn.NewStream(a)
		c := spawn(t, b, "peer", "both")
		c.Expect("ready")
		c.Send("fill 1000000")
		for ok, err := a.Poll(bg); !ok; {
			t.Fatal(err)
		}
		c.Kill()
		for range 3 {
			_, err := s.Read(buf)
			aConnError(t, "Read", err, false, conn.ErrMessageLost, io.ErrUnexpectedEOF)
		}
	})
	t.Run("too large", func(t *testing.T) {
		l := must(conn.Listen("", &conn.ListenOptions{Conn: conn.Options{MaxMessage: 50}}))
		defer l.Close()
		a := must(conn.Dial(bg, l.Addr(), &conn.DialOptions{Conn: *small}))
		defer a.Close()
		b := must(l.Streams().Accept())
		defer b.Close()
		send(t, a, "before")
		big := started(func() error {
			return errors.Join(a.SendBytes(bg, make([]byte, 20_000)), a.SendBytes(bg, []byte("behind")))
		})
		must(io.ReadFull(b, buf[:6]))
		for range 3 {
			_, err := b.Read(buf)
			aConnError(t, "Read", err, false, conn.ErrTooLarge)
		}
		// This side's own limit is one that it keeps to.
		must(b.Write(buf))
		expect(t, a, string(buf[:50]), string(buf[50:]))
		b.Close()
		is(t, "SendBytes", <-big, conn.ErrBrokenPipe)
	})
}
