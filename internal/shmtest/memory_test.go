package shmtest_test

import (
	"bytes"
	"slices"
	"testing"

	"github.com/sluice-ipc/sluice/internal/mem"
	"github.com/sluice-ipc/sluice/internal/shmtest"
)

func TestEachMemoryIsOneMemory(t *testing.T) {
	const size = 3*4096 + 8
	var shapes []bool // a and b lie apart
	shmtest.EachMemory(t, size, func(t *testing.T, a, b []byte) {
		if len(a) != size || len(b) != size {
			t.Fatalf("%d and %d bytes, want %d", len(a), len(b), size)
		}
		if !bytes.Equal(a, make([]byte, size)) {
			t.Error("not zero at first")
		}
		mem.Uint64(a, size-8).Store(42) // faults or panics if misaligned
		if got := mem.Uint64(b, size-8).Load(); got != 42 {
			t.Errorf("stored 42 through a, b shows %d", got)
		}
		shapes = append(shapes, &a[0] != &b[0])
	})
	want := []bool{false, false, true}
	if !slices.Equal(shapes, want) && !slices.Equal(shapes, want[:1]) {
		t.Errorf("two addresses: %v, want %v", shapes, want)
	}
}
