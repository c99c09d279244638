//go:build !(linux || darwin || freebsd)

package shmtest

import (
	"os"
	"testing"
)

const canMap = false

// Mapped needs a Unix.
func Mapped(t testing.TB, size, n int) [][]byte {
	t.Helper()
	t.Fatal("shmtest: Mapped needs Linux, macOS or FreeBSD")
	return nil
}

// MapFile needs a Unix.
func MapFile(t testing.TB, f *os.File, size int) []byte {
	t.Helper()
	t.Fatal("shmtest: MapFile needs Linux, macOS or FreeBSD")
	return nil
}
