package conn

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"sync"
	"time"

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
// receiver, and some more in the socket; then SendFile waits for ctx.
//
// It needs a connection that Dial and Listen made ([ErrNoSocket]).
func (c *Conn) SendFile(ctx context.Context, f *os.File) error {
	return c.sendFile(ctx, f, "")
}

// SendHandle sends a queue, a lock, a value, an end of another connection, or a
// segment. A handle that moves, like an end, is the other process's from then on,
// and closed here when SendHandle returns, error or not; all others are shared.
// The other process gets it with RecvConn, or RecvHandle. Apart from that it is
// like SendFile.
func (c *Conn) SendHandle(ctx context.Context, h shm.Handle) error {
	if _, err := c.handle.e.sideband("send a handle over"); err != nil {
		return err
	}
	f, desc, err := shm.Export(h)
	if err != nil {
		return &opError{"send a handle over", c.Name(), nil, err}
	}
	defer f.Close()
	return c.sendFile(ctx, f, desc)
}

func (c *Conn) sendFile(ctx context.Context, f *os.File, desc string) error {
	defer runtime.KeepAlive(c)
	const op = "send a file over"
	b, err := c.handle.e.sideband(op)
	if err != nil {
		return err
	}
	if err := b.send(ctx, append([]byte{packetHandle}, desc...), f); err != nil {
		if errors.Is(err, os.ErrDeadlineExceeded) && ctx.Err() != nil {
			return &opError{op, c.Name(), ErrFull, ctx.Err()}
		}
		return &opError{op, c.Name(), ErrBrokenPipe, err}
	}
	return nil
}

// send sends a packet, until ctx is done.
func (b *sideband) send(ctx context.Context, p []byte, f *os.File) error {
	select {
	case b.turn <- struct{}{}:
	case <-ctx.Done():
		return os.ErrDeadlineExceeded
	}
	defer func() { <-b.turn }()
	b.s.c.SetWriteDeadline(time.Time{})
	var late sync.WaitGroup
	late.Add(1)
	stop := context.AfterFunc(ctx, func() {
		defer late.Done()
		b.s.c.SetWriteDeadline(time.Unix(1, 0))
	})
	err := b.s.send(p, f)
	if !stop() {
		late.Wait() // the deadline is ours until the turn is the next one's
	}
	return err
}

// recvFile waits for a file of any kind.
func (c *Conn) recvFile(ctx context.Context) (r received, err error) {
	defer runtime.KeepAlive(c)
	const op = "receive a file from"
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
	if ok {
		return r, nil
	}
	select {
	case <-b.quit:
		return r, c.handle.e.closed(op)
	default:
		return r, io.EOF
	}
}

// RecvFile waits for a file that the other process has sent. It is the caller's.
// After the last one it returns io.EOF when the other end has closed or died.
// What comes next and is a handle is an error, and lost.
func (c *Conn) RecvFile(ctx context.Context) (*os.File, error) {
	r, err := c.recvFile(ctx)
	if err != nil {
		return nil, err
	}
	if r.desc != "" {
		r.f.Close()
		return nil, &opError{"receive a file from", c.Name(), nil, fmt.Errorf("%w: it is a handle", ErrProtocol)}
	}
	return r.f, nil
}

// RecvConn waits for an end of another connection that was sent with SendHandle.
// The errors are those of RecvFile.
func (c *Conn) RecvConn(ctx context.Context, o *Options) (*Conn, error) {
	r, err := c.recvFile(ctx)
	if err != nil {
		return nil, err
	}
	defer r.f.Close()
	v := o.withDefaults()
	e, err := importEnd(r.f, r.desc, maxImport, &v)
	if err != nil {
		return nil, &opError{"receive a connection from", c.Name(), nil, err}
	}
	return newConn(e), nil
}

// RecvHandle waits for what was sent with SendHandle, and calls open with the
// file and the description, for shm.Import or FromFile functions such as
// ring.QueueFromFile. The file is closed afterwards.
func (c *Conn) RecvHandle(ctx context.Context, open func(f *os.File, desc string) error) error {
	r, err := c.recvFile(ctx)
	if err != nil {
		return err
	}
	defer r.f.Close()
	return open(r.f, r.desc)
}
