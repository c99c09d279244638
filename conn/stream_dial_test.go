//go:build linux

package conn_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"

	"github.com/sluice-ipc/sluice/conn"
	"github.com/sluice-ipc/sluice/internal/shmtest"
)

// A dialer that may falls back to an ordinary socket, but not to one where
// nobody proves to have the key, and not because nobody is there.
func TestStreamFallback(t *testing.T) {
	shmtest.NoLeaks(t)
	addr := t.TempDir() + "/plain"
	fallback := &conn.DialOptions{Fallback: true}
	_, err := conn.DialStream(bg, addr, fallback)
	is(t, "nobody there", err, os.ErrNotExist)
	l := must(net.Listen("unix", addr))
	defer l.Close()
	for _, o := range []*conn.DialOptions{nil, {}, {Fallback: true, Key: []byte("secret")}} {
		c, err := conn.DialStream(bg, addr, o)
		is(t, "no fallback", err, syscall.EPROTOTYPE)
		if c != nil {
			t.Error("a connection besides an error")
		}
	}
	c := must(conn.DialStream(bg, addr, fallback))
	defer c.Close()
	s := must(l.Accept())
	defer s.Close()
	must(c.Write([]byte("plain")))
	buf := make([]byte, 5)
	if must(io.ReadFull(s, buf)); string(buf) != "plain" {
		t.Errorf("%q", buf)
	}
	if _, ok := c.(*net.UnixConn); !ok {
		t.Errorf("a %T", c)
	}
	ctx, cancel := context.WithCancel(bg)
	cancel()
	_, err = conn.DialStream(ctx, addr, fallback)
	is(t, "cancelled", err, context.Canceled)
}

// Where there is shared memory nobody falls back.
func TestStreamNoFallback(t *testing.T) {
	shmtest.NoLeaks(t)
	l := must(conn.Listen("", nil))
	s := l.Streams()
	a := must(conn.DialStream(bg, l.Addr(), &conn.DialOptions{Fallback: true})).(*conn.Stream)
	defer a.Close()
	b := must(s.Accept()).(*conn.Stream)
	defer b.Close()
	if a.RemoteAddr() != s.Addr() || b.LocalAddr() != s.Addr() || a.LocalAddr() != b.RemoteAddr() ||
		s.Addr().Network() != "sluice" || s.Addr().String() != l.Addr() {
		t.Error(a.LocalAddr(), a.RemoteAddr(), b.LocalAddr(), b.RemoteAddr())
	}
	if cred, ok := b.Conn().Credentials(); !ok || cred.PID != os.Getpid() {
		t.Error(cred, ok)
	}
	accept := started(func() error { _, err := s.Accept(); return err })
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	err := <-accept
	is(t, "Accept", err, net.ErrClosed, conn.ErrListenerClosed)
	var op *net.OpError
	if !errors.As(err, &op) || op.Op != "accept" || op.Addr != s.Addr() {
		t.Errorf("%#v", err)
	}
	must(a.Write([]byte("open")))
	must(io.ReadFull(b, make([]byte, 4)))
}
