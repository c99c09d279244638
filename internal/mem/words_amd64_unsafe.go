//go:build amd64 && !race

package mem

import (
	"encoding/binary"
	"sync/atomic"
	"unsafe"
)

// StoreWords copies src into words that others may be reading meanwhile, word by
// word and in order. Every store has release ordering, as [StoreRelease] has it:
// it is seen after all the caller's earlier stores, and before its later atomic
// ones. Behind the last byte of src the last word has zeros.
//
// On amd64 they are plain MOVs, which the processor keeps in order. They are kept
// out of line, so that the compiler neither moves them past the caller's other
// stores nor, seeing what they are for, makes fewer or larger ones of them: it
// has no such optimisation for a loop of this form.
//
// Preconditions: src is private, and dst has as many words as it takes.
//
//go:noinline
func StoreWords(dst []atomic.Uint64, src []byte) {
	checkWords(len(dst), len(src))
	for len(src) >= 32 && len(dst) >= 4 {
		storePlain(&dst[0], binary.NativeEndian.Uint64(src[0:8]))
		storePlain(&dst[1], binary.NativeEndian.Uint64(src[8:16]))
		storePlain(&dst[2], binary.NativeEndian.Uint64(src[16:24]))
		storePlain(&dst[3], binary.NativeEndian.Uint64(src[24:32]))
		dst, src = dst[4:], src[32:]
	}
	for len(src) >= 8 && len(dst) > 0 {
		storePlain(&dst[0], binary.NativeEndian.Uint64(src))
		dst, src = dst[1:], src[8:]
	}
	if len(src) > 0 && len(dst) > 0 {
		storePlain(&dst[0], lastWord(src))
	}
}

// storePlain is one MOV.
func storePlain(p *atomic.Uint64, v uint64) { *(*uint64)(unsafe.Pointer(p)) = v }
