//go:build amd64 && !race

package mem

import (
	"sync/atomic"
	"unsafe"
)

// StoreRelease stores v with release ordering: whoever sees v sees everything
// that was stored before. Unlike the Store method it is no fence: a later load
// may be performed first (see PlainRelease).
//
// On amd64 it is one plain MOV, which the processor keeps in order with the
// stores before it; kept out of line, so that the compiler keeps the order too.
//
//go:noinline
//go:nosplit
func StoreRelease(p *atomic.Uint64, v uint64) { *(*uint64)(unsafe.Pointer(p)) = v }

// StoreRelease32 is StoreRelease for a 32-bit word.
//
//go:noinline
//go:nosplit
func StoreRelease32(p *atomic.Uint32, v uint32) { *(*uint32)(unsafe.Pointer(p)) = v }
