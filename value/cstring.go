package value

import (
	"bytes"
	"context"
)

// The functions of this file see an array of bytes as C does: a string that ends
// before the first NUL, or with the array. They take its lock, and their errors
// are those of [Array.Snapshot].

// CString returns the bytes before the first NUL, or all of them if there is none.
func CString(ctx context.Context, a *Array[byte]) (string, error) {
	b, err := Bytes(ctx, a)
	if end := bytes.IndexByte(b, 0); end >= 0 {
		b = b[:end]
	}
	return string(b), err
}

// SetCString stores s, and a NUL behind it if there is room; the bytes after that
// stay as they are. A NUL in s is stored like any other byte. An s that is longer
// than the array is a [RangeError], and changes nothing.
func SetCString(ctx context.Context, a *Array[byte], s string) error {
	b := []byte(s)
	if len(b) < a.Len() {
		b = append(b, 0)
	}
	return a.CopyIn(ctx, 0, b)
}

// Bytes returns all bytes, whatever they are. To change some of them, see
// [Array.CopyIn].
func Bytes(ctx context.Context, a *Array[byte]) ([]byte, error) {
	return a.Snapshot(ctx, 0, a.Len())
}
