package mem_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/sluice-ipc/sluice/internal/mem"
)

func TestCopyIsCopy(t *testing.T) {
	src := make([]byte, 1<<20+77)
	for i := range src {
		src[i] = byte(i * 7)
	}
	for _, n := range []int{0, 1, 256 << 10, 256<<10 + 1, len(src)} {
		dst := make([]byte, n)
		if got := mem.Copy(dst, src); got != n || !bytes.Equal(dst, src[:n]) {
			t.Errorf("Copy of %d bytes returned %d, or other bytes", n, got)
		}
	}
	if got := mem.Copy(make([]byte, 10), src[:3]); got != 3 {
		t.Errorf("Copy from 3 bytes = %d", got)
	}
}

func TestViewsStayInside(t *testing.T) {
	b := make([]byte, 64)
	for name, f := range map[string]func(){
		"before":          func() { mem.Uint64(b, -8) },
		"behind":          func() { mem.Uint64(b, 64) },
		"across the end":  func() { mem.Uint64(b, 57) },
		"not aligned":     func() { mem.Uint32(b, 2) },
		"too many":        func() { mem.Slice[uint64](b, 8, 8) },
		"fewer than none": func() { mem.Slice[uint64](b, 8, -1) },
		"overflowing":     func() { mem.Slice[uint64](b, 0, 1<<61+1) },
		"odd words":       func() { mem.WordsOf(b[:24]) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			f()
		})
	}
	mem.Uint64(b, 56).Store(0x0102030405060708)
	if got := mem.Slice[uint64](b, 48, 2)[1]; got != 0x0102030405060708 {
		t.Errorf("the same word at the same place is %#x", got)
	}
	if got := mem.Bytes([]uint32{1, 2}); len(got) != 8 {
		t.Errorf("two words are %d bytes", len(got))
	}
}

func TestWordsWrap(t *testing.T) {
	b := make([]byte, 64)
	w := mem.WordsOf(b)
	w.At(8).Store(7)
	for _, p := range []uint64{8, 8 + 64, 8 + 1<<63, 15, ^uint64(0) - 63 + 8} {
		if got := w.At(p).Load(); got != 7 {
			t.Errorf("word at %d is %d", p, got)
		}
	}
}

func TestOffset(t *testing.T) {
	b := make([]byte, 16)
	base := mem.Address(b)
	for _, tt := range []struct {
		addr   uintptr
		off    int
		before bool // the end of b
	}{{base, 0, true}, {base + 15, 15, true}, {base + 16, 16, false}, {base - 4, -4, true}} {
		if off, ok := mem.Offset(b, tt.addr); off != tt.off || ok != tt.before {
			t.Errorf("Offset = %d, %v, want %d, %v", off, ok, tt.off, tt.before)
		}
	}
}

func TestCheckPlainNamesTheField(t *testing.T) {
	type inner struct{ Names [2]string }
	type bad struct {
		N int32
		S []inner
	}
	type worse struct{ I struct{ In inner } }
	type flag struct{ Ok bool }
	type good struct {
		A int8
		B [4]struct{ X, Y float64 }
		C complex64
		D int
	}
	for _, tt := range []struct {
		err  error
		want string
	}{
		{mem.CheckPlain[bad](), "bad.S is a slice"},
		{mem.CheckPlain[worse](), "worse.I.In.Names[…] is a string"},
		{mem.CheckPlain[flag](), "flag.Ok is a bool"},
		{mem.CheckPlain[*int](), "*int is a ptr"},
		{mem.CheckPlain[uintptr](), "uintptr is a uintptr"},
		{mem.CheckPlain[map[int]int](), "is a map"},
	} {
		if tt.err == nil || !strings.Contains(tt.err.Error(), tt.want) {
			t.Errorf("%v does not say %q", tt.err, tt.want)
		}
	}
	if err := mem.CheckPlain[good](); err != nil {
		t.Error(err)
	}
}

func TestStoreRelease(t *testing.T) {
	b := make([]byte, 16)
	mem.StoreRelease(mem.Uint64(b, 0), 1<<40)
	mem.StoreRelease32(mem.Uint32(b, 8), 7)
	if mem.Uint64(b, 0).Load() != 1<<40 || mem.Uint32(b, 8).Load() != 7 {
		t.Error("a store is not seen")
	}
}
