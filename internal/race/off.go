//go:build !race

package race

// Enabled reports whether the race detector is on.
const Enabled = false

// Release says that what this goroutine did is published under key.
func Release(key uint64) {}

// Acquire says that this goroutine has seen what was published under key.
func Acquire(key uint64) {}
