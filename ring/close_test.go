package ring_test

import (
	"errors"
	"io"
	"os"
	"syscall"
	"testing"

	"github.com/sluice-ipc/sluice/internal/shmtest"
	"github.com/sluice-ipc/sluice/ring"
)

func TestEndOfStream(t *testing.T) {
	shmtest.EachMemory(t, size, func(t *testing.T, a, b []byte) {
		w, rd := pair(t, a, b, nil)
		w.Write(bg, []byte("last"))
		w.Close()
		if err := w.Write(bg, nil); !errors.Is(err, ring.ErrClosed) || !errors.Is(err, os.ErrClosed) {
			t.Errorf("Write after Close = %v", err)
		}
		if err := w.Close(); err != nil {
			t.Errorf("second Close = %v", err)
		}
		if msg, err := rd.ReadAppend(bg, nil, -1); err != nil || string(msg) != "last" {
			t.Fatalf("read %q, %v", msg, err)
		}
		for range 3 {
			if _, err := rd.Peek(bg); err != io.EOF {
				t.Fatalf("Peek at the end = %v", err)
			}
			if ready, err := rd.TryPoll(); !ready || err != nil {
				t.Fatalf("TryPoll at the end = %v, %v", ready, err)
			}
		}
		if rd.Peer() != ring.PeerClosed {
			t.Errorf("Peer = %v", rd.Peer())
		}
	})
}

func TestBrokenPipe(t *testing.T) {
	shmtest.EachMemory(t, size, func(t *testing.T, a, b []byte) {
		w, rd := pair(t, a, b, nil)
		rd.Close()
		for range 3 {
			err := w.Write(bg, []byte("x"))
			if !errors.Is(err, ring.ErrBrokenPipe) || !errors.Is(err, syscall.EPIPE) {
				t.Fatalf("Write without a reader = %v", err)
			}
		}
	})
}

// blocked starts f in a goroutine and returns its result once others report
// that somebody is inside that end.
func blocked(f func() error) chan error {
	out := make(chan error, 1)
	go func() { out <- f() }()
	return out
}

func TestCloseEndsBlockedCalls(t *testing.T) {
	for name, spin := range spins {
		t.Run(name, func(t *testing.T) {
			shmtest.EachMemory(t, size, func(t *testing.T, a, b []byte) {
				for range 50 {
					w, rd := pair(t, a, b, &ring.Options{Spin: spin})
					reading := blocked(func() error { _, err := rd.Peek(bg); return err })
					queued := blocked(func() error { _, err := rd.Peek(bg); return err })
					rd.Close()
					for _, c := range []chan error{reading, queued} {
						if err := <-c; !errors.Is(err, ring.ErrClosed) {
							t.Fatalf("Peek under Close = %v", err)
						}
					}
					w.Close()
				}
				for range 50 {
					w, rd := pair(t, a, b, &ring.Options{Spin: spin, KeepOpen: true})
					for w.TryWrite(make([]byte, 1000)) == nil {
					}
					writing := blocked(func() error { return w.Write(bg, make([]byte, 1000)) })
					w.Close()
					if err := <-writing; !errors.Is(err, ring.ErrClosed) {
						t.Fatalf("Write under Close = %v", err)
					}
					rd.Close()
				}
			})
		})
	}
}

func TestPeersCloseEndsBlockedCalls(t *testing.T) {
	for name, spin := range spins {
		t.Run(name, func(t *testing.T) {
			shmtest.EachMemory(t, size, func(t *testing.T, a, b []byte) {
				for range 50 {
					w, rd := pair(t, a, b, &ring.Options{Spin: spin})
					reading := blocked(func() error { _, err := rd.Peek(bg); return err })
					w.Close()
					if err := <-reading; err != io.EOF {
						t.Fatalf("Peek under the peer's Close = %v", err)
					}
					w, rd = pair(t, a, b, &ring.Options{Spin: spin})
					for w.TryWrite(make([]byte, 1000)) == nil {
					}
					writing := blocked(func() error { return w.Write(bg, make([]byte, 1000)) })
					rd.Close()
					if err := <-writing; !errors.Is(err, ring.ErrBrokenPipe) {
						t.Fatalf("Write under the peer's Close = %v", err)
					}
				}
			})
		})
	}
}

