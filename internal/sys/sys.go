package sys

import (
	"errors"
	"fmt"
	"io/fs"
)

// Errors that callers act on. Both are returned bare.
var (
	// ErrTimeout means that the deadline of a futex wait has passed.
	ErrTimeout = errors.New("sys: deadline passed")

	// ErrLocked means that another open file description holds the lock.
	ErrLocked = errors.New("sys: locked elsewhere")
)

// A FileID says which file something is, and what kind of file.
type FileID struct {
	Dev, Ino uint64 // together: the identity
	Size     int64  // bytes
	Mode     fs.FileMode
	UID, GID uint32
	Regular  bool
	Nlink    uint64 // 0: no name leads to it any more
}

// Same reports whether both are the same inode.
func (a FileID) Same(b FileID) bool {
	return a.Dev == b.Dev && a.Ino == b.Ino
}

// unsupported returns an error that satisfies errors.ErrUnsupported; cause,
// which may be nil, is the errno that said so.
func unsupported(what string, cause error) error {
	switch {
	case cause == nil:
		return fmt.Errorf("sys: %s: %w", what, errors.ErrUnsupported)
	case errors.Is(cause, errors.ErrUnsupported):
		return fmt.Errorf("sys: %s: %w", what, cause)
	}
	return fmt.Errorf("sys: %s: %w (%w)", what, cause, errors.ErrUnsupported)
}
