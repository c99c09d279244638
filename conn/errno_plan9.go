package conn

import "errors"

// errPipe is what ErrBrokenPipe also is.
var errPipe = errors.New("broken pipe")

// errInUse is what ErrAddressInUse also is.
var errInUse = errors.New("address in use")

func noSharedMemory(error) bool { return true }

func hangsUp(error) bool     { return true }
func isReset(error) bool     { return false }
func nobodyThere(error) bool { return false }
func isStale(error) bool     { return false }
func inUse(error) bool       { return false }
func notNow(error) bool      { return false }

// errTooManyFiles is what a file that could not be received also is.
var errTooManyFiles = errors.New("too many open files")
