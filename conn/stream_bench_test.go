//go:build linux

package conn_test

import (
	"fmt"
	"io"
	"net"
	"testing"

	"github.com/sluice-ipc/sluice/conn"
	"github.com/sluice-ipc/sluice/internal/shmtest"
)

// networks are what a stream is measured beside.
var networks = []string{"sluice", "unix", "tcp"}

// listenOn listens on a network, for streams.
func listenOn(t testing.TB, network string) net.Listener {
	t.Helper()
	var l net.Listener
	switch network {
	case "sluice":
		l = must(conn.Listen("", nil)).Streams()
	case "unix":
		l = must(net.Listen("unix", t.TempDir()+"/socket"))
	default:
		l = must(net.Listen("tcp", "127.0.0.1:0"))
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// dialOn connects to such a listener.
func dialOn(network, addr string) (net.Conn, error) {
	if network == "sluice" {
		return conn.DialStream(bg, addr, nil)
	}
	return net.Dial(network, addr)
}

func init() { roles["streampeer"] = streamPeer }

// streamPeer dials and echoes, or throws away, what it reads in pieces of the
// caller's size.
func streamPeer(args []string) int {
	var size int
	fmt.Sscan(args[3], &size)
	c := must(dialOn(args[0], args[1]))
	buf := make([]byte, size)
	for {
		n, err := io.ReadAtLeast(c, buf, 1)
		if err != nil {
			return 0
		}
		if args[2] == "echo" {
			must(c.Write(buf[:n]))
		}
	}
}

// benchStream makes a stream to a child.
func benchStream(b *testing.B, network, mode string, size int) net.Conn {
	l := listenOn(b, network)
	shmtest.Start(b, "streampeer", network, l.Addr().String(), mode, fmt.Sprint(size))
	c := must(l.Accept())
	b.Cleanup(func() { c.Close() })
	return c
}

// BenchmarkStreamRoundTrip is a request and its answer, between two processes.
func BenchmarkStreamRoundTrip(b *testing.B) {
	for _, size := range []int{1, 1024, 64 << 10} {
		for _, network := range networks {
			b.Run(fmt.Sprintf("size=%d/%s", size, network), func(b *testing.B) {
				c := benchStream(b, network, "echo", 64<<10)
				buf := make([]byte, size)
				b.ReportAllocs()
				for b.Loop() {
					must(c.Write(buf))
					must(io.ReadFull(c, buf))
				}
			})
		}
	}
}

// BenchmarkStreamThroughput is bytes in one direction, between two processes.
func BenchmarkStreamThroughput(b *testing.B) {
	for _, size := range []int{64, 4096, 64 << 10, 1 << 20} {
		for _, network := range networks {
			b.Run(fmt.Sprintf("size=%d/%s", size, network), func(b *testing.B) {
				c := benchStream(b, network, "discard", 64<<10)
				buf := make([]byte, size)
				b.SetBytes(int64(size))
				b.ReportAllocs()
				for b.Loop() {
					must(c.Write(buf))
				}
			})
		}
	}
}
