//go:build linux

package conn_test

import (
	"net"
	"testing"

	"golang.org/x/net/nettest"

	"github.com/sluice-ipc/sluice/conn"
	"github.com/sluice-ipc/sluice/internal/shmtest"
)

// A stream is a net.Conn in every respect that nettest knows, over a pipe and
// over a listener, in one process.
func TestStreamIsAConn(t *testing.T) {
	shmtest.NoLeaks(t)
	for name, pipe := range map[string]nettest.MakePipe{
		"pipe": func() (c1, c2 net.Conn, stop func(), err error) {
			a, b, err := conn.Pipe(&conn.Options{Size: 1 << 16})
			if err != nil {
				return nil, nil, nil, err
			}
			c1, c2 = conn.NewStream(a), conn.NewStream(b)
			return c1, c2, func() { c1.Close(); c2.Close() }, nil
		},
		"listener": func() (c1, c2 net.Conn, stop func(), err error) {
			l, err := conn.Listen("", nil)
			if err != nil {
				return nil, nil, nil, err
			}
			defer l.Close()
			if c1, err = conn.DialStream(bg, l.Addr(), nil); err != nil {
				return nil, nil, nil, err
			}
			if c2, err = l.Streams().Accept(); err != nil {
				return nil, nil, nil, err
			}
			return c1, c2, func() { c1.Close(); c2.Close() }, nil
		},
	} {
		t.Run(name, func(t *testing.T) { nettest.TestConn(t, pipe) })
	}
}
