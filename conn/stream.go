package conn

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"time"
)

// Stream makes a net.Conn of a connection: bytes without boundaries, deadlines,
// and addresses, so that net/http, gRPC and whatever else works on a net.Conn
// runs over shared memory. It is safe for use by many goroutines.
//
// Read returns io.EOF after the last byte when the other side has closed, closed
// for writing, or died; Write then fails with syscall.EPIPE. After a deadline
// calls fail with os.ErrDeadlineExceeded, and after Close with net.ErrClosed. All
// errors but io.EOF are of type *net.OpError.
type Stream struct {
	c             *Conn
	local, remote net.Addr

	read, write side
	rest        []byte // of what was peeked; whoever has read's turn has it
	peeked      bool
}

// A side is one direction of a stream.
type side struct {
	deadline deadline
	turn     chan struct{} // full while a call is at it
}

// enter waits for the turn until the deadline.
func (s *side) enter() error {
	m := s.deadline.context()
	if m.Err() != nil {
		return os.ErrDeadlineExceeded
	}
	select {
	case s.turn <- struct{}{}:
		return nil
	default:
	}
	select {
	case s.turn <- struct{}{}:
		return nil
	case <-m.Done():
		return os.ErrDeadlineExceeded
	}
}

func (s *side) leave() { <-s.turn }

// Addr is the address of a stream's side: that of the listener, or the name of
// the end.
type Addr struct{ Name string }

// Network returns "sluice".
func (Addr) Network() string { return "sluice" }

func (a Addr) String() string { return a.Name }

// NewStream makes a stream of a connection, which is the stream's from then on.
// The other side must do the same, or know that messages have no boundaries.
func NewStream(c *Conn) *Stream {
	return newStream(c, Addr{c.Name()}, Addr{c.otherName()})
}

func newStream(c *Conn, local, remote Addr) *Stream {
	s := &Stream{c: c, local: local, remote: remote}
	s.read.turn, s.write.turn = make(chan struct{}, 1), make(chan struct{}, 1)
	return s
}

// maxChunk is the most bytes that Write sends as one message: few enough for the
// other side to read while we write on.
const maxChunk = 64 << 10

// chunk returns how many bytes are sent as one message.
func (s *Stream) chunk() int { return min(maxChunk, max(s.c.MaxReserve()/3, 1)) }

// Read reads what has arrived, at least a byte unless p is empty.
func (s *Stream) Read(p []byte) (int, error) {
	if err := s.read.enter(); err != nil {
		return 0, s.fail("read", err)
	}
	defer s.read.leave()
	if len(p) == 0 {
		return 0, s.fail("read", s.usable())
	}
	b, err := s.peek()
	if err != nil {
		return 0, s.fail("read", err)
	}
	n := copy(p, b)
	s.consume(n)
	return n, nil
}

// usable returns why the stream cannot be used any more.
func (s *Stream) usable() error {
	if s.c.Closed() {
		return ErrClosed
	}
	return nil
}

// peek waits for bytes and returns them where they lie.
func (s *Stream) peek() ([]byte, error) {
	if err := s.usable(); err != nil {
		return nil, err
	}
	for len(s.rest) == 0 {
		s.release()
		b, err := s.c.Peek(s.read.deadline.context())
		if err != nil {
			return nil, err
		}
		s.rest, s.peeked = b, true
	}
	return s.rest, nil
}

// consume says that n of the bytes have been read.
func (s *Stream) consume(n int) {
	if s.rest = s.rest[n:]; len(s.rest) == 0 {
		s.release()
	}
}

func (s *Stream) release() {
	if s.peeked {
		s.rest, s.peeked = nil, false
		s.c.Release()
	}
}

// Write sends all of p, waiting for room. When it fails it returns how many
// bytes were sent. What two goroutines write at a time is not mixed.
func (s *Stream) Write(p []byte) (n int, err error) {
	if err := s.write.enter(); err != nil {
		return 0, s.fail("write", err)
	}
	defer s.write.leave()
	chunk := s.chunk()
	for len(p) > 0 {
		m := min(len(p), chunk)
		if err := s.c.SendBytes(s.write.deadline.context(), p[:m]); err != nil {
			return n, s.fail("write", err)
		}
		n, p = n+m, p[m:]
	}
	return n, s.fail("write", s.usable())
}

// ReadFrom sends what r yields until its end, which is read straight into shared
// memory. It implements io.ReaderFrom. While r blocks, other writers wait.
func (s *Stream) ReadFrom(r io.Reader) (n int64, err error) {
	if err := s.write.enter(); err != nil {
		return 0, s.fail("write", err)
	}
	defer s.write.leave()
	chunk := s.chunk()
	for {
		b, err := s.c.Reserve(s.write.deadline.context(), chunk)
		if err != nil {
			return n, s.fail("write", err)
		}
		m, err := readInto(r, b, s.c)
		n += int64(m)
		switch {
		case err == io.EOF:
			return n, nil
		case err != nil:
			return n, err
		}
	}
}

