//go:build !amd64

package cpu

// Demote does nothing here: there is no such instruction.
func Demote(p, n uintptr) {}
