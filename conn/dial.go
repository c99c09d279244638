package conn

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/sluice-ipc/sluice/internal/hook"
	"github.com/sluice-ipc/sluice/shm"
)

// DialOptions tunes Dial. The zero value is ready to use, and so is nil.
type DialOptions struct {
	// Key is the secret that the listener has too; see ListenOptions.
	Key []byte

	// Wait makes Dial wait for a listener until the context is done, instead
	// of failing when there is none, or one that ends or is too busy.
	Wait bool

	// Fallback lets DialStream connect to an ordinary Unix stream socket.
	Fallback bool

	// Conn tunes the connection. Its Size is that of both directions; the
	// memory is this process's.
	Conn Options
}

// Dial connects to the listener at that address. It fails at once if there is
// none, with an error that satisfies errors.Is(err, fs.ErrNotExist) or is
// syscall.ECONNREFUSED; and with [ErrAuth], [ErrNotAllowed], [ErrProtocol],
// [ErrBusy], [ErrHungUp] or [ErrRefused] if the listener does not want us.
//
// When Dial returns, the connection is there for Accept: messages can be sent,
// and the end closed, before that is called. Dial waits as long as the listener
// has more than ListenOptions.Backlog of those, or does not answer: ctx should
// end at some time. One that has ended already is an error.
//
// Nothing is sent to a listener before it has shown that it has the key, but
// without a key, whoever listens at the address gets what is sent. See
// [Conn.Credentials].
func Dial(ctx context.Context, addr string, o *DialOptions) (*Conn, error) {
	var v DialOptions
	if o != nil {
		v = *o
	}
	c, err := v.dial(ctx, addr)
	if err != nil {
		return nil, fmt.Errorf("conn: dial %q: %w", addr, err)
	}
	return c, nil
}

// retryTime is how long Dial waits before it tries again.
const retryTime = 5 * time.Millisecond

func (o *DialOptions) dial(ctx context.Context, addr string) (*Conn, error) {
	if err := checkKey(o.Key); err != nil {
		return nil, err
	}
	var last error // of the attempt before
	for {
		c, err := o.attempt(ctx, addr)
		switch {
		case err == nil:
			return c, nil
		case last != nil && ctx.Err() != nil:
			return nil, fmt.Errorf("%w: %w", ctx.Err(), last)
		case last != nil && errors.Is(err, context.DeadlineExceeded): // before the context says so
			return nil, fmt.Errorf("%w: %w", err, last)
		case !o.again(err):
			return nil, err
		}
		last = err
		select {
		case <-ctx.Done():
		case <-time.After(retryTime):
		}
	}
}

// A laterError means that the kernel's queue of those who connect is full.
type laterError struct{ error }

func (e laterError) Unwrap() error { return e.error }

// again reports whether there may be a listener with time for us later.
func (o *DialOptions) again(err error) bool {
	if errors.As(err, new(laterError)) {
		return true
	}
	return o.Wait && (nobodyThere(err) || errors.Is(err, ErrHungUp) || errors.Is(err, errTooMany))
}

// attempt connects once.
func (o *DialOptions) attempt(ctx context.Context, addr string) (*Conn, error) {
	var d net.Dialer
	sock, err := d.DialContext(ctx, "unixpacket", addr)
	if err != nil {
		if notNow(err) {
			err = laterError{err}
		}
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { sock.SetDeadline(time.Unix(1, 0)) })
	hook.At("conn.dial.connected")
	c, err := o.meet(socket{sock.(*net.UnixConn)})
	if !stop() && err == nil {
		// The socket's deadline may pass at any time now.
		return nil, errors.Join(ctx.Err(), c.Close())
	}
	if err != nil {
		sock.Close()
		if errors.Is(err, os.ErrDeadlineExceeded) && ctx.Err() != nil {
			err = ctx.Err()
		}
		return nil, err
	}
	return c, nil
}

// meet is the dialer's part of a handshake.
func (o *DialOptions) meet(s socket) (*Conn, error) {
	who, err := s.credentials()
	if err != nil {
		return nil, err
	}
	buf := make([]byte, maxPacket)
	if err := o.greet(s, buf); err != nil {
		return nil, s.why(err, buf)
	}
	c, err := o.offer(s, buf)
	if err != nil {
		return nil, s.why(err, buf)
	}
	e := c.handle.e
	b := newSideband(s, who, e, true)
	close(b.settled)
	e.side.Store(b)
	return c, nil
}

// greet exchanges the hellos, and the proofs if there is a key.
func (o *DialOptions) greet(s socket, buf []byte) error {
	ours := newHello(o.Key)
	if err := s.send(ours[:]); err != nil {
		return err
	}
	hook.At("conn.dial.hello")
	b, f, err := s.receive(buf)
	if err != nil {
		return err
	}
	if f != noFile {
		f.drop()
		return fmt.Errorf("%w: a file is not wanted", ErrProtocol)
	}
	if len(b) > 1 && b[0] == packetRefusal {
		return parseRefusal(b)
	}
	theirs, err := parseHello(b, o.Key)
	if err != nil || o.Key == nil {
		return err
	}
	if err := s.send(proof(o.Key, sideDialer, &ours, &theirs)); err != nil {
		return err
	}
	hook.At("conn.dial.proof")
	if b, _, err = s.expect(packetProof, buf, false); err != nil {
		return err
	}
	return verify(b, o.Key, sideListener, &ours, &theirs)
}

// offer makes the pipe, sends its other end, and waits for the welcome.
func (o *DialOptions) offer(s socket, buf []byte) (*Conn, error) {
	own, other, err := Pipe(&o.Conn)
	if err != nil {
		return nil, err
	}
	hook.At("conn.dial.offer")
	f, desc, err := shm.Export(other)
	if err == nil {
		hook.At("conn.dial.send")
		err = s.sendNow(append([]byte{packetOffer}, desc...), f)
		f.Close()
	}
	if err == nil {
		hook.At("conn.dial.sent")
		_, _, err = s.expect(packetWelcome, buf, false)
	}
	if err != nil {
		return nil, errors.Join(err, own.Close(), other.Close())
	}
	hook.At("conn.dial.welcome")
	return own, nil
}

// why returns what the other side said before it hung up, if it did; else err.
func (s socket) why(err error, buf []byte) error {
	if !errors.Is(err, ErrHungUp) {
		return err
	}
	b, f, err2 := s.receive(buf)
	f.drop()
	if err2 == nil && len(b) > 1 && b[0] == packetRefusal {
		return parseRefusal(b)
	}
	return err
}
