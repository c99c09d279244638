package conn

import (
	"context"
	"errors"
	"fmt"
	"net"
)

// Streams returns the listener as a net.Listener, whose connections are Streams.
func (l *Listener) Streams() net.Listener { return streams{l} }

type streams struct{ l *Listener }

// Accept implements net.Listener.
func (s streams) Accept() (net.Conn, error) {
	c, err := s.l.Accept(context.Background())
	if err != nil {
		if errors.Is(err, ErrListenerClosed) {
			err = ErrListenerClosed // the rest is said anyway
		}
		return nil, &net.OpError{Op: "accept", Net: Addr{}.Network(), Addr: s.Addr(), Err: err}
	}
	return newStream(c, Addr{s.l.Addr()}, Addr{c.otherName()}), nil
}

func (s streams) Close() error   { return s.l.Close() }
func (s streams) Addr() net.Addr { return Addr{s.l.Addr()} }

// DialStream is Dial for a listener that serves streams. With o.Fallback it
// connects to an ordinary Unix stream socket if that is what has the address, or
// where there is no shared memory: the result is then a *net.UnixConn, and not a
// *Stream. With a Key there is no falling back, for nobody there would prove to
// have it.
func DialStream(ctx context.Context, addr string, o *DialOptions) (net.Conn, error) {
	c, err := Dial(ctx, addr, o)
	if err == nil {
		return newStream(c, Addr{c.Name()}, Addr{addr}), nil
	}
	if o == nil || !o.Fallback || !noSharedMemory(err) {
		return nil, err
	}
	if o.Key != nil {
		return nil, fmt.Errorf("%w (and no fallback with a key)", err)
	}
	var d net.Dialer
	plain, err2 := d.DialContext(ctx, "unix", addr)
	if err2 != nil {
		return nil, errors.Join(err, err2)
	}
	return plain, nil
}
