package cpu

// Demote moves the cache lines of the n bytes at p, at least one, to the cache that
// all cores share, from where another core gets them sooner than from this one. It
// is a hint: nothing happens to memory, whatever the addresses are, nor does
// anything on a processor that lacks the instruction (CLDEMOTE).
//
//go:noescape
func Demote(p, n uintptr)
