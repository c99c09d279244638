package mem

import (
	"fmt"
	"sync/atomic"
	"unsafe"
)

// At returns the T at byte off of b.
//
// Preconditions:
//   - off+sizeof(T) lies within b, and the address is aligned for T;
//   - T has no pointers (see CheckPlain).
func At[T any](b []byte, off int) *T {
	var t T
	check(b, off, unsafe.Sizeof(t), unsafe.Alignof(t))
	return (*T)(unsafe.Pointer(&b[off]))
}

// Slice returns n elements of T that begin at byte off of b.
// The preconditions are those of At.
func Slice[T any](b []byte, off, n int) []T {
	if n == 0 {
		return nil
	}
	var t T
	size := unsafe.Sizeof(t)
	if n < 0 || size != 0 && uintptr(n) > uintptr(len(b))/size {
		panic(fmt.Sprintf("mem: %d elements of %d bytes in %d bytes", n, size, len(b)))
	}
	check(b, off, size*uintptr(n), unsafe.Alignof(t))
	return unsafe.Slice((*T)(unsafe.Pointer(&b[off])), n)
}

// Bytes returns the memory of s, whose element type must be plain.
func Bytes[T any](s []T) []byte {
	if len(s) == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(s))), len(s)*int(unsafe.Sizeof(s[0])))
}

// Uint64 returns the 64-bit word at byte off of b.
func Uint64(b []byte, off int) *atomic.Uint64 { return At[atomic.Uint64](b, off) }

// Uint32 returns the 32-bit word at byte off of b.
func Uint32(b []byte, off int) *atomic.Uint32 { return At[atomic.Uint32](b, off) }

// Raw returns the plain word behind an atomic one, for futex calls.
func Raw(p *atomic.Uint32) *uint32 { return (*uint32)(unsafe.Pointer(p)) }

// Aligned reports whether b begins at a multiple of align.
func Aligned(b []byte, align uintptr) bool {
	return Address(b)%align == 0
}

// Address returns where b begins.
func Address(b []byte) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(b))) }

// Offset returns where addr lies from the start of b, which may be before it,
// and whether it lies before b's end.
func Offset(b []byte, addr uintptr) (int, bool) {
	off := int(addr - Address(b))
	return off, off < len(b)
}

// Words is a view of memory as 64-bit words that other processes write.
// It exists because a ring has a header word at any multiple of eight.
type Words struct {
	base unsafe.Pointer
	mask uint64
}

// WordsOf returns the words of b, whose length is a power of two of at least
// eight and whose start is aligned to eight.
func WordsOf(b []byte) Words {
	if n := len(b); n < 8 || n&(n-1) != 0 {
		panic(fmt.Sprintf("mem: words over %d bytes", len(b)))
	}
	check(b, 0, uintptr(len(b)), 8)
	return Words{unsafe.Pointer(&b[0]), uint64(len(b)-1) &^ 7}
}

// At returns the word at byte position p, taken modulo the memory's size.
// It cannot leave the memory, whatever p is.
func (w Words) At(p uint64) *atomic.Uint64 {
	return (*atomic.Uint64)(unsafe.Add(w.base, p&w.mask))
}

func check(b []byte, off int, size, align uintptr) {
	if off < 0 || off > len(b) || size > uintptr(len(b)-off) {
		panic(fmt.Sprintf("mem: offset %d and %d bytes outside %d bytes", off, size, len(b)))
	}
	if size != 0 && uintptr(unsafe.Pointer(&b[off]))%align != 0 {
		panic(fmt.Sprintf("mem: offset %d is not aligned to %d", off, align))
	}
}

// BytesOf returns the memory of *v, whose type must be plain.
func BytesOf[T any](v *T) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(v)), unsafe.Sizeof(*v))
}
