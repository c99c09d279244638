//go:build !plan9

package shm

import "syscall"

// errNoSpace is what a NoSpaceError unwraps to.
var errNoSpace error = syscall.ENOSPC
