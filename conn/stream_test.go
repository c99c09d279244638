//go:build linux

package conn_test

import (
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"testing"

	"golang.org/x/net/nettest"

	"github.com/sluice-ipc/sluice/conn"
	"github.com/sluice-ipc/sluice/internal/race"
	"github.com/sluice-ipc/sluice/internal/shmtest"
)

// newStreams makes two streams that are closed when the test ends.
func newStreams(t testing.TB, o *conn.Options) (a, b *conn.Stream) {
	t.Helper()
	x, y := newPipe(t, o)
	a, b = conn.NewStream(x), conn.NewStream(y)
	t.Cleanup(func() {
		a.Close()
		b.Close()
	})
	return a, b
}

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

func init() { roles["streamrelay"] = streamRelay }

// streamRelay joins every two streams that it accepts, until its parent has
// nothing more to say, and tells how many bytes went through.
func streamRelay([]string) int {
	l := must(conn.Listen("", &conn.ListenOptions{Backlog: 1}))
	shmtest.Say("%s", l.Addr())
	var relayed atomic.Int64
	go func() {
		for s := l.Streams(); ; {
			a, b := must(s.Accept()), must(s.Accept())
			var open atomic.Int32
			open.Store(2)
			half := func(dst, src net.Conn) {
				n, _ := io.Copy(dst, src)
				relayed.Add(n)
				dst.(*conn.Stream).CloseWrite()
				src.(*conn.Stream).CloseRead()
				if open.Add(-1) == 0 {
					a.Close()
					b.Close()
				}
			}
			go half(a, b)
			go half(b, a)
		}
	}()
	shmtest.Hear()
	shmtest.Say("%d", relayed.Load())
	return 0
}

// relayed makes a stream whose bytes go through a child: both ends that are
// returned have their other side there.
func relayed(addr string, o *conn.DialOptions) (c1, c2 net.Conn, err error) {
	if c1, err = conn.DialStream(bg, addr, o); err != nil {
		return nil, nil, err
	}
	if c2, err = conn.DialStream(bg, addr, o); err != nil {
		c1.Close()
	}
	return c1, c2, err
}

// A stream is a net.Conn between two processes. nettest wants both ends in one,
// so what it writes goes to a child and comes back from there on another stream:
// each of its ends has an end of the child's at the other side, bytes, closes,
// half-closes and a writer's waiting cross to it and back, and the child's ends
// are what io.Copy makes of them.
func TestStreamBetweenProcessesIsAConn(t *testing.T) {
	shmtest.NoLeaks(t)
	child := shmtest.Start(t, "streamrelay")
	addr := child.Line()
	t.Run("relayed", func(t *testing.T) {
		nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
			c1, c2, err = relayed(addr, &conn.DialOptions{Conn: conn.Options{Size: 1 << 14}})
			return c1, c2, func() { c1.Close(); c2.Close() }, err
		})
	})
	child.Send("that is all")
	var n int
	fmt.Sscan(child.Line(), &n)
	t.Logf("%d bytes through the child", n)
	if n < 1<<20 { // the child counts what it has copied when a stream ends, so some is missing
		t.Errorf("only %d bytes went through the child", n)
	}
	child.Exit()
}

// What does not block allocates nothing, with a deadline and without.
func TestStreamDoesNotAllocate(t *testing.T) {
	if race.Enabled {
		t.Skip("needs a build without the race detector, which allocates")
	}
	a, b := newStreams(t, small)
	a.SetDeadline(future())
	b.SetDeadline(future())
	buf := make([]byte, 500)
	if n := testing.AllocsPerRun(1000, func() {
		must(a.Write(buf[:400]))
		must(a.Write(buf[:100]))
		if n := must(b.Read(buf[:5])); n != 5 {
			t.Fatal(n)
		}
		must(io.ReadFull(b, buf[:495]))
		must(a.Write(nil))
		must(b.Read(nil))
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if n := testing.AllocsPerRun(1000, func() { b.SetReadDeadline(future()) }); n != 0 {
		t.Errorf("SetReadDeadline: %v allocations", n)
	}
}

// However little is read at a time, the other side is not kept from writing by
// what has been read.
func TestStreamGivesBackWhatWasRead(t *testing.T) {
	a, b := newPipe(t, &conn.Options{Size: 128 << 10})
	s := conn.NewStream(b)
	msg := make([]byte, 4000)
	sent := 0
	for ; a.TrySendBytes(msg) == nil; sent++ {
	}
	buf := make([]byte, 4096)
	for read := 0; read < 64<<10; {
		read += must(s.Read(buf)) // each ends within a message
	}
	for range 11 { // 44,000 bytes: of 65,536 that were read at most 20,000 are held
		if err := a.TrySendBytes(msg); err != nil {
			t.Fatalf("no room after %d messages: %v", sent, err)
		}
		sent++
	}
}
