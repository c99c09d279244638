//go:build amd64 || arm64

package cpu

// PrefetchW asks for the cache lines at a and b, to be written soon. It is a
// hint: nothing happens to memory, whatever the addresses are.
//
//go:noescape
func PrefetchW(a, b uintptr)

// Prefetch asks for the cache line at r, to be read soon, and for the one at w, to
// be written.
//
//go:noescape
func Prefetch(r, w uintptr)
