package ring_test

import (
	"encoding/binary"
	"errors"
	"io"
	"testing"

	"github.com/sluice-ipc/sluice/ring"
)

// allowed reports whether an error is one that hostile memory may cause.
func allowed(err error) bool {
	for _, e := range []error{ring.ErrCorrupt, ring.ErrEmpty, ring.ErrFull, ring.ErrMessageLost,
		ring.ErrTooLarge, ring.ErrBrokenPipe, ring.ErrBusy, io.EOF} {
		if errors.Is(err, e) {
			return true
		}
	}
	return err == nil
}

// Whatever lies in a ring, its ends return messages or errors: they do not
// panic, do not touch memory outside, and come to an end.
func FuzzRingContents(f *testing.F) {
	f.Add(uint64(0), uint64(0), uint64(0), []byte{})
	f.Add(uint64(8), uint64(1)<<60|1, uint64(3)<<60|1, []byte("\x10\x00\x00\x80\x01\x00\x00\x00"))
	whole := binary.NativeEndian.AppendUint64(nil, ring.Header(0, 0, 5))
	f.Add(uint64(0), uint64(0), uint64(0), append(whole, "hello   "...))
	f.Fuzz(func(t *testing.T, head, writer, reader uint64, data []byte) {
		mem := make([]byte, size)
		if err := ring.Init(mem, nil); err != nil {
			t.Fatal(err)
		}
		binary.NativeEndian.PutUint64(mem[ring.HeadOffset:], head)
		binary.NativeEndian.PutUint64(mem[ring.WriterOffset:], writer)
		binary.NativeEndian.PutUint64(mem[ring.ReaderOffset:], reader)
		copy(mem[ring.ControlSize:], data)
		r, err := ring.Attach(mem, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		rd, err := r.Reader()
		if !allowed(err) {
			t.Fatal(err)
		}
		w, err := r.Writer()
		if !allowed(err) {
			t.Fatal(err)
		}
		if rd != nil {
			readAll(t, rd)
		}
		if w != nil {
			if err := w.TryWrite(make([]byte, 100)); !allowed(err) {
				t.Fatal(err)
			}
		}
	})
}

func readAll(t *testing.T, rd *ring.Reader) {
	const most = 2 * size / 8 // frames that can lie in there, twice
	for range most {
		b, err := rd.TryPeek()
		if !allowed(err) {
			t.Fatal(err)
		}
		if err != nil && !errors.Is(err, ring.ErrMessageLost) && !errors.Is(err, ring.ErrTooLarge) {
			return
		}
		if err == nil {
			for _, c := range b { // every byte must be there
				_ = c
			}
			rd.Release()
		}
	}
}

// Whatever a region holds, Attach returns a ring or an error.
func FuzzRegion(f *testing.F) {
	good := make([]byte, size)
	if err := ring.Init(good, nil); err != nil {
		f.Fatal(err)
	}
	f.Add(good[:200])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, head []byte) {
		mem := make([]byte, size)
		copy(mem, head)
		r, err := ring.Attach(mem, nil)
		if err != nil {
			var format *ring.FormatError
			if !errors.As(err, &format) {
				t.Fatalf("%v is not a FormatError", err)
			}
			return
		}
		if r.Cap() > len(mem) {
			t.Fatalf("a ring of %d bytes in %d", r.Cap(), len(mem))
		}
		if rd, err := r.Reader(); err == nil {
			readAll(t, rd)
		}
	})
}

func TestDamagedControlBlockIsRefused(t *testing.T) {
	for _, tt := range []struct {
		field  string
		offset int
	}{{"magic", 0}, {"checksum", 8}, {"checksum", 12}, {"checksum", 16}, {"byte order", 24}, {"checksum", 28}} {
		mem := make([]byte, size)
		if err := ring.Init(mem, nil); err != nil {
			t.Fatal(err)
		}
		mem[tt.offset] ^= 0x40
		var format *ring.FormatError
		if _, err := ring.Attach(mem, nil); !errors.As(err, &format) || format.Field != tt.field {
			t.Errorf("byte %d flipped: %v, want a FormatError of %s", tt.offset, err, tt.field)
		}
	}
}

// Frame headers that point anywhere are errors that name the place.
func TestDamagedFramesAreRefused(t *testing.T) {
	for name, h := range map[string]uint64{
		"too long":          ring.Header(0, 0, 2041),
		"beyond the end":    ring.Header(0, 0, 1<<29-1),
		"not valid":         1,
		"another position":  ring.Header(8, 0, 16),
		"padding of a lap":  ring.Header(0, 1, 4088),
		"padding too short": ring.Header(0, 1, 8),
		"piece too short":   ring.Header(0, 2, 8),
		"unknown kind":      ring.Header(0, 3, 16),
	} {
		t.Run(name, func(t *testing.T) {
			mem := make([]byte, size)
			w, rd := pair(t, mem, mem, nil)
			binary.NativeEndian.PutUint64(mem[ring.ControlSize:], h)
			var corrupt *ring.CorruptError
			for range 2 { // the end stays unusable
				if _, err := rd.TryPeek(); !errors.As(err, &corrupt) || !errors.Is(err, ring.ErrCorrupt) {
					t.Fatalf("TryPeek = %v", err)
				}
			}
			if corrupt.Value != h {
				t.Errorf("the error names %#x, not %#x", corrupt.Value, h)
			}
			w.Close()
			if r, err := ring.Attach(mem, nil); err != nil {
				t.Fatal(err)
			} else if _, err := r.Writer(); !errors.Is(err, ring.ErrCorrupt) {
				t.Errorf("Writer over damaged frames = %v", err)
			}
		})
	}
}

func TestDamagedHeadIsRefused(t *testing.T) {
	for _, head := range []uint64{3, 8192, 1 << 63} {
		mem := make([]byte, size)
		w, _ := pair(t, mem, mem, nil)
		for w.TryWrite(make([]byte, 1000)) == nil {
		}
		binary.NativeEndian.PutUint64(mem[ring.HeadOffset:], head)
		if err := w.TryWrite(make([]byte, 1000)); !errors.Is(err, ring.ErrCorrupt) {
			t.Errorf("TryWrite with head %d = %v", head, err)
		}
	}
}
