package mem

import (
	"encoding/binary"
	"fmt"
	"sync/atomic"
)

// Shared returns the words at byte off of b that hold n bytes, the last of them
// perhaps in part. The preconditions are those of [At].
func Shared(b []byte, off, n int) []atomic.Uint64 {
	return Slice[atomic.Uint64](b, off, wordsFor(n))
}

// wordsFor returns how many words n bytes take.
func wordsFor(n int) int { return n/8 + (n%8+7)/8 }

// LoadWords copies len(dst) bytes out of words that others may be writing
// meanwhile, word by word and in order: each word is one of those that it held.
// Every load is ordered after the caller's earlier atomic loads and before its
// later ones, so that a word seen too early or too late shows in a sequence that
// is looked at before and after.
//
// That takes loads with acquire ordering: LDAR on arm64. On amd64 they are plain
// MOVs, which the processor keeps in order and the compiler, being atomic, too.
//
// Preconditions: dst is private, and src has as many words as it takes.
func LoadWords(dst []byte, src []atomic.Uint64) {
	checkWords(len(src), len(dst))
	for len(dst) >= 32 && len(src) >= 4 {
		a, b, c, d := src[0].Load(), src[1].Load(), src[2].Load(), src[3].Load()
		binary.NativeEndian.PutUint64(dst[0:8], a)
		binary.NativeEndian.PutUint64(dst[8:16], b)
		binary.NativeEndian.PutUint64(dst[16:24], c)
		binary.NativeEndian.PutUint64(dst[24:32], d)
		dst, src = dst[32:], src[4:]
	}
	for len(dst) >= 8 && len(src) > 0 {
		binary.NativeEndian.PutUint64(dst, src[0].Load())
		dst, src = dst[8:], src[1:]
	}
	if len(dst) > 0 && len(src) > 0 {
		var last [8]byte
		binary.NativeEndian.PutUint64(last[:], src[0].Load())
		copy(dst, last[:])
	}
}

// lastWord returns the word that holds the up to seven bytes of b, with zeros
// behind them.
func lastWord(b []byte) uint64 {
	var last [8]byte
	copy(last[:], b)
	return binary.NativeEndian.Uint64(last[:])
}

// Settle makes every bool in b a 0 or a 1, for who copied a value of the type
// out of shared memory by other means than [Load]. b is private and has its
// size.
func (p *Plain) Settle(b []byte) {
	if p.bools != nil {
		settle(b[:p.Size], p.bools)
	}
}

// checkWords panics unless that many words are what n bytes take.
func checkWords(words, n int) {
	if words != wordsFor(n) {
		panic(fmt.Sprintf("mem: %d words for %d bytes", words, n))
	}
}
