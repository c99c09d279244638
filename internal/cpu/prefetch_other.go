//go:build !amd64 && !arm64

package cpu

// PrefetchW does nothing here.
func PrefetchW(a, b uintptr) {}

// Prefetch does nothing here.
func Prefetch(r, w uintptr) {}
