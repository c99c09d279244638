package conn

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"time"

	"github.com/sluice-ipc/sluice/internal/sys"
	"github.com/sluice-ipc/sluice/shm"
)

// Credentials returns who was at the other end when the connection was made. It
// is false for one that Dial and Listen did not make.
func (c *Conn) Credentials() (Credentials, bool) {
	b := c.handle.e.side.Load()
	runtime.KeepAlive(c)
	if b == nil {
		return Credentials{}, false
	}
	return b.cred, true
}

// SendFile sends a descriptor to the other process, which gets one of its own
// from RecvFile. f stays the caller's. Files and handles arrive in the order in
// which they were sent, and are not ordered with messages. Up to 16 wait at the
// receiver, and some more in the socket; then SendFile waits for ctx, and fails
// with ErrFull. It fails with ErrBrokenPipe if the other end is closed or dead, or
// was passed to another process, which leaves the socket behind.
//
// It needs a connection that Dial and Listen made ([ErrNoSocket]).
func (c *Conn) SendFile(ctx context.Context, f *os.File) error {
	if f == nil {
		return &opError{opSendFile, c.Name(), nil, os.ErrInvalid}
	}
	return c.sendAside(ctx, opSendFile, func() (*os.File, string, error) { return f, "", nil })
}

// SendHandle sends a queue, a lock, a value, an end of another connection, or a
// segment. A handle that moves, like an end, is the other process's from then on,
// and closed here. The other process gets it with RecvConn, or RecvHandle. Apart
// from that it is like SendFile.
//
// If the error is ErrFull or ErrNoSocket, or h refused to be handed over, as an
// end does that is in use, h is as it was. With any other error, one that moves
// may be lost: it is closed, then.
func (c *Conn) SendHandle(ctx context.Context, h shm.Handle) error {
	const op = "send a handle over"
	if o, ok := h.(*Conn); ok && o.handle.e == c.handle.e {
		return &opError{op, c.Name(), nil, fmt.Errorf("%w: it is the end itself", os.ErrInvalid)}
	}
	var own *os.File
	err := c.sendAside(ctx, op, func() (f *os.File, desc string, err error) {
		own, desc, err = shm.Export(h)
		return own, desc, err
	})
	if own != nil {
		own.Close()
	}
	return err
}

const (
	opSendFile = "send a file over"
	opRecvFile = "receive a file from"
)

// sendAside sends what get returns, which it calls when there is room.
func (c *Conn) sendAside(ctx context.Context, op string, get func() (*os.File, string, error)) error {
	defer runtime.KeepAlive(c)
	b, err := c.handle.e.sideband(op)
	if err != nil {
		return err
	}
	fail := func(kind, cause error) error { return &opError{op, c.Name(), kind, cause} }
	if err := b.enter(ctx); err != nil {
		return fail(ErrFull, err)
	}
	defer b.leave()
	if c.handle.e.gone() {
		return c.handle.e.closed(op)
	}
	f, desc, err := get()
	if err != nil {
		return fail(nil, err)
	}
	err = b.s.sendNow(append([]byte{packetHandle}, desc...), f)
	switch {
	case err == nil:
		return nil
	case c.handle.e.gone():
		return c.handle.e.closed(op)
	case errors.Is(err, ErrHungUp):
		return fail(ErrBrokenPipe, err)
	}
	return fail(nil, err)
}

// enter takes the turn to send and waits until the socket has room for a packet,
// which it has until leave. It returns the context's error if that ends before;
// one that has ended already gets one attempt.
func (b *sideband) enter(ctx context.Context) error {
	select {
	case b.turn <- struct{}{}:
	default:
		select {
		case b.turn <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if err := b.room(ctx); err != nil {
		b.leave()
		return err
	}
	return nil
}

func (b *sideband) leave() { <-b.turn }

// room waits until the socket has room, or nobody needs any.
func (b *sideband) room(ctx context.Context) error {
	sock, err := b.s.c.SyscallConn()
	if err != nil {
		return nil // closed, as the caller will see
	}
	now := true
	if sock.Control(func(fd uintptr) { now = sys.Writable(int(fd)) }); now {
		return nil
	}
	b.s.c.SetWriteDeadline(time.Time{})
	late := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(late)
		b.s.c.SetWriteDeadline(time.Unix(1, 0))
	})
	err = sock.Write(func(fd uintptr) bool { return sys.Writable(int(fd)) })
	if !stop() {
		<-late // the deadline is ours until the turn is the next one's
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return ctx.Err()
	}
	return nil
}

