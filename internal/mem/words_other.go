//go:build !amd64 || race

package mem

import (
	"encoding/binary"
	"sync/atomic"
)

// StoreWords copies src into words that others may be reading meanwhile, word by
// word and in order. Every store has release ordering, as [StoreRelease] has it:
// it is seen after all the caller's earlier stores, and before its later atomic
// ones. Behind the last byte of src the last word has zeros.
//
// Here each is an atomic store, on arm64 STLR: that keeps it behind all earlier
// accesses, a mark that says "being written" among them, which a plain store
// could pass. One barrier for all of them would do too, but Go has none.
//
// Preconditions: src is private, and dst has as many words as it takes.
func StoreWords(dst []atomic.Uint64, src []byte) {
	checkWords(len(dst), len(src))
	for len(src) >= 8 && len(dst) > 0 {
		dst[0].Store(binary.NativeEndian.Uint64(src))
		dst, src = dst[1:], src[8:]
	}
	if len(src) > 0 && len(dst) > 0 {
		dst[0].Store(lastWord(src))
	}
}
