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

	// ErrNoMain means that a program does not call Main first. Wait returns
	// it, in an ExitError, for a child that ended before it came to Main;
	// and Start in such a child: if it started children in turn, they would
	// do the same, and so on for ever.
	ErrNoMain = errors.New("proc: Main was not called at the start of main")

	// ErrStarted means that a process cannot be started twice.
	ErrStarted = errors.New("proc: already started")

	// ErrNotStarted means that a process has not been started.
	ErrNotStarted = errors.New("proc: not started")
)

// An ArgumentError says which argument does not fit the function.
type ArgumentError struct {
	Func  string
	Index int    // of the argument, from 0; -1: there are too many or too few
	Why   string // the types that it has and should have
}

func (e *ArgumentError) Error() string {
	if e.Index < 0 {
		return fmt.Sprintf("proc: %s: %s", e.Func, e.Why)
	}
	return fmt.Sprintf("proc: %s: argument %d %s", e.Func, e.Index, e.Why)
}

// An ExitError says how a process ended that did not end well. Of errors, only
// the text comes from there.
type ExitError struct {
	Func string
	Pid  int

	// Code is the exit code, -1 if a signal ended the process. It is 1 when
	// the function returned an error, 2 when it, or another goroutine,
	// panicked or the Go runtime found a fatal error, and otherwise what was
	// given to os.Exit: by log.Fatal, too, which gives 1, and no Err.
	Code   int
	Signal os.Signal // what ended the process, nil if none did

	// Err is the text of the error that the function returned, Panic that of
	// the panic or fatal error, with the stack of its goroutine. They are cut
	// at some 256 KiB.
	Err   string
	Panic string
	Stack string

	noMain bool // it ended by itself and had not come to Main
}

// Unwrap returns ErrNoMain if the process ended before it called Main.
func (e *ExitError) Unwrap() error {
	if e.noMain {
		return ErrNoMain
	}
	return nil
}

func (e *ExitError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "proc: %s (process %d)", e.Func, e.Pid)
	switch {
	case e.Panic != "":
		fmt.Fprintf(&b, " panicked: %s", e.Panic)
	case e.Stack != "": // of panic("")
		b.WriteString(" panicked")
	case e.Err != "":
		fmt.Fprintf(&b, ": %s", e.Err)
	case e.Signal != nil:
		fmt.Fprintf(&b, " was ended by %v", e.Signal)
	case e.noMain:
		fmt.Fprintf(&b, " exited with code %d before it called Main", e.Code)
	default:
		fmt.Fprintf(&b, " exited with code %d", e.Code)
	}
	return b.String()
}
