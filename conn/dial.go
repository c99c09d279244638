package conn

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"

	"github.com/sluice-ipc/sluice/shm"
)

// DialOptions tunes Dial. The zero value is ready to use, and so is nil.
type DialOptions struct {
	// Key is the secret that the listener has too; see ListenOptions.
	Key []byte

	// Wait makes Dial wait for a listener until the context is done, instead
	// of failing when there is none.
	Wait bool

	// Fallback lets DialStream connect to an ordinary Unix stream socket.
	Fallback bool

	// Conn tunes the connection. Its Size is that of both directions; the
	// memory is this process's.
	Conn Options
}

// Dial connects to the listener at that address. It fails at once if there is
// none, with an error that satisfies errors.Is(err, fs.ErrNotExist) or is
// syscall.ECONNREFUSED, and with [ErrAuth], [ErrNotAllowed], [ErrProtocol] or
// [ErrRefused] if the listener does not want us.
//
// When Dial returns, the connection is there for Accept: messages can be sent,
// and the end closed, before that is called.
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

func (o *DialOptions) dial(ctx context.Context, addr string) (*Conn, error) {
	if err := checkKey(o.Key); err != nil {
		return nil, err
	}
	sock, err := o.connect(ctx, addr)
	if err != nil {
		return nil, err
	}
	s := socket{sock}
	stop := context.AfterFunc(ctx, func() { sock.SetDeadline(time.Unix(1, 0)) })
	c, err := o.meet(s)
	if !stop() && err == nil {
		err = c.Close() // the deadline may be set now
		err = errors.Join(ctx.Err(), err)
	}
	if err != nil {
		sock.Close()
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return nil, err
	}
	c.handle.e.side.Load().start()
	return c, nil
}

// retryTime is how long Dial waits before it tries again.
const retryTime = 5 * time.Millisecond

// connect connects the socket.
func (o *DialOptions) connect(ctx context.Context, addr string) (*net.UnixConn, error) {
	var d net.Dialer
	for {
		c, err := d.DialContext(ctx, "unixpacket", addr)
		if err == nil {
			return c.(*net.UnixConn), nil
		}
		if !o.Wait || !errors.Is(err, syscall.ECONNREFUSED) && !errors.Is(err, syscall.ENOENT) &&
			!errors.Is(err, syscall.EAGAIN) {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), err)
		case <-time.After(retryTime):
		}
	}
}

// meet is the dialer's part of a handshake.
func (o *DialOptions) meet(s socket) (*Conn, error) {
	cred, err := s.credentials()
	if err != nil {
		return nil, err
	}
	buf := make([]byte, maxPacket)
	ours := newHello(o.Key)
	if err := s.send(ours[:], nil); err != nil {
		return nil, s.why(err, buf)
	}
	b, _, err := s.receive(buf)
	if err != nil {
		return nil, err
	}
	if len(b) > 1 && b[0] == packetRefusal {
		return nil, parseRefusal(b)
	}
	theirs, err := parseHello(b, o.Key)
	if err != nil {
		return nil, err
	}
	if o.Key != nil {
		if err := s.send(proof(o.Key, sideDialer, &ours, &theirs), nil); err != nil {
			return nil, s.why(err, buf)
		}
		b, _, err := s.expect(packetProof, buf, false)
		if err != nil {
			return nil, err
		}
		if err := verify(b, o.Key, sideListener, &ours, &theirs); err != nil {
			return nil, err
		}
	}
	return o.offer(s, buf, cred)
}

// offer makes the pipe and sends its other end.
func (o *DialOptions) offer(s socket, buf []byte, cred Credentials) (*Conn, error) {
	own, other, err := Pipe(&o.Conn)
	if err != nil {
		return nil, err
	}
	f, desc, err := shm.Export(other)
	if err == nil {
		err = s.send(append([]byte{packetOffer}, desc...), f)
		f.Close()
		if err != nil {
			err = s.why(err, buf)
		} else {
			_, _, err = s.expect(packetWelcome, buf, false)
		}
	}
	if err != nil {
		return nil, errors.Join(err, own.Close(), other.Close())
	}
	e := own.handle.e
	e.side.Store(newSideband(s, cred, e))
	return own, nil
}

// why returns what the other side said before it hung up, if it did.
func (s socket) why(err error, buf []byte) error {
	if b, f, err2 := s.receive(buf); err2 == nil {
		if f != nil {
			f.Close()
		}
		if len(b) > 1 && b[0] == packetRefusal {
			return parseRefusal(b)
		}
	}
	return err
}
