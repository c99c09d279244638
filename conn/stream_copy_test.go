//go:build linux

package conn_test

import (
	"bytes"
	"errors"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/sluice-ipc/sluice/conn"
	"github.com/sluice-ipc/sluice/internal/shmtest"
)

// noiseBytes are of a length that no piece of a stream divides.
var noiseBytes = func() []byte {
	b := make([]byte, 1<<18+7)
	rand.NewChaCha8([32]byte{}).Read(b)
	return b
}()

// noise is n bytes, of which no two pieces are the same that could be mistaken
// for one another.
func noise(seed byte, n int64) io.Reader {
	return io.LimitReader(&noiseReader{1000 * int(seed)}, n)
}

type noiseReader struct{ at int }

func (r *noiseReader) Read(p []byte) (n int, err error) {
	for n < len(p) {
		m := copy(p[n:], noiseBytes[r.at:])
		n, r.at = n+m, (r.at+m)%len(noiseBytes)
	}
	return n, nil
}

// bare hides what a reader or writer can do besides.
type bare struct {
	io.Reader
	io.Writer
}

func sum(r io.Reader) (uint32, int64, error) {
	h := crc32.New(crc32.MakeTable(crc32.Castagnoli))
	n, err := io.Copy(h, r)
	return h.Sum32(), n, err
}

