package conn

import "errors"

// errPipe is what ErrBrokenPipe also is.
var errPipe = errors.New("broken pipe")