// Closing with memory on loan must not take the memory away, and must give the
// end up when the loan ends.
func TestCloseWaitsForLoans(t *testing.T) {
	shmtest.EachMemory(t, size, func(t *testing.T, a, b []byte) {
		w, rd := pair(t, a, b, nil)
		p, err := w.Reserve(bg, 5)
		if err != nil {
			t.Fatal(err)
		}
		w.Close()
		if rd.Peer() != ring.PeerAlive {
			t.Fatal("the end was given up with a reservation open")
		}
		copy(p, "hello")
		if err := w.Commit(5); err != nil {
			t.Fatal(err)
		}
		msg, err := rd.Peek(bg)
		if err != nil || string(msg) != "hello" {
			t.Fatalf("peeked %q, %v", msg, err)
		}
		rd.Close()
		if string(msg) != "hello" || w.Peer() != ring.PeerAlive {
			t.Fatal("the loan ended with Close")
		}
		rd.Release()
		if w.Peer() != ring.PeerClosed {
			t.Fatalf("the reader is %v after its last loan", w.Peer())
		}
	})
}

func TestAnEndIsHeldOnce(t *testing.T) {
	shmtest.EachMemory(t, size, func(t *testing.T, a, b []byte) {
		w, rd := pair(t, a, b, nil)
		other, err := ring.Attach(b, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := other.Writer(); !errors.Is(err, ring.ErrBusy) {
			t.Errorf("second Writer = %v", err)
		}
		if _, err := other.Reader(); !errors.Is(err, ring.ErrBusy) {
			t.Errorf("second Reader = %v", err)
		}
		w.Write(bg, []byte("one"))
		w.Write(bg, []byte("two"))
		w.Close()
		rd.ReadAppend(bg, nil, -1)
		rd.Peek(bg) // and never released
		rd.Release()
		rd.Close()
		w2, err := other.Writer()
		if err != nil {
			t.Fatal(err)
		}
		rd2, err := other.Reader()
		if err != nil {
			t.Fatal(err)
		}
		w2.Write(bg, []byte("three"))
		if msg, err := rd2.ReadAppend(bg, nil, -1); err != nil || string(msg) != "three" {
			t.Fatalf("a new pair of ends read %q, %v", msg, err)
		}
		other.Close()
	})
}

func TestKeepOpenWaitsForTheNextPeer(t *testing.T) {
	shmtest.EachMemory(t, size, func(t *testing.T, a, b []byte) {
		w, rd := pair(t, a, b, &ring.Options{KeepOpen: true})
		w.Close()
		if _, err := rd.TryPeek(); !errors.Is(err, ring.ErrEmpty) {
			t.Fatalf("TryPeek = %v, want ErrEmpty", err)
		}
		reading := make(chan string)
		go func() {
			msg, err := rd.ReadAppend(bg, nil, -1)
			if err != nil {
				t.Error(err)
			}
			reading <- string(msg)
		}()
		next, err := ring.Attach(a, nil)
		if err != nil {
			t.Fatal(err)
		}
		w, err = next.Writer()
		if err != nil {
			t.Fatal(err)
		}
		w.Write(bg, []byte("again"))
		if got := <-reading; got != "again" {
			t.Fatalf("read %q", got)
		}
		next.Close()
	})
}

// Close ends a batch that waits, whether or not its user comes back to it.
func TestCloseEndsABatch(t *testing.T) {
	shmtest.EachMemory(t, size, func(t *testing.T, a, b []byte) {
		w, rd := pair(t, a, b, nil)
		for w.TryWrite(make([]byte, 1000)) == nil {
		}
		batch, err := w.Batch(bg)
		if err != nil {
			t.Fatal(err)
		}
		waiting := blocked(func() error { _, err := batch.Reserve(bg, 1000); return err })
		w.Close()
		if err := <-waiting; !errors.Is(err, ring.ErrClosed) {
			t.Fatalf("Reserve under Close = %v", err)
		}
		if rd.Peer() != ring.PeerClosed {
			t.Fatalf("the writer is %v", rd.Peer())
		}
	})
}