// Whatever the bytes come from and go to, they arrive.
func TestStreamCopies(t *testing.T) {
	shmtest.NoLeaks(t)
	const n = 1 << 20
	all := must(io.ReadAll(noise(1, n)))
	want, _, _ := sum(bytes.NewReader(all))
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, all, 0600); err != nil {
		t.Fatal(err)
	}
	file := func() *os.File {
		f := must(os.Open(name))
		t.Cleanup(func() { f.Close() })
		return f
	}
	for kind, copy := range map[string]func(*conn.Stream) (int64, error){
		"reader":         func(s *conn.Stream) (int64, error) { return s.ReadFrom(noise(1, n)) },
		"file":           func(s *conn.Stream) (int64, error) { return s.ReadFrom(file()) },
		"io.Copy":        func(s *conn.Stream) (int64, error) { return io.Copy(s, file()) },
		"limited file":   func(s *conn.Stream) (int64, error) { return io.CopyN(s, file(), n) },
		"limited reader": func(s *conn.Stream) (int64, error) { return io.CopyN(s, noise(1, 2*n), n) },
		"net.Buffers": func(s *conn.Stream) (int64, error) {
			return (&net.Buffers{all[:1], nil, all[1:1000], all[1000:]}).WriteTo(s)
		},
		"net.Buffers, ReadFrom": func(s *conn.Stream) (int64, error) {
			return s.ReadFrom(&net.Buffers{all[:1], nil, all[1:1000], all[1000:]})
		},
		"stream": func(s *conn.Stream) (int64, error) {
			x, y := newStreams(t, small)
			go func() { must(x.Write(all)); x.CloseWrite() }()
			return io.Copy(s, y)
		},
	} {
		t.Run(kind, func(t *testing.T) {
			a, b := newStreams(t, &conn.Options{Size: 1 << 16})
			done := started(func() error {
				m, err := copy(a)
				if err == nil && m != n {
					t.Errorf("copied %d bytes of %d", m, n)
				}
				return errors.Join(err, a.CloseWrite())
			})
			got, m, err := sum(b)
			if got != want || m != n || err != nil {
				t.Errorf("%d bytes arrived, checksum %x, want %x: %v", m, got, want, err)
			}
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
}

// blocking is a reader and writer that blocks for good, or fails.
type blocking struct {
	began chan bool
	end   chan error // what it returns then
}

func newBlocking() *blocking { return &blocking{make(chan bool, 1), make(chan error, 1)} }

func (b *blocking) wait() (int, error) {
	b.began <- true
	err := <-b.end
	if err == io.ErrNoProgress {
		panic(err)
	}
	return 0, err
}

func (b *blocking) Read([]byte) (int, error)  { return b.wait() }
func (b *blocking) Write([]byte) (int, error) { return b.wait() }

// A copy that waits for its other side is in nobody's way: others read and write
// meanwhile, and a close is seen at once by the other process.
func TestStreamClosedWhileACopyBlocks(t *testing.T) {
	shmtest.NoLeaks(t)
	for name, end := range map[string]func(s *conn.Stream){
		"Close":     func(s *conn.Stream) { s.Close() },
		"half each": func(s *conn.Stream) { s.CloseRead(); s.CloseWrite() },
	} {
		t.Run(name, func(t *testing.T) {
			a, b := newStreams(t, small)
			r, w := newBlocking(), newBlocking()
			from := started(func() error { _, err := a.ReadFrom(r); return err })
			to := started(func() error { _, err := a.WriteTo(w); return err })
			must(b.Write([]byte("for the copy")))
			<-r.began
			<-w.began
			must(b.Write([]byte("for us")))
			must(io.ReadFull(a, make([]byte, 6)))
			must(a.Write([]byte("for you")))
			must(io.ReadFull(b, make([]byte, 7)))
			end(a)
			if n, err := b.Read(make([]byte, 1)); err != io.EOF {
				t.Errorf("Read = %d, %v", n, err)
			}
			aConnError(t, "Write", fill(b)(), false, syscall.EPIPE)
			r.end <- io.EOF
			w.end <- nil // wrote nothing
			if err := <-from; err != nil {
				t.Error(err)
			}
			is(t, "WriteTo", <-to, io.ErrShortWrite)
		})
	}
}

// What a reader or writer fails with is what the copy fails with, and a panic
// goes through; the stream can be used afterwards.
func TestStreamCopyFails(t *testing.T) {
	shmtest.NoLeaks(t)
	a, b := newStreams(t, small)
	caught := func(f func() error) func() error {
		return func() (err error) {
			defer func() {
				if p := recover(); p != nil {
					err = p.(error)
				}
			}()
			return f()
		}
	}
	for _, want := range []error{os.ErrInvalid, io.ErrNoProgress} { // which panics
		r, w := newBlocking(), newBlocking()
		r.end <- want
		w.end <- want
		from := started(caught(func() error { _, err := a.ReadFrom(r); return err }))
		to := started(caught(func() error { _, err := a.WriteTo(w); return err }))
		must(b.Write([]byte("x")))
		is(t, "ReadFrom", <-from, want)
		is(t, "WriteTo", <-to, want)
		must(a.Write([]byte("still")))
		must(io.ReadFull(b, make([]byte, 5)))
		must(b.Write([]byte("there")))
		must(io.ReadFull(a, make([]byte, 5)))
	}
	if _, err := a.ReadFrom(impossible{}); err == nil {
		t.Error("a reader that returns more than there is room for is believed")
	}
	b.Close()
	n, err := a.ReadFrom(noise(1, 1<<20))
	aConnError(t, "ReadFrom", err, false, syscall.EPIPE)
	if n != 0 {
		t.Errorf("%d bytes were sent to nobody", n)
	}
	if n, err := a.WriteTo(io.Discard); n != 0 || err != nil {
		t.Errorf("WriteTo at the end: %d, %v", n, err)
	}
}

type impossible struct{}

func (impossible) Read(p []byte) (int, error) { return len(p) + 1, nil }

// Both sides send much more than the memory holds: with readers all arrives, and
// without them the deadlines end it.
func TestStreamBothSidesSendMuch(t *testing.T) {
	shmtest.NoLeaks(t)
	a, b := newStreams(t, small)
	const n = 4 << 20
	var ends []chan error
	for seed, s := range []*conn.Stream{a, b} {
		ends = append(ends, started(func() error {
			_, err := io.Copy(s, bare{Reader: noise(byte(seed), n)})
			return err
		}), started(func() error {
			got, m, err := sum(io.LimitReader(s, n))
			want, _, _ := sum(noise(byte(1-seed), n))
			if got != want || m != n {
				t.Errorf("%d bytes, checksum %x, want %x", m, got, want)
			}
			return err
		}))
	}
	for _, end := range ends {
		if err := <-end; err != nil {
			t.Error(err)
		}
	}
	for _, s := range []*conn.Stream{a, b} {
		ends = append(ends, started(fill(s)))
	}
	inside(t, sending(a.Conn()))
	inside(t, sending(b.Conn()))
	for _, s := range []*conn.Stream{a, b} {
		s.SetWriteDeadline(future())
		s.SetWriteDeadline(past)
	}
	for _, end := range ends[4:] {
		aConnError(t, "Write", <-end, true, os.ErrDeadlineExceeded)
	}
}

// A Write that fails says how much was sent: just that arrives.
func TestStreamPartialWrite(t *testing.T) {
	a, b := newStreams(t, small)
	all := must(io.ReadAll(noise(3, 100_000)))
	var n int
	w := started(func() (err error) { n, err = a.Write(all); return err })
	inside(t, sending(a.Conn()))
	must(io.ReadFull(b, make([]byte, 10_000)))
	inside(t, sending(a.Conn()))
	a.SetWriteDeadline(past)
	aConnError(t, "Write", <-w, true, os.ErrDeadlineExceeded)
	a.Close()
	rest := must(io.ReadAll(b))
	if n < 10_000 || n == len(all) || !bytes.Equal(rest, all[10_000:n]) {
		t.Errorf("Write = %d, and %d bytes arrived", n, 10_000+len(rest))
	}
}
