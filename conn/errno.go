//go:build !plan9

package conn

import (
	"errors"
	"syscall"
)

// errPipe is what ErrBrokenPipe also is.
var errPipe error = syscall.EPIPE

// errInUse is what ErrAddressInUse also is.
var errInUse error = syscall.EADDRINUSE

// noSharedMemory reports whether a dialer found a socket of another type, or none
// of this type can be made here.
func noSharedMemory(err error) bool {
	return errors.Is(err, syscall.EPROTOTYPE) || errors.Is(err, syscall.EPROTONOSUPPORT) ||
		errors.Is(err, syscall.ESOCKTNOSUPPORT) || errors.Is(err, errors.ErrUnsupported)
}
