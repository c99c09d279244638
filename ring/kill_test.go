//go:build linux

package ring_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/sluice-ipc/sluice/internal/cpu"
	"github.com/sluice-ipc/sluice/internal/shmtest"
	"github.com/sluice-ipc/sluice/ring"
)

func init() {
	roles["kill-write"] = killWrite
	roles["kill-batch"] = killBatch
	roles["kill-pieces"] = killPieces
	roles["kill-read"] = killRead
	roles["kill-more"] = killMore
	roles["kill-readpieces"] = killReadPieces
	roles["kill-writer"] = killTakeWriter
	roles["kill-reader"] = killTakeReader
}

var serial atomic.Int64

// newRing makes a ring of 4 KiB in a segment of its own.
func newRing(t testing.TB, o *ring.Options) (*ring.Ring, string) {
	t.Helper()
	name := fmt.Sprintf("/dev/shm/sluice-ringtest-%d-%d", os.Getpid(), serial.Add(1))
	v := ring.Options{}
	if o != nil {
		v = *o
	}
	v.Size = 4096
	v.Segment.MaxParticipants = 8
	r, err := ring.Create(name, &v)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r.Close()
		os.Remove(name)
	})
	return r, name
}

// must is for children, whose parent reads what they die of.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func openRing(name string) *ring.Ring { return must(ring.Open(name, nil)) }

func killWrite(args []string) int {
	w := must(openRing(args[0]).Writer())
	w.Write(bg, payload(0, 100))
	msg := payload(1, 200)
	shmtest.Trace(func() {
		b, err := w.Reserve(bg, len(msg))
		if err != nil {
			panic(err)
		}
		copy(b, msg)
		if err := w.Commit(len(msg)); err != nil {
			panic(err)
		}
	})
	shmtest.Hear()
	return 0
}

func killBatch(args []string) int {
	w := must(openRing(args[0]).Writer())
	w.Write(bg, payload(0, 100))
	msgs := [][]byte{payload(1, 200), payload(2, 300), payload(3, 16)}
	shmtest.Trace(func() {
		if err := w.WriteBatch(bg, msgs); err != nil {
			panic(err)
		}
	})
	shmtest.Hear()
	return 0
}

func killPieces(args []string) int {
	w := must(openRing(args[0]).Writer())
	w.Write(bg, payload(0, 100))
	msg := payload(1, 3000)
	shmtest.Trace(func() {
		if err := w.Write(bg, msg); err != nil {
			panic(err)
		}
	})
	shmtest.Hear()
	return 0
}

// A writer killed at any instruction between entry to reserve and return from
// commit has sent its message whole or not at all; the one before stands, the
// reader sees the end, and a successor goes on.
func TestKillEveryInstruction(t *testing.T) {
	t.Run("writer", func(t *testing.T) {
		atLeast(t, 50, shmtest.EveryPoint(t, "reserve to commit", killedWriter("kill-write", 1, 1)))
	})
	t.Run("batch", func(t *testing.T) {
		atLeast(t, 50, shmtest.EveryPoint(t, "batch", killedWriter("kill-batch", 3, 3)))
	})
	t.Run("pieces", func(t *testing.T) {
		atLeast(t, 50, shmtest.EveryPoint(t, "write in pieces", killedWriter("kill-pieces", 1, 1)))
	})
	t.Run("reader", func(t *testing.T) {
		atLeast(t, 50, shmtest.EveryPoint(t, "peek to release", killedReader("kill-read", 1, 1)))
	})
	t.Run("reader of several", func(t *testing.T) {
		atLeast(t, 50, shmtest.EveryPoint(t, "peek, more, release", killedReader("kill-more", 3, 1)))
	})
	t.Run("reader of pieces", func(t *testing.T) {
		atLeast(t, 50, shmtest.EveryPoint(t, "read in pieces", killedReader("kill-readpieces", 1, 1)))
	})
	t.Run("succeeding writer", func(t *testing.T) {
		atLeast(t, 50, shmtest.EveryPoint(t, "takeover by a writer", killedSuccessor("kill-writer")))
	})
	t.Run("succeeding reader", func(t *testing.T) {
		atLeast(t, 50, shmtest.EveryPoint(t, "takeover by a reader", killedSuccessor("kill-reader")))
	})
	t.Run("queue", killInQueue)
}

