package shmtest

import (
	"testing"
	"unsafe"
)

// pageSize is an alignment that no layout exceeds.
const pageSize = 4096

// EachMemory runs body once for each shape of memory: from Go's heap, mapped,
// and mapped twice. a and b are size bytes of the same memory, at the same
// address or at two; they begin at a page and are zero. They end with the body.
func EachMemory(t *testing.T, size int, body func(t *testing.T, a, b []byte)) {
	t.Run("heap", func(t *testing.T) {
		m := heap(size)
		body(t, m, m)
	})
	if !canMap {
		return // the heap is all there is; nothing was asked for by name
	}
	t.Run("mapped", func(t *testing.T) {
		m := Mapped(t, size, 1)
		body(t, m[0], m[0])
	})
	t.Run("mapped twice", func(t *testing.T) {
		m := Mapped(t, size, 2)
		body(t, m[0], m[1])
	})
}

// heap returns memory of Go's heap that begins at a page.
func heap(size int) []byte {
	b := make([]byte, size+pageSize)
	skip := -uintptr(unsafe.Pointer(unsafe.SliceData(b))) & (pageSize - 1)
	return b[skip:][:size:size]
}
