//go:build !(linux && (amd64 || arm64))

package shmtest

const canStep = false

// Trace runs op. Single-stepping needs Linux on amd64 or arm64.
func Trace(op func()) { op() }

// A tracer is nothing here.
type tracer struct{}

func traced(c *Child, drive, then func(*tracer)) {
	c.t.Helper()
	c.t.Fatal("shmtest: single-stepping needs Linux on amd64 or arm64")
}

func (tr *tracer) stepTo(stop func(place) bool) bool { return false }
func (tr *tracer) runTo(at place) bool               { return false }
func (tr *tracer) kill()                             {}
func (tr *tracer) stop()                             {}