// recvFile waits for a file of any kind.
func (c *Conn) recvFile(ctx context.Context) (r received, err error) {
	defer runtime.KeepAlive(c)
	const op = opRecvFile
	b, err := c.handle.e.sideband(op)
	if err != nil {
		return r, err
	}
	select {
	case r, ok := <-b.files:
		return b.got(c, op, r, ok)
	default:
	}
	select {
	case r, ok := <-b.files:
		return b.got(c, op, r, ok)
	case <-b.quit:
		return r, c.handle.e.closed(op)
	case <-ctx.Done():
		return r, &opError{op, c.Name(), ErrEmpty, ctx.Err()}
	}
}

// got is what came out of the channel of files.
func (b *sideband) got(c *Conn, op string, r received, ok bool) (received, error) {
	switch {
	case ok && r.err != nil:
		return received{}, &opError{op, c.Name(), nil, r.err}
	case ok:
		return r, nil
	case c.handle.e.gone():
		return r, c.handle.e.closed(op)
	}
	return r, io.EOF
}

// RecvFile waits for a file that the other process has sent. It is the caller's.
// After the last one it returns io.EOF when the other end has closed or died, or was
// passed to another process.
// What comes next and is a handle is an error, and lost; a file that was sent but
// could not be received, because too many are open here, is syscall.EMFILE.
//
// It may be a file of any kind, which the other process can read, write and
// change at any time. Of pipes and sockets in non-blocking mode reads and writes have
// deadlines; everything else is used without the runtime's poller, and takes as long
// as its file system wants. If such a file is in non-blocking mode, as devices are
// that a Go program has opened, its calls fail with EAGAIN rather than wait.
func (c *Conn) RecvFile(ctx context.Context) (*os.File, error) {
	r, err := c.recvFile(ctx)
	if err != nil {
		return nil, err
	}
	if r.desc != "" {
		r.drop()
		return nil, &opError{opRecvFile, c.Name(), nil, fmt.Errorf("%w: it is a handle", ErrProtocol)}
	}
	return r.open(c)
}

// RecvConn waits for an end of another connection that was sent with SendHandle,
// and sends and receives. The errors are those of RecvFile, *shm.FormatError for
// what is no such end, and [ErrDirection] for one that does only one of the two:
// that is received with RecvHandle and [ImportRecv] or [ImportSend]. What was
// refused is lost.
func (c *Conn) RecvConn(ctx context.Context, o *Options) (n *Conn, err error) {
	err = c.RecvHandle(ctx, func(f *os.File, desc string) error {
		n, err = Import(f, desc, o)
		return err
	})
	return n, err
}

// Import adopts an end of a pipe from what shm.Export returned in another
// process, which SendHandle has sent or the program itself. f stays the caller's,
// who closes it soon: until then it keeps the end alive. The memory must be
// sealed, and at most 1 GiB. The options are those that [Inherited] heeds.
func Import(f *os.File, desc string, o *Options) (*Conn, error) {
	e, err := importFile(f, desc, bothWays, o)
	if err != nil {
		return nil, err
	}
	return newConn(e), nil
}

// ImportRecv is Import for the receiving end of a simplex pipe.
func ImportRecv(f *os.File, desc string, o *Options) (*RecvConn, error) {
	e, err := importFile(f, desc, receives, o)
	if err != nil {
		return nil, err
	}
	return newRecvConn(e), nil
}

// ImportSend is Import for the sending end of a simplex pipe.
func ImportSend(f *os.File, desc string, o *Options) (*SendConn, error) {
	e, err := importFile(f, desc, sends, o)
	if err != nil {
		return nil, err
	}
	return newSendConn(e), nil
}

func importFile(f *os.File, desc string, want direction, o *Options) (*end, error) {
	v := o.withDefaults()
	err := checkMemory(f, maxImport)
	var e *end
	if err == nil {
		e, err = importEnd(f, desc, want, &v)
	}
	if err != nil {
		return nil, fmt.Errorf("conn: import: %w", err)
	}
	return e, nil
}

// RecvHandle waits for what was sent with SendHandle, and calls open with the
// file and the description, for shm.Import or FromFile functions such as
// ring.QueueFromFile. The file is closed afterwards.
func (c *Conn) RecvHandle(ctx context.Context, open func(f *os.File, desc string) error) error {
	r, err := c.recvFile(ctx)
	if err != nil {
		return err
	}
	f, err := r.open(c)
	if err != nil {
		return err
	}
	defer discard(f)
	return open(f, r.desc)
}

// discard closes a file of a stranger's, which must not make us wait.
func discard(f *os.File) {
	if c, err := f.SyscallConn(); err == nil {
		c.Control(func(fd uintptr) { sys.NoLinger(int(fd)) })
	}
	f.Close()
}

// open makes a file of what was received.
func (r received) open(c *Conn) (*os.File, error) {
	f, err := r.f.file()
	if err != nil {
		return nil, &opError{opRecvFile, c.Name(), nil, err}
	}
	return f, nil
}
