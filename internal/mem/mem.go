// Package mem turns byte offsets into typed memory, and is the only package
// that does.
//
// Everything here runs when a segment is attached, never per message: the
// functions check range and alignment and panic, because a wrong offset at that
// point is our own mistake. Offsets that come from another process must have
// been checked before they get here.
package mem

const (
	// CacheLine is the unit in which processors pass memory to each other.
	CacheLine = 64

	// FalseShare is the distance that keeps two independently written words
	// from disturbing each other: two lines, because adjacent-line
	// prefetchers fetch pairs and some arm64 parts have 128-byte lines.
	FalseShare = 128
)

// copyPiece bounds one call of copy. Above 1 MiB the runtime's memmove changes
// to non-temporal stores, which bypass the cache that the reader is about to
// read from.
const copyPiece = 256 << 10

// Copy copies like the built-in copy, in pieces that stay in the cache.
func Copy(dst, src []byte) int {
	n := min(len(dst), len(src))
	if n <= copyPiece {
		return copy(dst, src)
	}
	for at := 0; at < n; at += copyPiece {
		end := min(at+copyPiece, n)
		copy(dst[at:end], src[at:end])
	}
	return n
}
