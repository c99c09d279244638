package conn

import (
	"runtime"

	"github.com/sluice-ipc/sluice/ring"
	"github.com/sluice-ipc/sluice/shm"
)

// Conn is an end that sends and receives.
// It is safe for use by many goroutines: one at a time is inside each direction.
//
// It must be closed, or moved to another process with shm.Pass.
type Conn struct {
	sender
	receiver
}

// SendConn is an end that only sends. It is otherwise like Conn.
type SendConn struct{ sender }

// RecvConn is an end that only receives. It is otherwise like Conn.
type RecvConn struct{ receiver }

var (
	_ Sender   = (*Conn)(nil)
	_ Sender   = (*SendConn)(nil)
	_ Receiver = (*Conn)(nil)
	_ Receiver = (*RecvConn)(nil)

	_ shm.Handle = (*Conn)(nil)
	_ shm.Handle = (*SendConn)(nil)
	_ shm.Handle = (*RecvConn)(nil)
)

func newConn(e *end) *Conn {
	c := &Conn{sender{e}, receiver{e}}
	e.cleanup = runtime.AddCleanup(c, (*end).drop, e)
	return c
}

func newSendConn(e *end) *SendConn {
	c := &SendConn{sender{e}}
	e.cleanup = runtime.AddCleanup(c, (*end).drop, e)
	return c
}

func newRecvConn(e *end) *RecvConn {
	c := &RecvConn{receiver{e}}
	e.cleanup = runtime.AddCleanup(c, (*end).drop, e)
	return c
}

// Close gives the end up: the other one gets io.EOF after the last message, and
// ErrBrokenPipe when it sends. What was received here but not read is lost.
// Goroutines of this process that are blocked on the end return ErrClosed.
// Memory on loan stays valid, and its direction is given up, when it is
// committed or released. Close may be called twice, and does nothing to an end
// that was passed to another process.
func (c *Conn) Close() error { return c.sender.e.close() }

// Close gives the end up, as Conn.Close does.
func (c *SendConn) Close() error { return c.e.close() }

// Close gives the end up, as Conn.Close does.
func (c *RecvConn) Close() error { return c.e.close() }

// CloseWrite closes the sending direction only: the other end gets io.EOF after
// the last message, and can still send.
func (c *Conn) CloseWrite() error {
	if w := c.sender.e.w.Load(); w != nil {
		w.Close()
	}
	runtime.KeepAlive(c)
	return nil
}

// CloseRead closes the receiving direction only: the other end gets
// ErrBrokenPipe when it sends, and can still receive.
func (c *Conn) CloseRead() error {
	if r := c.receiver.e.r.Load(); r != nil {
		r.Close()
	}
	runtime.KeepAlive(c)
	return nil
}

// Closed reports whether Close has been called, or the end has been passed on.
func (c *Conn) Closed() bool { return c.sender.e.gone() }

// Closed reports whether Close has been called, or the end has been passed on.
func (c *SendConn) Closed() bool { return c.e.gone() }

// Closed reports whether Close has been called, or the end has been passed on.
func (c *RecvConn) Closed() bool { return c.e.gone() }

// Name returns the name of the end, as errors show it: that of the pipe's
// segment and which of the two ends it is.
func (c *Conn) Name() string { return c.sender.e.name }

// Name returns the name of the end, as Conn.Name does.
func (c *SendConn) Name() string { return c.e.name }

// Name returns the name of the end, as Conn.Name does.
func (c *RecvConn) Name() string { return c.e.name }

// String returns the name and the state of the end.
func (c *Conn) String() string { return c.sender.e.describe() }

// String returns the name and the state of the end.
func (c *SendConn) String() string { return c.e.describe() }

// String returns the name and the state of the end.
func (c *RecvConn) String() string { return c.e.describe() }

// Peer is what is known of the other end.
type Peer struct {
	// PID is the process that has the other end, in its own PID namespace;
	// 0 when it has none at present, because it is closed, dead, or on its
	// way to a child. It may be old by the time it is looked at.
	PID int

	// State says whether the other end is alive, was closed, or died. It is
	// ring.PeerNone when this end is closed and cannot tell any more.
	State ring.PeerState
}

// Peer returns what is known of the other end.
func (c *Conn) Peer() Peer { return c.sender.e.peer() }

// Peer returns what is known of the other end.
func (c *SendConn) Peer() Peer { return c.e.peer() }

// Peer returns what is known of the other end.
func (c *RecvConn) Peer() Peer { return c.e.peer() }

// Handover implements shm.Handle. It is called by shm.Pass, which moves the end
// to a child process: from then on it is of no use here and every call returns
// ErrMoved; it lives and dies with the child. It fails with ErrBusy while
// another goroutine uses the end or memory is on loan, and the end stays here.
// A call in another goroutine at that moment may get ErrBusy too.
//
// A direction that was closed stays closed. The child calls Inherited.
func (c *Conn) Handover() (shm.Handover, error) { return handover(c, c.sender.e) }

// Handover implements shm.Handle, as Conn.Handover does. The child calls
// InheritedSend.
func (c *SendConn) Handover() (shm.Handover, error) { return handover(c, c.e) }

// Handover implements shm.Handle, as Conn.Handover does. The child calls
// InheritedRecv.
func (c *RecvConn) Handover() (shm.Handover, error) { return handover(c, c.e) }
