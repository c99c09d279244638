package shm

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// Errors that callers act on. What a call returns names the segment and wraps
// one of these, or an error of the operating system.
var (
	// ErrBusy means that other processes kept the name or the segment
	// occupied for as long as the call was willing to wait (about two
	// seconds), because they race for it or were stopped in the middle; or
	// that what was to be moved to a child is still in use.
	ErrBusy = errors.New("shm: segment is busy")

	// ErrFull means that every participant slot is taken by a live process,
	// or by a dead one whose repair only another kind of attachment can do.
	ErrFull = errors.New("shm: no free participant slot")

	// ErrRetired means that the segment has been replaced by a new one of
	// its name; nobody may join it any more.
	ErrRetired = errors.New("shm: segment has been replaced")

	// ErrLost means that this process no longer holds its own lock, as when
	// something closed all descriptors: others take it for dead and repair
	// what it had. The segment must be closed and opened anew.
	ErrLost = errors.New("shm: own lock was lost")

	// ErrNoProc means that /proc is not mounted, without which a segment
	// cannot be opened or named.
	ErrNoProc = errors.New("shm: /proc is not mounted")

	// ErrNotFound means that the parent passed nothing of that name.
	// It satisfies errors.Is(err, fs.ErrNotExist).
	ErrNotFound = fmt.Errorf("shm: no such handle was passed: %w", fs.ErrNotExist)

	// ErrClosed means that this handle has been closed.
	// It satisfies errors.Is(err, os.ErrClosed).
	ErrClosed = fmt.Errorf("shm: segment is closed: %w", os.ErrClosed)
)

// errAgain means that others changed what the name leads to, or hold locks for
// a moment: start over. It never leaves the package.
var errAgain = errors.New("shm: try again")

// A FormatError reports a file that is not a segment which this version, or
// this caller, can use.
type FormatError struct {
	Segment   string // name of the segment
	Field     string // what is wrong with it: "magic", "kind", "file length"
	Got, Want any
}

func (e *FormatError) Error() string {
	return fmt.Sprintf("shm: %s: %s is %v, want %v", e.Segment, e.Field, e.Got, e.Want)
}

// A NoSpaceError reports that there was no room for a new segment.
// It satisfies errors.Is(err, syscall.ENOSPC).
type NoSpaceError struct {
	Segment string
	Want    int64 // bytes that the segment needs, its header included
	Have    int64 // bytes that the file system has, -1: not known
}

func (e *NoSpaceError) Error() string {
	if e.Have < 0 {
		return fmt.Sprintf("shm: %s: no space for %d bytes", e.Segment, e.Want)
	}
	return fmt.Sprintf("shm: %s: no space for %d bytes, %d available",
		e.Segment, e.Want, e.Have)
}

// Unwrap returns syscall.ENOSPC.
func (e *NoSpaceError) Unwrap() error { return errNoSpace }

// A FaultError reports that memory of a segment was gone when it was touched,
// because somebody truncated the file. See [Guard].
type FaultError struct {
	Segment string
	Offset  int64 // from the start of the file
}

func (e *FaultError) Error() string {
	return fmt.Sprintf("shm: %s: memory fault at byte %d: the file was truncated",
		e.Segment, e.Offset)
}

// wrap names what was being done to which segment, once. Errors that already
// carry the name pass unchanged.
func wrap(verb, name string, err error) error {
	var f *FormatError
	var n *NoSpaceError
	var t *FaultError
	if err == nil || errors.As(err, &f) || errors.As(err, &n) || errors.As(err, &t) {
		return err
	}
	return fmt.Errorf("shm: %s %s: %w", verb, name, err)
}
