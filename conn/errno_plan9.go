package conn

import "errors"

// errPipe is what ErrBrokenPipe also is.
var errPipe = errors.New("broken pipe")

// errInUse is what ErrAddressInUse also is.
var errInUse = errors.New("address in use")

func noSharedMemory(error) bool { return true }
