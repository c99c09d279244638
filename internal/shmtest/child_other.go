//go:build !linux

package shmtest

import "os"

// killed reports whether the process was ended from outside, as far as this
// system tells.
func killed(ps *os.ProcessState) bool { return !ps.Success() }

// Stop needs Linux.
func (c *Child) Stop() {
	c.t.Helper()
	c.t.Fatal("shmtest: Child.Stop needs Linux")
}

// Cont needs Linux.
func (c *Child) Cont() {
	c.t.Helper()
	c.t.Fatal("shmtest: Child.Cont needs Linux")
}

// AwaitStop needs Linux.
func (c *Child) AwaitStop() {
	c.t.Helper()
	c.t.Fatal("shmtest: Child.AwaitStop needs Linux")
}
