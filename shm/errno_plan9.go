package shm

import "errors"

// errNoSpace is what a NoSpaceError unwraps to.
var errNoSpace = errors.New("no space left on device")
