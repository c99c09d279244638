//go:build !plan9

package conn

import (
	"errors"
	"io"
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

// hangsUp reports whether the other side of a socket has closed it.
func hangsUp(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.EPIPE) || isReset(err)
}

// isReset reports whether the other side closed it without having read
// everything.
func isReset(err error) bool { return errors.Is(err, syscall.ECONNRESET) }

// nobodyThere reports that no socket of a listener has the address.
func nobodyThere(err error) bool { return isStale(err) || errors.Is(err, syscall.ENOENT) }

// isStale reports that the address is of a socket at which nobody listens.
func isStale(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }

// notNow reports that something would have to wait.
func notNow(err error) bool { return errors.Is(err, syscall.EAGAIN) }

// errTooManyFiles is what a file that could not be received also is.
var errTooManyFiles error = syscall.EMFILE

// inUse reports that an address is taken.
func inUse(err error) bool { return errors.Is(err, syscall.EADDRINUSE) }
