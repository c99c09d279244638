//go:build linux || darwin || freebsd

package shmtest

import (
	"os"
	"syscall"
	"testing"
)

const canMap = true

// Mapped returns n views of the same size bytes, each at an address of its own.
// They are unmapped when the test ends.
func Mapped(t testing.TB, size, n int) [][]byte {
	t.Helper()
	f, err := os.CreateTemp("", "sluice-memory-")
	if err != nil {
		t.Fatalf("shmtest: %v", err)
	}
	defer f.Close()
	os.Remove(f.Name())
	if err := f.Truncate(int64(size)); err != nil {
		t.Fatalf("shmtest: %v", err)
	}
	views := make([][]byte, n)
	for i := range views {
		views[i] = MapFile(t, f, size)
	}
	return views
}

// MapFile maps the first size bytes of a file, shared, until the test ends.
func MapFile(t testing.TB, f *os.File, size int) []byte {
	t.Helper()
	b, err := syscall.Mmap(int(f.Fd()), 0, size,
		syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	if err != nil {
		t.Fatalf("shmtest: map: %v", err)
	}
	t.Cleanup(func() { syscall.Munmap(b) })
	return b
}
