//go:build !plan9

package conn

import "syscall"

// errPipe is what ErrBrokenPipe also is.
var errPipe error = syscall.EPIPE
