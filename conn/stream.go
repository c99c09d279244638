package conn

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"time"

	"github.com/sluice-ipc/sluice/internal/mem"
	"github.com/sluice-ipc/sluice/internal/wait"
)

// Stream makes a net.Conn of a connection: bytes without boundaries, deadlines,
// and addresses, so that net/http, gRPC and whatever else works on a net.Conn
// runs over shared memory. It is safe for use by many goroutines.
//
// Read returns io.EOF after the last byte when the other side has closed, closed
// for writing, or died, and Write then fails with [ErrBrokenPipe], which is
// syscall.EPIPE. So they do after CloseRead and CloseWrite here. After a deadline
// calls fail with os.ErrDeadlineExceeded, and after Close with net.ErrClosed. When
// bytes are missing, because the other side sends messages in pieces and gave one
// up, Read fails for good. All errors but io.EOF are of type *net.OpError, and
// those of the reader or writer that ReadFrom or WriteTo was given.
//
// A Stream whose Conn was passed to another process fails as if it was closed;
// that is not possible while a part of what arrived has been read.
type Stream struct {
	c             *Conn
	local, remote net.Addr

	read, write side

	// Of whoever is in the gate of read.
	rest   []byte // of what was peeked
	held   int    // bytes of what was peeked and not released
	peeked bool
	broken error // bytes are missing; stays
}

// A side is one direction of a stream.
type side struct {
	gate     wait.Gate // of who calls; its end gives back what is on loan
	deadline deadline
}

// enter waits until nobody else is at it, or the deadline passes. The stream's
// gates keep out those who would find a loan in the middle; those of the ring
// tell who is blocked that the connection has closed.
func (s *side) enter() error {
	m := s.deadline.context()
	if m.Err() != nil {
		return os.ErrDeadlineExceeded
	}
	err := s.gate.Enter(m)
	if err == wait.ErrGateClosed {
		return ErrClosed
	}
	return err
}

// Addr is the address of a stream's side: that of the listener, or the name of
// the end.
type Addr struct{ Name string }

// Network returns "sluice".
func (Addr) Network() string { return "sluice" }

func (a Addr) String() string { return a.Name }

// NewStream makes a stream of a connection that nobody receives from, which is the
// stream's from then on. MaxMessage bounds what it writes at a time, and what it reads
// only where the other side sends messages above half of Size, which streams do not.
// The other side must do the same, or know that messages have no boundaries.
func NewStream(c *Conn) *Stream {
	return newStream(c, Addr{c.Name()}, Addr{c.otherName()})
}

func newStream(c *Conn, local, remote Addr) *Stream {
	if r := c.handle.e.r.Load(); r != nil {
		r.AnyFrame() // the other side may send more at a time than we do
	}
	return &Stream{c: c, local: local, remote: remote}
}

// maxChunk is the most bytes that Write sends as one message: few enough for the
// other side to read while we write on.
const maxChunk = 64 << 10

// chunk returns how many bytes are sent as one message. The other side may hold
// one that it has read in part, and there is room for more.
func (s *Stream) chunk() int {
	return max(min(maxChunk, s.c.handle.e.att.rings[0].MaxFrame()/3, s.c.handle.e.opts.MaxMessage), 1)
}

// Read reads what has arrived, at least a byte unless p is empty.
func (s *Stream) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, s.fail("read", s.idle(&s.read, receives))
	}
	if err := s.read.enter(); err != nil {
		return 0, s.fail("read", err)
	}
	err := s.peek()
	if err != nil {
		s.read.gate.Leave()
		return 0, s.fail("read", err)
	}
	n := s.take(p)
	s.read.gate.Leave()
	return n, nil
}

// idle returns what a call that has nothing to do fails with.
func (s *Stream) idle(d *side, dir direction) error {
	if d.deadline.context().Err() != nil {
		return os.ErrDeadlineExceeded
	}
	return s.c.handle.e.usable("use", dir)
}

// peek waits for bytes. The messages of another side that knows nothing of
// streams may be empty, without end.
func (s *Stream) peek() error {
	for len(s.rest) == 0 {
		s.release()
		m := s.read.deadline.context()
		switch {
		case s.broken != nil:
			return s.broken
		case m.Err() != nil:
			return os.ErrDeadlineExceeded
		}
		b, err := s.c.Peek(m)
		if err != nil {
			if errors.Is(err, ErrMessageLost) || errors.Is(err, ErrTooLarge) {
				s.broken = err
			}
			return err
		}
		s.rest, s.peeked, s.held = b, true, len(b)
	}
	return nil
}

