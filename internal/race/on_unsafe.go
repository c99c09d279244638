//go:build race

package race

import (
	"runtime"
	"unsafe"
)

// Enabled reports whether the race detector is on.
const Enabled = true

// Keys share this table: a collision only hides a report, it never makes one.
var table [1024]uint64

func slot(key uint64) unsafe.Pointer {
	return unsafe.Pointer(&table[(key*0x9e3779b97f4a7c15)>>54])
}

// Release says that what this goroutine did is published under key.
func Release(key uint64) { runtime.RaceReleaseMerge(slot(key)) }

// Acquire says that this goroutine has seen what was published under key.
func Acquire(key uint64) { runtime.RaceAcquire(slot(key)) }