// readInto reads once into a reservation and sends what it got.
func readInto(r io.Reader, b []byte, c *Conn) (n int, err error) {
	defer func() {
		if n == 0 {
			c.Abort() // also when r panics
		}
	}()
	m, err := r.Read(b)
	if m <= 0 {
		return 0, err
	}
	if err2 := c.Commit(m); err2 != nil {
		return 0, err2
	}
	return m, err
}

// WriteTo writes to w what arrives until the end, straight out of shared memory.
// It implements io.WriterTo.
func (s *Stream) WriteTo(w io.Writer) (n int64, err error) {
	if err := s.read.enter(); err != nil {
		return 0, s.fail("read", err)
	}
	defer s.read.leave()
	for {
		b, err := s.peek()
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return n, s.fail("read", err)
		}
		m, err := w.Write(b)
		n += int64(m)
		s.consume(min(max(m, 0), len(b)))
		if err != nil {
			return n, err
		}
		if m < len(b) {
			return n, io.ErrShortWrite
		}
	}
}

// Close closes the stream and wakes those who are blocked on it.
func (s *Stream) Close() error {
	err := s.c.Close()
	// What was peeked and not read keeps the memory; nobody reads any more.
	select {
	case s.read.turn <- struct{}{}:
		s.release()
		s.read.leave()
	default: // whoever is reading finds out
	}
	return s.fail("close", err)
}

// CloseWrite ends what this side sends: the other reads io.EOF after the last
// byte.
func (s *Stream) CloseWrite() error { return s.fail("close", s.c.CloseWrite()) }

// CloseRead ends what this side reads: the other's Write fails.
func (s *Stream) CloseRead() error { return s.fail("close", s.c.CloseRead()) }

// LocalAddr returns the address of this side.
func (s *Stream) LocalAddr() net.Addr { return s.local }

// RemoteAddr returns the address of the other side.
func (s *Stream) RemoteAddr() net.Addr { return s.remote }

// Conn returns the connection under the stream.
func (s *Stream) Conn() *Conn { return s.c }

// SetDeadline sets both deadlines, also of calls that are waiting. Zero is none.
func (s *Stream) SetDeadline(t time.Time) error {
	return errors.Join(s.SetReadDeadline(t), s.SetWriteDeadline(t))
}

// SetReadDeadline sets the deadline of Read.
func (s *Stream) SetReadDeadline(t time.Time) error {
	s.read.deadline.set(t)
	return s.fail("set", s.usable())
}

// SetWriteDeadline sets the deadline of Write.
func (s *Stream) SetWriteDeadline(t time.Time) error {
	s.write.deadline.set(t)
	return s.fail("set", s.usable())
}

// fail makes an error one of a net.Conn.
func (s *Stream) fail(op string, err error) error {
	switch {
	case err == nil || err == io.EOF:
		return err
	case errors.Is(err, ErrClosed):
		err = net.ErrClosed
	case errors.Is(err, context.DeadlineExceeded), err == os.ErrDeadlineExceeded:
		err = os.ErrDeadlineExceeded
	case errors.Is(err, ErrBrokenPipe):
		err = &sentinel{err.Error(), errPipe}
	}
	return &net.OpError{Op: op, Net: Addr{}.Network(), Source: s.local, Addr: s.remote, Err: err}
}

// Streams returns the listener as a net.Listener, whose connections are Streams.
func (l *Listener) Streams() net.Listener { return streams{l} }

type streams struct{ l *Listener }

func (s streams) Accept() (net.Conn, error) {
	c, err := s.l.Accept(context.Background())
	if err != nil {
		return nil, &net.OpError{Op: "accept", Net: Addr{}.Network(), Addr: s.Addr(), Err: err}
	}
	return newStream(c, Addr{s.l.Addr()}, Addr{c.otherName()}), nil
}

func (s streams) Close() error   { return s.l.Close() }
func (s streams) Addr() net.Addr { return Addr{s.l.Addr()} }

// DialStream is Dial for a listener that serves streams. With o.Fallback it
// connects to an ordinary Unix stream socket if that is what has the address, or
// where there is no shared memory: the result is then a *net.UnixConn.
func DialStream(ctx context.Context, addr string, o *DialOptions) (net.Conn, error) {
	c, err := Dial(ctx, addr, o)
	if err == nil {
		return newStream(c, Addr{c.Name()}, Addr{addr}), nil
	}
	if o == nil || !o.Fallback || !noSharedMemory(err) {
		return nil, err
	}
	var d net.Dialer
	return d.DialContext(ctx, "unix", addr)
}