func atLeast(t *testing.T, want, got int) {
	t.Helper()
	if got < want {
		t.Errorf("%d points, want at least %d", got, want)
	}
}

// killedWriter is the body for a child that sends message 0, and then messages
// 1 to last in steps that are visible group at a time.
func killedWriter(role string, last, group int) func(testing.TB, *shmtest.Point) {
	return func(t testing.TB, p *shmtest.Point) {
		r, name := newRing(t, nil)
		rd := must(r.Reader())
		p.Kill(shmtest.Command(t, role, name))
		got := drain(t, rd)
		if n := len(got); n == 0 || n > 1+last || (n-1)%group != 0 {
			t.Fatalf("%d messages arrived", n)
		}
		for i, v := range got {
			if v != i {
				t.Fatalf("message %d came as number %d", v, i)
			}
		}
		goOn(t, r, rd)
	}
}

// drain reads what a dead writer has left, to the end.
func drain(t testing.TB, rd *ring.Reader) (numbers []int) {
	t.Helper()
	for {
		b, err := rd.ReadAppend(bg, nil, -1)
		switch {
		case err == io.EOF:
			return numbers
		case errors.Is(err, ring.ErrMessageLost):
			continue
		case err != nil:
			t.Fatal(err)
		}
		numbers = append(numbers, number(t, b))
	}
}

// goOn takes over from the dead writer and sends something.
func goOn(t testing.TB, r *ring.Ring, rd *ring.Reader) {
	t.Helper()
	w, err := r.Writer()
	if err != nil {
		t.Fatal(err)
	}
	for i := 100; i < 110; i++ { // more than once around
		if err := w.Write(bg, payload(i, 1900)); err != nil {
			t.Fatal(err)
		}
		b, err := rd.ReadAppend(bg, nil, -1)
		if err != nil || number(t, b) != i {
			t.Fatalf("after the takeover: %v", err)
		}
	}
}

func killRead(args []string) int {
	rd := must(openRing(args[0]).Reader())
	must(rd.ReadAppend(bg, nil, -1))
	shmtest.Trace(func() {
		must(rd.Peek(bg))
		if err := rd.Release(); err != nil {
			panic(err)
		}
	})
	shmtest.Hear()
	return 0
}

func killMore(args []string) int {
	rd := must(openRing(args[0]).Reader())
	must(rd.ReadAppend(bg, nil, -1))
	shmtest.Trace(func() {
		must(rd.Peek(bg))
		must(rd.More())
		must(rd.More())
		if err := rd.Release(); err != nil {
			panic(err)
		}
	})
	shmtest.Hear()
	return 0
}

func killReadPieces(args []string) int {
	rd := must(openRing(args[0]).Reader())
	must(rd.ReadAppend(bg, nil, -1))
	buf := make([]byte, 4096)
	shmtest.Trace(func() { must(rd.Read(bg, buf)) })
	shmtest.Hear()
	return 0
}

// killedReader is the body for a child that reads message 0, and then messages
// 1 to last, given back group at a time. What it had not given back is
// delivered to its successor, again.
func killedReader(role string, last, group int) func(testing.TB, *shmtest.Point) {
	return func(t testing.TB, p *shmtest.Point) {
		r, name := newRing(t, nil)
		w := must(r.Writer())
		pieces := role == "kill-readpieces"
		for i := range 6 {
			n := 100
			if i == 1 && pieces {
				n = 2500
			}
			if err := w.TryWrite(payload(i, n)); err != nil {
				t.Fatal(err)
			}
		}
		p.Kill(shmtest.Command(t, role, name))
		rd, err := r.Reader()
		if err != nil {
			t.Fatal(err)
		}
		w.Close()
		got := drain(t, rd)
		first := 6 - len(got)
		whole := first == 1 || first == 1+last
		if !whole {
			t.Fatalf("the successor got the messages from %d on", first)
		}
		for i, v := range got {
			if v != first+i {
				t.Fatalf("message %d came as number %d", v, first+i)
			}
		}
		goOn(t, r, rd)
	}
}

