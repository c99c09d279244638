//go:build linux

package ring_test

import (
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/sluice-ipc/sluice/internal/shmtest"
	"github.com/sluice-ipc/sluice/internal/wait"
	"github.com/sluice-ipc/sluice/ring"
	"github.com/sluice-ipc/sluice/shm"
)

// A file truncated under a ring with Guard is an error in every call, and
// neither the calls nor closing afterwards end the process.
func TestGuardAgainstTruncation(t *testing.T) {
	shmtest.RequireFaults(t)
	for name, call := range map[string]func(w *ring.Writer, rd *ring.Reader) error{
		"Write":      func(w *ring.Writer, _ *ring.Reader) error { return w.Write(bg, make([]byte, 100)) },
		"WriteBatch": func(w *ring.Writer, _ *ring.Reader) error { return w.WriteBatch(bg, [][]byte{make([]byte, 100)}) },
		"Reserve":    func(w *ring.Writer, _ *ring.Reader) error { _, err := w.Reserve(bg, 100); return err },
		"Read":       func(_ *ring.Writer, rd *ring.Reader) error { _, err := rd.Read(bg, nil); return err },
		"Peek":       func(_ *ring.Writer, rd *ring.Reader) error { _, err := rd.Peek(bg); return err },
		"Poll":       func(_ *ring.Writer, rd *ring.Reader) error { _, err := rd.Poll(bg); return err },
	} {
		t.Run(name, func(t *testing.T) {
			r, path := newRing(t, &ring.Options{Guard: true})
			w, rd := must(r.Writer()), must(r.Reader())
			if err := os.Truncate(path, r.Segment().DataOffset()); err != nil {
				t.Fatal(err)
			}
			var fault *shm.FaultError
			for range 2 { // the end stays unusable
				if err := call(w, rd); !errors.As(err, &fault) {
					t.Fatalf("%v, want a FaultError", err)
				}
			}
			if fault.Offset < r.Segment().DataOffset() {
				t.Errorf("fault at byte %d, before the data", fault.Offset)
			}
			r.Close()
		})
	}
}

// Closing an end under somebody who sleeps on memory that is gone ends both.
func TestCloseOfATruncatedRing(t *testing.T) {
	shmtest.RequireFaultsInUse(t)
	r, path := newRing(t, &ring.Options{Guard: true, Spin: ring.SpinNever})
	rd := must(r.Reader())
	reading := blocked(func() error { _, err := rd.Peek(bg); return err })
	shmtest.Eventually(t, func() bool { return ring.ReaderAsleep(r) }, "the reader sleeps")
	must0(os.Truncate(path, r.Segment().DataOffset()))
	must0(rd.Close())
	var fault *shm.FaultError
	if err := <-reading; !errors.As(err, &fault) && !errors.Is(err, ring.ErrClosed) {
		t.Errorf("Peek = %v", err)
	}
}

// A peer that dies on its way to waking a reader leaves nobody to be seen asleep.
// Without a segment nobody heals that; Close does not need it. There are more
// readers than may sleep in a call of their own.
func TestCloseFindsWhoSleepsUnseen(t *testing.T) {
	var reading []chan error
	var rings []*ring.Ring
	var readers []*ring.Reader
	for range 20 {
		m, o := shmtest.Mapped(t, size, 1)[0], &ring.Options{Spin: ring.SpinNever, KeepOpen: true}
		must0(ring.Init(m, o))
		r := must(ring.Attach(m, o))
		rd := must(r.Reader())
		rings, readers = append(rings, r), append(readers, rd)
		reading = append(reading, blocked(func() error { _, err := rd.Peek(bg); return err }))
		shmtest.Eventually(t, func() bool { return ring.ReaderAsleep(r) }, "the reader sleeps")
	}
	for i, rd := range readers {
		ring.HideReader(rings[i])
		rd.Close()
		if err := <-reading[i]; !errors.Is(err, ring.ErrClosed) {
			t.Errorf("Peek = %v", err)
		}
	}
}

// A segment whose own lock is lost, so that others take us for dead, ends the
// waits in it and the writing.
func TestLostLockEndsWaits(t *testing.T) {
	r := must(ring.Anonymous("lost-lock", &ring.Options{Size: 4096, Spin: ring.SpinNever, KeepOpen: true}))
	defer r.Close()
	w, rd := must(r.Writer()), must(r.Reader())
	before := wait.Sleeps()
	reading := blocked(func() error { _, err := rd.Peek(bg); return err })
	shmtest.Eventually(t, func() bool { return wait.Sleeps() > before })
	loseLock(t, "lost-lock")
	if err := <-reading; !errors.Is(err, shm.ErrLost) {
		t.Fatalf("Peek = %v", err)
	}
	for range 100 { // more than the ring holds
		if err := w.TryWrite(make([]byte, 1000)); err != nil {
			if !errors.Is(err, shm.ErrLost) {
				t.Fatalf("TryWrite = %v", err)
			}
			return
		}
		rd.TryRead(make([]byte, 1000))
	}
	t.Fatal("writing goes on")
}

// What is called after Close, or while another goroutine closes, finds no
// memory unmapped under it.
func TestNothingTouchesUnmappedMemory(t *testing.T) {
	for range 100 {
		r, _ := newRing(t, nil)
		w, rd := must(r.Writer()), must(r.Reader())
		reading := blocked(func() error { _, err := rd.Peek(bg); return err })
		closing := blocked(func() error { return w.Close() })
		rd.Close()
		r.Close()
		<-reading
		<-closing
		if w.Peer() != ring.PeerNone || rd.Peer() != ring.PeerNone {
			t.Fatal("a peer is seen through a closed segment")
		}
	}
}

func TestOneParticipantHoldsAnEndOnce(t *testing.T) {
	r, _ := newRing(t, nil)
	must(r.Writer())
	other, err := ring.Over(r.Segment(), r.Segment().Data(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Writer(); !errors.Is(err, ring.ErrBusy) {
		t.Fatalf("a second writer of the same participant: %v", err)
	}
}

// loseLock takes the descriptor with the lock away from the one attachment of this
// process to an anonymous segment of that label.
func loseLock(t *testing.T, label string) {
	t.Helper()
	null := must(os.Open(os.DevNull))
	defer null.Close()
	lost := 0
	for _, fd := range shmtest.FDs() {
		if strings.Contains(fd, label) {
			lost++
			if err := syscall.Dup3(int(null.Fd()), descriptor(fd), syscall.O_CLOEXEC); err != nil {
				t.Fatal(err)
			}
		}
	}
	if lost != 1 {
		t.Fatalf("%d descriptors lead to %s: %v", lost, label, shmtest.FDs())
	}
}
