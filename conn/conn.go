package conn

import (
	"context"
	"runtime"

	"github.com/sluice-ipc/sluice/ring"
	"github.com/sluice-ipc/sluice/shm"
)

// Conn is an end that sends and receives.
// It is safe for use by many goroutines: one at a time is inside each direction.
//
// It must be closed, or moved to another process with shm.Pass.
type Conn struct {
	handle
	sender
	receiver
}

// SendConn is an end that only sends. It is otherwise like Conn.
type SendConn struct {
	handle
	sender
}

// RecvConn is an end that only receives. It is otherwise like Conn.
type RecvConn struct {
	handle
	receiver
}

// A Sender is an end that sends: a *Conn or a *SendConn.
type Sender interface {
	Send(ctx context.Context, v any) error
	TrySend(v any) error
	SendBytes(ctx context.Context, b []byte) error
	TrySendBytes(b []byte) error
	Close() error

	sending() *sender
}

// A Receiver is an end that receives: a *Conn or a *RecvConn.
type Receiver interface {
	Recv(ctx context.Context) (any, error)
	TryRecv() (any, error)
	RecvTo(ctx context.Context, ptr any) error
	TryRecvTo(ptr any) error
	RecvBytes(ctx context.Context) ([]byte, error)
	TryRecvBytes() ([]byte, error)
	RecvBytesInto(ctx context.Context, buf []byte) (int, error)
	Poll(ctx context.Context) (bool, error)
	TryPoll() (bool, error)
	Close() error

	receiving() *receiver
}

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
	c := &Conn{handle{e}, sender{e}, receiver{e}}
	e.cleanup = runtime.AddCleanup(c, (*end).drop, e)
	return c
}

func newSendConn(e *end) *SendConn {
	c := &SendConn{handle{e}, sender{e}}
	e.cleanup = runtime.AddCleanup(c, (*end).drop, e)
	return c
}

func newRecvConn(e *end) *RecvConn {
	c := &RecvConn{handle{e}, receiver{e}}
	e.cleanup = runtime.AddCleanup(c, (*end).drop, e)
	return c
}

// handle is what all kinds of ends have in common; sender and receiver are what
// some have. They lie in the object that the user holds, so that
// runtime.KeepAlive of one of them keeps that object from being closed as
// garbage while a call is in progress.
type handle struct{ e *end }

// Close gives the end up: the other one gets io.EOF after the last message, and
// ErrBrokenPipe when it sends. What has arrived here and was not received is
// lost. Goroutines of this process that are blocked on the end return ErrClosed.
// Memory on loan stays valid, and its direction is given up, when it is
// committed or released. Close may be called twice, and does nothing to an end
// that was passed to another process.
func (h *handle) Close() error {
	err := h.e.close()
	runtime.KeepAlive(h)
	return err
}

// Closed reports whether Close has been called, or the end has been passed to
// another process.
func (h *handle) Closed() bool { return h.e.gone() }

// Name returns the name of the end, as errors show it: that of the pipe's
// segment and which of the two ends it is.
func (h *handle) Name() string { return h.e.name }

// otherName is the name of the other end.
func (h *handle) otherName() string {
	return h.e.seg.Name() + "." + string(rune('a'+1-h.e.which))
}

// String returns the name and the state of the end.
func (h *handle) String() string { return h.e.describe() }

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

// Peer looks whether the other end lives, and returns what is known of it.
func (h *handle) Peer() Peer {
	p := h.e.peer()
	runtime.KeepAlive(h)
	return p
}

// Handover implements shm.Handle. It is called by shm.Pass, which moves the end
// to a child process: from then on every call here returns ErrMoved, and the end
// lives and dies with the child, which gets it from Inherited, InheritedRecv or
// InheritedSend. It fails with ErrBusy, and the end stays here, while another
// goroutine uses the end, memory is on loan, or a receive whose context has ended
// has taken a part of a message in pieces, or a file that has arrived has not been
// received. A call that another goroutine begins at that moment may get ErrBusy
// too. The socket of an end that Dial or Listen made stays behind, and files that
// the other side is sending just then are lost.
//
// A direction that was closed stays closed.
func (h *handle) Handover() (shm.Handover, error) {
	ho, err := h.e.handover()
	runtime.KeepAlive(h)
	return ho, err
}

// CloseWrite closes the sending direction only: the other end gets io.EOF after
// the last message, and can still send.
func (c *Conn) CloseWrite() error {
	err := c.handle.e.closeRole(sends)
	runtime.KeepAlive(c)
	return err
}

// CloseRead closes the receiving direction only: the other end gets
// ErrBrokenPipe when it sends, and can still receive.
func (c *Conn) CloseRead() error {
	err := c.handle.e.closeRole(receives)
	runtime.KeepAlive(c)
	return err
}
