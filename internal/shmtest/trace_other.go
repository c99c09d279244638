//go:build !(linux && (amd64 || arm64))

package shmtest

const canStep = false

// Trace runs op. Single-stepping needs Linux on amd64 or arm64.
func Trace(op func()) { op() }

func traced(c *Child, stop func(pc uintptr) bool, then func()) {
	c.t.Helper()
	c.t.Fatal("shmtest: single-stepping needs Linux on amd64 or arm64")
}

func detachStopped(c *Child) {}
