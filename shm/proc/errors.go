package proc

import (
	"errors"
	"fmt"
	"os"
	"strings"
)

// Errors that callers act on.
var (
	// ErrNotRegistered means that there is no function of that name.
	ErrNotRegistered = errors.New("proc: no such function is registered")

	// ErrNoMain means that this process is a child which was started on a
	// function, and has not called Main: if it started children in turn,
	// they would do the same, and so on for ever.
	ErrNoMain = errors.New("proc: Main was not called at the start of main")

	// ErrStarted means that a process cannot be started twice.
	ErrStarted = errors.New("proc: already started")

	// ErrNotStarted means that a process has not been started.
	ErrNotStarted = errors.New("proc: not started")
)

// An ArgumentError says which argument does not fit the function.
type ArgumentError struct {
	Func  string
	Index int // of the argument, from 0; -1: there are too many or too few
	Why   string
}

func (e *ArgumentError) Error() string {
	if e.Index < 0 {
		return fmt.Sprintf("proc: %s: %s", e.Func, e.Why)
	}
	return fmt.Sprintf("proc: %s: argument %d %s", e.Func, e.Index, e.Why)
}

// An ExitError says how a process ended that did not end well.
type ExitError struct {
	Func string
	Pid  int

	// Code is the exit code, -1 if a signal ended the process. It is 1 when
	// the function returned an error, and 2 when it panicked.
	Code   int
	Signal os.Signal // what ended the process, nil if none did

	// Err is the text of the error that the function returned, Panic that of
	// its panic, with the stack of its goroutine.
	Err   string
	Panic string
	Stack string
}

func (e *ExitError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "proc: %s (process %d)", e.Func, e.Pid)
	switch {
	case e.Panic != "":
		fmt.Fprintf(&b, " panicked: %s", e.Panic)
	case e.Err != "":
		fmt.Fprintf(&b, ": %s", e.Err)
	case e.Signal != nil:
		fmt.Fprintf(&b, " was ended by %v", e.Signal)
	default:
		fmt.Fprintf(&b, " exited with code %d", e.Code)
	}
	return b.String()
}