// take copies what was peeked to p, and what has arrived behind it as long as
// there is room: a peer that writes little at a time is read in one go.
func (s *Stream) take(p []byte) int {
	n := mem.Copy(p, s.rest)
	s.rest = s.rest[n:]
	for len(s.rest) == 0 && n < len(p) && s.held < maxTake {
		b, err := s.c.More()
		if err != nil {
			break
		}
		m := mem.Copy(p[n:], b)
		s.rest = b[m:]
		s.held += len(b)
		n += m
	}
	if len(s.rest) == 0 {
		s.release()
	}
	return n
}

// maxTake is how many bytes are held at most when Read looks for more: who writes
// waits for what has not been given back.
const maxTake = 16 << 10

func (s *Stream) release() {
	if s.peeked {
		s.rest, s.peeked = nil, false
		s.c.Release()
	}
}

// Write sends all of p, waiting for room. When it fails it returns how many
// bytes were sent. What two goroutines write at a time is not mixed.
func (s *Stream) Write(p []byte) (n int, err error) {
	if len(p) == 0 {
		return 0, s.fail("write", s.idle(&s.write, sends))
	}
	if err := s.write.enter(); err != nil {
		return 0, s.fail("write", err)
	}
	n, err = s.send(p)
	s.write.gate.Leave()
	return n, s.fail("write", err)
}

// send is Write in the gate.
func (s *Stream) send(p []byte) (n int, err error) {
	for chunk := s.chunk(); len(p) > 0; {
		ctx := s.write.deadline.context()
		if ctx.Err() != nil {
			return n, os.ErrDeadlineExceeded
		}
		m := min(len(p), chunk)
		if err := s.c.SendBytes(ctx, p[:m]); err != nil {
			return n, err
		}
		n, p = n+m, p[m:]
	}
	return n, nil
}

// Close closes the stream and wakes those who are blocked on it. What was written
// can still be read by the other side.
func (s *Stream) Close() error {
	err := s.c.Close()
	s.read.deadline.end()
	s.write.deadline.end()
	s.read.end(s.release)
	s.write.end(func() {})
	return s.fail("close", err)
}

// end lets nobody in any more, and runs last when who is in has left.
func (s *side) end(last func()) { s.gate.Close(func() {}, last) }

// CloseWrite ends what this side sends: the other reads io.EOF after the last
// byte.
func (s *Stream) CloseWrite() error {
	err := s.c.CloseWrite()
	s.write.end(func() {})
	return s.fail("close", err)
}

// CloseRead ends what this side reads: the other's Write fails, and what has
// arrived and was not read is lost.
func (s *Stream) CloseRead() error {
	err := s.c.CloseRead()
	s.read.end(s.release)
	return s.fail("close", err)
}

// LocalAddr returns the address of this side.
func (s *Stream) LocalAddr() net.Addr { return s.local }

// RemoteAddr returns the address of the other side.
func (s *Stream) RemoteAddr() net.Addr { return s.remote }

// Conn returns the connection under the stream, to ask it who is at the other
// side, or to send descriptors over. Messages are the stream's.
func (s *Stream) Conn() *Conn { return s.c }

// SetDeadline sets both deadlines, also of calls that are waiting. Zero is none.
func (s *Stream) SetDeadline(t time.Time) error {
	err := s.SetReadDeadline(t)
	if err2 := s.SetWriteDeadline(t); err == nil {
		err = err2
	}
	return err
}

// SetReadDeadline sets the deadline of Read.
func (s *Stream) SetReadDeadline(t time.Time) error { return s.set(&s.read, t) }

// SetWriteDeadline sets the deadline of Write.
func (s *Stream) SetWriteDeadline(t time.Time) error { return s.set(&s.write, t) }

func (s *Stream) set(d *side, t time.Time) error {
	if !d.deadline.set(t) || s.c.Closed() {
		return s.fail("set", ErrClosed)
	}
	return nil
}

// fail makes an error one of a net.Conn.
func (s *Stream) fail(op string, err error) error {
	switch {
	case err == nil || err == io.EOF:
		return err
	case s.c.Closed() && errors.Is(err, os.ErrDeadlineExceeded):
		err = net.ErrClosed // whoever polls with deadlines has to see it
	case errors.Is(err, context.DeadlineExceeded), err == os.ErrDeadlineExceeded:
		err = os.ErrDeadlineExceeded
	case errors.Is(err, ErrBrokenPipe):
		err = ErrBrokenPipe
	case !errors.Is(err, ErrClosed):
	case s.c.Closed() || op == "set":
		err = net.ErrClosed
	case op == "read":
		return io.EOF // only this direction is closed
	case op == "write":
		err = ErrBrokenPipe
	}
	return &net.OpError{Op: op, Net: Addr{}.Network(), Source: s.local, Addr: s.remote, Err: err}
}
