//go:build !plan9

package conn

import "syscall"

// errPipe is what ErrBrokenPipe also is.
var errPipe error = syscall.EPIPE

// errInUse is what ErrAddressInUse also is.
var errInUse error = syscall.EADDRINUSE
