package mem

import (
	"fmt"
	"unsafe"
)

// Load copies the value that lies in b into *v. Whatever a peer stores in b,
// before or meanwhile, each bool in *v is 0 or 1: they are put right in the
// copy, as bytes, before anybody reads them as bools.
//
// Preconditions: p is that of T, b has its size, and *v is private.
func Load[T any](p *Plain, b []byte, v *T) {
	p.check(len(b), unsafe.Sizeof(*v))
	if p.direct && Aligned(b, unsafe.Alignof(*v)) {
		*v = *(*T)(unsafe.Pointer(unsafe.SliceData(b)))
		return
	}
	own := unsafe.Slice((*byte)(unsafe.Pointer(v)), unsafe.Sizeof(*v))
	Copy(own, b)
	settle(own, p.bools)
}

// Store copies *v into b. The preconditions are those of [Load].
func Store[T any](p *Plain, b []byte, v *T) {
	p.check(len(b), unsafe.Sizeof(*v))
	if p.direct && Aligned(b, unsafe.Alignof(*v)) {
		*(*T)(unsafe.Pointer(unsafe.SliceData(b))) = *v
		return
	}
	Copy(b, unsafe.Slice((*byte)(unsafe.Pointer(v)), unsafe.Sizeof(*v)))
}

// check panics unless n bytes hold what p describes, which has size bytes.
func (p *Plain) check(n int, size uintptr) {
	if n != p.Size || uintptr(n) != size {
		p.refuse(n, size)
	}
}

// refuse is kept out of check so that check can be inlined.
//
//go:noinline
func (p *Plain) refuse(n int, size uintptr) {
	panic(fmt.Sprintf("mem: %d bytes for a %s of %d, as one of %d", n, p.Name, p.Size, size))
}
