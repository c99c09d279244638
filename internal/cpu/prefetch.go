//go:build amd64 || arm64

package cpu

// PrefetchW asks for the cache lines at a and b, to be written soon. It is a
// hint: nothing happens to memory, whatever the addresses are.
//
//go:noescape
func PrefetchW(a, b uintptr)
