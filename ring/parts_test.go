package ring_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"testing"

	"github.com/sluice-ipc/sluice/internal/shmtest"
	"github.com/sluice-ipc/sluice/ring"
)

func TestMessagesLargerThanTheRing(t *testing.T) {
	shmtest.EachMemory(t, size, func(t *testing.T, a, b []byte) {
		w, rd := pair(t, a, b, ring.Options{}.StartAt(starts["wrap"]))
		sizes := []int{2040, 2041, 4096, 5000, 100_000, 16, 30_000, 2041}
		go func() {
			for i, n := range sizes {
				if err := w.Write(bg, payload(i, n)); err != nil {
					t.Error(err)
				}
			}
			w.Close()
		}()
		for i, n := range sizes {
			var msg []byte
			var err error
			if i%2 == 0 {
				msg, err = rd.Peek(bg)
			} else {
				msg, err = rd.ReadAppend(bg, nil, -1)
			}
			if err != nil {
				t.Fatalf("message %d: %v", i, err)
			}
			if got := number(t, msg); got != i || len(msg) != n {
				t.Fatalf("message %d of %d bytes came as %d of %d", got, len(msg), i, n)
			}
			if i%2 == 0 {
				if err := rd.Release(); err != nil {
					t.Fatal(err)
				}
			}
		}
		if _, err := rd.Peek(bg); err != io.EOF {
			t.Fatalf("Peek = %v", err)
		}
	})
}

func TestTooLargeForTheCallerStays(t *testing.T) {
	shmtest.EachMemory(t, size, func(t *testing.T, a, b []byte) {
		w, rd := pair(t, a, b, nil)
		for _, n := range []int{100, 3000} { // in one frame, in pieces
			if err := w.TryWrite(payload(n, n)); err != nil {
				t.Fatal(err)
			}
			var short *ring.ShortBufferError
			_, err := rd.ReadAppend(bg, nil, n-1)
			if !errors.As(err, &short) || short.Size != n || short.Room != n-1 {
				t.Fatalf("ReadAppend = %v", err)
			}
			if _, err := rd.Read(bg, make([]byte, n-1)); !errors.Is(err, io.ErrShortBuffer) {
				t.Fatalf("Read = %v", err)
			}
			msg, err := rd.ReadAppend(bg, []byte("x"), n)
			if err != nil || number(t, msg[1:]) != n {
				t.Fatalf("ReadAppend = %d bytes, %v", len(msg), err)
			}
		}
	})
}

// A writer that gives up half-way has sent nothing.
func TestUnfinishedMessageIsDiscarded(t *testing.T) {
	shmtest.EachMemory(t, size, func(t *testing.T, a, b []byte) {
		w, rd := pair(t, a, b, nil)
		ctx, cancel := context.WithCancel(bg)
		cancel()
		if err := w.Write(ctx, make([]byte, 9000)); !errors.Is(err, context.Canceled) {
			t.Fatalf("Write = %v", err)
		}
		if _, err := rd.Peek(ctx); !errors.Is(err, ring.ErrEmpty) {
			t.Fatalf("Peek = %v", err)
		}
		if err := w.TryWrite([]byte("whole")); err != nil {
			t.Fatal(err)
		}
		if msg, err := rd.ReadAppend(bg, nil, -1); err != nil || string(msg) != "whole" {
			t.Fatalf("read %q, %v", msg, err)
		}
	})
}