// bereft opens the ring and, once use has done something with it, loses the lock
// that proves its participant alive.
func bereft(name string, use func(r *ring.Ring)) {
	openRing(name).Close() // what the runtime opens, it opens now
	lose(func() { use(openRing(name)) })
}

// lose makes the participant that attach has made lose its lock, as the kernel
// drops it with a process. It takes the place of a process that dies, of which
// there would be thousands.
func lose(attach func()) { loseAll(1, attach) }

// loseAll is lose for n participants.
func loseAll(n int, attach func()) {
	before := shmtest.FDs()
	attach()
	null := must(syscall.Open("/dev/null", syscall.O_RDWR|syscall.O_CLOEXEC, 0))
	lost := 0
	for _, fd := range shmtest.FDs() {
		if d := descriptor(fd); !slices.Contains(before, fd) && d != null {
			lost++
			if err := syscall.Dup3(null, d, syscall.O_CLOEXEC); err != nil {
				panic(err)
			}
		}
	}
	if lost != n {
		panic(fmt.Sprintf("%d descriptors for %d attachments", lost, n))
	}
}

// descriptor returns the number in a line of shmtest.FDs.
func descriptor(fd string) int {
	n, _, _ := strings.Cut(fd, " ")
	return must(strconv.Atoi(n))
}

// killTakeWriter follows one that died with two messages sent and one half
// written.
func killTakeWriter(args []string) int {
	bereft(args[0], func(r *ring.Ring) {
		w := must(r.Writer())
		w.Write(bg, payload(0, 100))
		w.Write(bg, payload(1, 100))
		copy(must(w.Reserve(bg, 50)), "half")
	})
	r := openRing(args[0])
	cpu.PauseTime() // measured once, and not a part of the takeover
	shmtest.Trace(func() { must(r.Writer()) })
	shmtest.Hear()
	return 0
}

// killTakeReader follows one that died with a message on loan.
func killTakeReader(args []string) int {
	bereft(args[0], func(r *ring.Ring) { must(must(r.Reader()).Peek(bg)) })
	r := openRing(args[0])
	cpu.PauseTime() // measured once, and not a part of the takeover
	shmtest.Trace(func() { must(r.Reader()) })
	shmtest.Hear()
	return 0
}

// killedSuccessor is the body for a child that takes over from a dead one and
// dies of it. A third one then takes over from both.
func killedSuccessor(role string) func(testing.TB, *shmtest.Point) {
	return func(t testing.TB, p *shmtest.Point) {
		r, name := newRing(t, &ring.Options{KeepOpen: true})
		reading := role == "kill-reader"
		var w *ring.Writer
		var rd *ring.Reader
		if reading {
			w = must(r.Writer())
			w.Write(bg, payload(0, 100))
			w.Write(bg, payload(1, 100))
		} else {
			rd = must(r.Reader())
		}
		p.Kill(shmtest.Command(t, role, name))
		if reading {
			rd = must(r.Reader())
		} else {
			w = must(r.Writer())
		}
		w.Write(bg, payload(2, 100))
		for i := range 3 {
			b, err := rd.ReadAppend(bg, nil, -1)
			if err != nil || number(t, b) != i {
				t.Fatalf("message %d: %v", i, err)
			}
		}
		if _, err := rd.TryPeek(); !errors.Is(err, ring.ErrEmpty) {
			t.Fatalf("TryPeek = %v", err)
		}
	}
}
