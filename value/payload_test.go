package value_test

import (
	"bytes"
	"encoding/binary"
	"os"
	"testing"

	"github.com/sluice-ipc/sluice/internal/mem"
	"github.com/sluice-ipc/sluice/internal/race"
)

// fewer returns how often to do what is done n times where tests may take long: a
// tenth where they are to be short, and a twentieth where all code is slow.
func fewer(n int) int {
	if testing.Short() {
		n /= 10
	}
	if race.Enabled || os.Getenv("SLUICE_EMULATED") == "1" {
		n /= 20
	}
	return max(n, 5)
}

// A payload is a value of some size that says which one it is in every part of
// it: see fill.
type payload interface {
	[1]byte | [13]byte | [64]byte | [256]byte | [4 << 10]byte | [64 << 10]byte
}

// fill returns the n-th value.
func fill[T payload](n uint64) (v T) {
	b := mem.BytesOf(&v)
	var w [8]byte
	for i := 0; i < len(b); i += 8 {
		binary.LittleEndian.PutUint64(w[:], n+uint64(i)*0x9e3779b97f4a7c15)
		copy(b[i:], w[:])
	}
	return v
}

// which returns which value v is if it is one at all, for sizes of 8 and more.
func which[T payload](v T) (n uint64) {
	var w [8]byte
	copy(w[:], mem.BytesOf(&v))
	return binary.LittleEndian.Uint64(w[:])
}

// whole reports whether v is the n-th value.
func whole[T payload](v T, n uint64) bool {
	want := fill[T](n)
	return bytes.Equal(mem.BytesOf(&v), mem.BytesOf(&want))
}