// A receiver that gives up half-way goes on where it was.
func TestUnfinishedReadGoesOn(t *testing.T) {
	shmtest.EachMemory(t, size, func(t *testing.T, a, b []byte) {
		w, rd := pair(t, a, b, nil)
		want := payload(7, 20000)
		done := make(chan error)
		go func() { done <- w.Write(bg, want) }()
		ctx, cancel := context.WithCancel(bg)
		cancel()
		for {
			msg, err := rd.ReadAppend(ctx, nil, -1)
			if err == nil {
				if !bytes.Equal(msg, want) {
					t.Fatal("the message is not the one sent")
				}
				break
			}
			if !errors.Is(err, ring.ErrEmpty) {
				t.Fatal(err)
			}
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	})
}

// A successor that finds the rest of a message reports the loss once.
func TestSuccessorReportsTheLoss(t *testing.T) {
	shmtest.EachMemory(t, size, func(t *testing.T, a, b []byte) {
		w, rd := pair(t, a, b, &ring.Options{KeepOpen: true})
		done := make(chan error)
		ctx, cancel := context.WithCancel(bg)
		cancel()
		// A reader that does not wait takes what is there, which is rarely
		// all of a message that the ring cannot hold.
		for err := error(nil); err == nil; {
			go func() { done <- w.Write(bg, payload(1, 200_000)) }()
			for ready := false; !ready; ready, _ = rd.TryPoll() {
			}
			if _, err = rd.ReadAppend(ctx, nil, -1); err == nil {
				<-done
			}
		}
		rd.Close()
		next, err := ring.Attach(b, nil)
		if err != nil {
			t.Fatal(err)
		}
		rd, err = next.Reader()
		if err != nil {
			t.Fatal(err)
		}
		_, err = rd.ReadAppend(bg, nil, -1)
		if !errors.Is(err, ring.ErrMessageLost) || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("the successor read %v, want ErrMessageLost", err)
		}
		go func() {
			if err := <-done; err != nil {
				t.Error(err)
			}
			done <- w.Write(bg, payload(2, 100))
		}()
		msg, err := rd.ReadAppend(bg, nil, -1)
		if err != nil || number(t, msg) != 2 {
			t.Fatalf("after the loss: %v", err)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		next.Close()
	})
}

// A message cut by the writer's end is reported once, before io.EOF.
func TestCutMessageIsReported(t *testing.T) {
	shmtest.EachMemory(t, size, func(t *testing.T, a, b []byte) {
		w, rd := pair(t, a, b, nil)
		ctx, cancel := context.WithCancel(bg)
		cancel()
		w.Write(ctx, make([]byte, 9000))
		w.Close()
		if _, err := rd.Peek(bg); !errors.Is(err, ring.ErrMessageLost) {
			t.Fatalf("Peek = %v", err)
		}
		if _, err := rd.Peek(bg); err != io.EOF {
			t.Fatalf("Peek = %v", err)
		}
	})
}

// A peer's claim of a length allocates nothing of that length.
func TestClaimedLengthIsNotBelieved(t *testing.T) {
	shmtest.EachMemory(t, size, func(t *testing.T, a, b []byte) {
		_, rd := pair(t, a, b, nil)
		data := a[ring.ControlSize:]
		binary.NativeEndian.PutUint64(data[8:], 1<<30)   // of the whole message
		binary.NativeEndian.PutUint64(data[16:], 5<<2|1) // FIRST
		binary.NativeEndian.PutUint64(data[8+24:], 0)
		binary.NativeEndian.PutUint64(data, ring.Header(0, 2, 24))
		if _, err := rd.TryReadAppend(nil, -1); !errors.Is(err, ring.ErrEmpty) {
			t.Fatalf("the first piece of a gigabyte: %v", err)
		}
		var n float64
		if n = testing.AllocsPerRun(100, func() { rd.TryPoll() }); n != 0 {
			t.Errorf("%v allocations", n)
		}
		// A last piece that is too short, then one that claims too much.
		binary.NativeEndian.PutUint64(data[32+8:], 1<<30)
		binary.NativeEndian.PutUint64(data[32+16:], 5<<2|2)
		binary.NativeEndian.PutUint64(data[32:], ring.Header(32, 2, 24))
		if _, err := rd.TryReadAppend(nil, -1); !errors.Is(err, ring.ErrCorrupt) {
			t.Fatalf("a message shorter than it claimed: %v", err)
		}
	})
}

// Whether a message fits without waiting does not depend on where it begins.
func TestTryWriteInPiecesFitsAnywhere(t *testing.T) {
	shmtest.EachMemory(t, size, func(t *testing.T, a, b []byte) {
		w, rd := pair(t, a, b, nil)
		for i := range 600 {
			if err := w.TryWrite(payload(i, 2041+i)); err != nil {
				t.Fatalf("message %d of %d bytes: %v", i, 2041+i, err)
			}
			msg, err := rd.ReadAppend(bg, nil, -1)
			if err != nil || number(t, msg) != i {
				t.Fatalf("message %d: %v", i, err)
			}
			w.TryWrite(payload(0, 16+i)) // so that the next begins elsewhere
			rd.ReadAppend(bg, nil, -1)
		}
	})
}

// frames writes frames as a peer would that keeps to no rules, one behind the
// other from the beginning of a new ring: total, number and flags of pieces.
func frames(data []byte, pieces ...[3]uint64) {
	at := uint64(0)
	for _, p := range pieces {
		binary.NativeEndian.PutUint64(data[at+8:], p[0])
		binary.NativeEndian.PutUint64(data[at+16:], p[1]<<2|p[2])
		binary.NativeEndian.PutUint64(data[at:], ring.Header(at, 2, 24))
		at += 32
	}
}

// Pieces of two messages are never put together.
func TestPiecesOfTwoMessagesStayApart(t *testing.T) {
	shmtest.EachMemory(t, size, func(t *testing.T, a, b []byte) {
		_, rd := pair(t, a, b, nil)
		frames(a[ring.ControlSize:], [3]uint64{16, 5, 1}, [3]uint64{16, 6, 2})
		if msg, err := rd.TryReadAppend(nil, -1); !errors.Is(err, ring.ErrMessageLost) {
			t.Fatalf("read %d bytes, %v", len(msg), err)
		}
		if _, err := rd.TryReadAppend(nil, -1); !errors.Is(err, ring.ErrEmpty) {
			t.Fatalf("the loss is reported again: %v", err)
		}
	})
}

// A message above this end's own limit is passed over, and said so once.
func TestMessageAboveOurLimitIsPassedOver(t *testing.T) {
	shmtest.EachMemory(t, size, func(t *testing.T, a, b []byte) {
		_, rd := pair(t, a, b, &ring.Options{MaxMessage: 15})
		frames(a[ring.ControlSize:], [3]uint64{16, 5, 1}, [3]uint64{16, 5, 2})
		if _, err := rd.TryReadAppend(nil, -1); !errors.Is(err, ring.ErrTooLarge) {
			t.Fatalf("TryReadAppend = %v", err)
		}
		if _, err := rd.TryReadAppend(nil, -1); !errors.Is(err, ring.ErrEmpty) {
			t.Fatalf("after it: %v", err)
		}
	})
}

// A writer that dies in the middle of a message and has a successor: the reader
// that had begun it learns of the loss before what follows.
func TestLossWithASuccessorIsReported(t *testing.T) {
	shmtest.EachMemory(t, size, func(t *testing.T, a, b []byte) {
		w, rd := pair(t, a, b, &ring.Options{KeepOpen: true})
		done, cancel := context.WithCancel(bg)
		cancel()
		w.Write(done, make([]byte, 9000)) // as much as fits
		rd.ReadAppend(done, nil, -1)
		binary.NativeEndian.PutUint64(a[ring.WriterOffset:], 3<<60|77) // died, as another
		next, err := ring.Attach(a, nil)
		if err != nil {
			t.Fatal(err)
		}
		w2, err := next.Writer()
		if err != nil {
			t.Fatal(err)
		}
		w2.Write(bg, payload(1, 16))
		// Without a host all participants have the same name.
		binary.NativeEndian.PutUint64(a[ring.WriterOffset:], 1<<60|2)
		if _, err := rd.ReadAppend(bg, nil, -1); !errors.Is(err, ring.ErrMessageLost) {
			t.Fatalf("ReadAppend = %v", err)
		}
		if msg, err := rd.ReadAppend(bg, nil, -1); err != nil || number(t, msg) != 1 {
			t.Fatalf("after the loss: %v", err)
		}
		next.Close()
	})
}
