//go:build linux

package conn_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"

	"github.com/sluice-ipc/sluice/conn"
	"github.com/sluice-ipc/sluice/internal/shmtest"
)

// raw is a socket to a listener, or to a dialer, that says what the test wants.
type raw struct {
	t testing.TB
	*net.UnixConn
}

// dialRaw connects to a listener without a word.
func dialRaw(t testing.TB, addr string) raw {
	t.Helper()
	c, err := net.DialUnix("unixpacket", nil, &net.UnixAddr{Name: addr, Net: "unixpacket"})
	for errors.Is(err, syscall.EAGAIN) { // the kernel's queue is full
		c, err = net.DialUnix("unixpacket", nil, &net.UnixAddr{Name: addr, Net: "unixpacket"})
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return raw{t, c}
}

// say sends a packet with files.
func (r raw) say(b []byte, files ...*os.File) {
	var fds []int
	for _, f := range files {
		fds = append(fds, int(f.Fd()))
	}
	var oob []byte
	if fds != nil {
		oob = syscall.UnixRights(fds...)
	}
	// The listener may have hung up already; what it said before is there.
	if _, _, err := r.WriteMsgUnix(b, oob, nil); err != nil &&
		!errors.Is(err, syscall.EPIPE) && !errors.Is(err, syscall.ECONNRESET) {
		r.t.Errorf("say %d bytes: %v", len(b), err)
	}
}

// hear waits for a packet, nil at the end.
func (r raw) hear() []byte {
	b := make([]byte, 1<<16)
	n, err := r.Read(b)
	if errors.Is(err, syscall.ECONNRESET) {
		n, err = r.Read(b) // told before what is in the queue
	}
	if err != nil && err != io.EOF && !errors.Is(err, syscall.ECONNRESET) {
		r.t.Errorf("hear: %v", err)
	}
	return b[:n]
}

// greet shakes hands up to the offer.
func (r raw) greet(key []byte) {
	r.t.Helper()
	ours := conn.NewHello(key)
	r.say(ours)
	theirs := r.hear()
	if len(theirs) != conn.HelloSize {
		r.t.Fatalf("the listener says %q, no hello", theirs)
	}
	if key != nil {
		r.say(conn.DialerProof(key, ours, theirs))
		if p := r.hear(); string(p) != string(conn.ListenerProof(key, ours, theirs)) {
			r.t.Fatalf("the listener says %q, no proof", p)
		}
	}
}

// refused reads on until the listener has refused, and returns its reason.
func (r raw) refused() error {
	r.t.Helper()
	for {
		switch b := r.hear(); {
		case len(b) == 0:
			r.t.Errorf("the listener hung up without a word")
			return nil
		case b[0] == 'R':
			return conn.CheckRefusal(b)
		}
	}
}

// failures collects what a listener is told of handshakes that failed.
type failures struct {
	mu  sync.Mutex
	all []error
	c   chan error
}

func newFailures() *failures { return &failures{c: make(chan error, 100_000)} }

func (f *failures) add(who conn.Credentials, why error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.all = append(f.all, why)
	f.c <- why
}

func (f *failures) count(of error) (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, err := range f.all {
		if errors.Is(err, of) {
			n++
		}
	}
	return n
}

// listen makes a listener that is closed when the test ends.
func listen(t testing.TB, addr string, o *conn.ListenOptions) *conn.Listener {
	t.Helper()
	l, err := conn.Listen(addr, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// goodClient dials, is accepted, and talks both ways.
func goodClient(t testing.TB, l *conn.Listener, key []byte) {
	t.Helper()
	c, err := conn.Dial(bg, l.Addr(), &conn.DialOptions{Key: key, Conn: *small})
	if err != nil {
		t.Fatalf("a good client: %v", err)
	}
	defer c.Close()
	a, err := l.Accept(bg)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	send(t, c, "up")
	send(t, a, "down")
	expect(t, a, "up")
	expect(t, c, "down")
}

// A census is what a process has.
type census struct{ fds, maps, threads, goroutines, kib int }

func takeCensus() census {
	var pages, resident int
	b, _ := os.ReadFile("/proc/self/statm")
	fmt.Sscan(string(b), &pages, &resident)
	return census{len(shmtest.FDs()), len(shmtest.Mappings()), shmtest.Threads(),
		goroutines(), resident * os.Getpagesize() / 1024}
}

func (c census) String() string {
	return fmt.Sprintf("%d descriptors, %d mappings, %d threads, %d goroutines, %d KiB resident",
		c.fds, c.maps, c.threads, c.goroutines, c.kib)
}

// rawListener is a listener that says what the test wants.
func rawListener(t testing.TB, addr string) *net.UnixListener {
	t.Helper()
	l, err := net.ListenUnix("unixpacket", &net.UnixAddr{Name: addr, Net: "unixpacket"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}
