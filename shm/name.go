package shm

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/sluice-ipc/sluice/internal/hook"
	"github.com/sluice-ipc/sluice/internal/mem"
	"github.com/sluice-ipc/sluice/internal/sys"
)

// A name changes hands under locks of the inode that it leads to. Whoever
// holds byte 2^41 and finds that the name still leads to the inode is the only
// one who may unlink the name, and nothing can be linked over it. Whoever
// holds the whole file knows besides that nobody is in the segment, and that
// nobody can join while the lock lasts.

// Remove deletes the name. Who is in the segment stays in it and notices
// nothing; the memory is freed with its last user. It removes a segment whose
// participants are dead, or that this version cannot read, just as well, but
// never a file of a given path that is not a segment: [FormatError].
func Remove(name string) error {
	path, err := pathOf(name)
	if err == nil {
		err = until(func() error {
			_, err := unlink(path, name)
			return err
		})
	}
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		sweep(path)
	}
	return wrap("remove", name, err)
}

// unlink removes the name from whatever segment it leads to, and says which.
func unlink(path, name string) (id sys.FileID, err error) {
	f, err := openFile(path)
	if err != nil {
		return id, err
	}
	defer f.Close()
	if strings.ContainsRune(name, '/') { // else whatever it is, it is ours
		if err := sniff(f, name); err != nil {
			return id, err
		}
	}
	fd := int(f.Fd())
	hook.At("shm.name.lock")
	if err := sys.LockOFD(fd, lockName, 1); err == sys.ErrLocked {
		return id, errAgain
	} else if err != nil {
		return id, err
	}
	// Unlock by hand: another goroutine may be between fork and exec, with a
	// copy of the descriptor.
	defer sys.UnlockOFD(fd, lockName, 1)
	return unlinkLocked(path, f)
}

// unlinkLocked removes the name if it still leads to f, whose lock we hold.
func unlinkLocked(path string, f *os.File) (id sys.FileID, err error) {
	if id, err = sys.Stat(int(f.Fd())); err != nil {
		return id, err
	}
	if err := leadsTo(path, id); err != nil {
		return id, err
	}
	hook.At("shm.name.unlink")
	return id, os.Remove(path)
}

// vacate makes the name free if it leads to a segment that nobody is in, which
// destroys that segment. It returns fs.ErrNotExist if there is nothing,
// fs.ErrExist if a live participant is in it, errAgain if somebody comes,
// goes or replaces it just now.
func vacate(path, name string) error {
	f, err := openFile(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := sniff(f, name); err != nil {
		return err
	}
	fd := int(f.Fd())
	hook.At("shm.name.lock")
	if err := sys.LockOFD(fd, 0, 0); err == sys.ErrLocked {
		return occupied(f, path, name)
	} else if err != nil {
		return err
	}
	defer sys.UnlockOFD(fd, 0, 0)
	hook.At("shm.name.locked")
	id, err := unlinkLocked(path, f)
	if err != nil {
		return err
	}
	hook.At("shm.name.retire")
	return retire(f, id.Size)
}

// retire tells those who still hold a descriptor of the segment that it is not
// to be joined. The name goes first, so that it never leads to a retired one.
func retire(f *os.File, size int64) error {
	if size < controlOff+controlLen {
		return nil
	}
	w := mem.Bytes([]uint32{lifeRetired})
	_, err := f.WriteAt(w, controlOff) //sync:shm-retired release: nobody was in it
	return err
}

// sniff checks that the file is one of ours, of whatever version.
func sniff(f *os.File, name string) error {
	id, err := sys.Stat(int(f.Fd()))
	if err != nil {
		return err
	}
	if !id.Regular {
		return &FormatError{name, "file type", id.Mode.Type(), "regular file"}
	}
	var b [len(magic)]byte
	n, _ := f.ReadAt(b[:], 0)
	if string(b[:n]) != magic {
		return &FormatError{name, "magic", fmt.Sprintf("%q", b[:n]), fmt.Sprintf("%q", magic)}
	}
	return nil
}

// occupied says why the whole file could not be locked: fs.ErrExist if a live
// participant is in it, else errAgain.
func occupied(f *os.File, path, name string) error {
	fd := int(f.Fd())
	id, err := sys.Stat(fd)
	if err != nil {
		return err
	}
	live := true // what this version cannot read counts as in use
	if h, err := readHeader(f, name); err == nil {
		if live, err = anyoneIn(f, h); err != nil {
			return err
		}
	}
	// Whoever replaces the segment holds all locks, and makes the dead look
	// alive; whoever removes it holds only this one.
	if busy, err := sys.LockedOFD(fd, lockName, 1); err != nil || busy || !live {
		return errors.Join(errAgain, err)
	}
	if err := leadsTo(path, id); err != nil {
		return err
	}
	return fs.ErrExist
}

// anyoneIn reports whether an active slot is locked. It reads the file rather
// than map it: we are no participant, and need not trust its length.
func anyoneIn(f *os.File, h *header) (bool, error) {
	b := make([]byte, int(h.entries)*slotLen)
	if n, err := f.ReadAt(b, int64(h.tableOff)); n < len(b) {
		return false, err
	}
	slots := mem.Slice[slot](aligned(b), 0, int(h.entries))
	for i := range slots {
		if !isState(slots[i].word.Load(), Active) {
			continue
		}
		if locked, err := sys.LockedOFD(int(f.Fd()), lockOf(i), 1); err != nil || locked {
			return locked, err
		}
	}
	return false, nil
}

// staleBoot reports whether a segment was refused only because it is from
// before the machine was started last.
func staleBoot(err error) bool {
	var f *FormatError
	return errors.As(err, &f) && f.Field == fieldBootID
}

// tempMark stands between a path and a random part in the names of files that
// are being made where the file system knows none without a name.
const tempMark = ".new-"

// newFile makes an empty file on the file system of path. It has no name, or,
// where that cannot be, a temporary one.
func newFile(path string) (f *os.File, temp string, err error) {
	fd, err := openTmp(filepath.Dir(path), 0o600)
	if errors.Is(err, errors.ErrUnsupported) {
		sweep(path)
		temp = path + tempMark + rand.Text()
		fd, err = sys.OpenExcl(temp, 0o600)
	}
	if err != nil {
		return nil, "", err
	}
	return os.NewFile(uintptr(fd), path), temp, nil
}

// openTmp is replaced by the test of file systems that cannot do it.
var openTmp = sys.OpenTmp

// sweep deletes temporary files of processes that died while they made a
// segment of this name. One that lives holds a lock, except for a moment in
// the beginning; if it loses its file then, it starts over.
func sweep(path string) {
	dir, base := filepath.Split(path)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		if random, ok := strings.CutPrefix(e.Name(), base+tempMark); !ok || !isRandom(random) {
			continue
		}
		temp := filepath.Join(dir, e.Name())
		f, err := openFile(temp)
		if err != nil {
			continue
		}
		if sys.LockOFD(int(f.Fd()), 0, 0) == nil {
			if unfinished(f, temp) {
				os.Remove(temp)
			}
			sys.UnlockOFD(int(f.Fd()), 0, 0)
		}
		f.Close()
	}
}

// isRandom reports whether s is what rand.Text returns.
func isRandom(s string) bool {
	return len(s) == len(rand.Text()) && strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") == ""
}

// unfinished reports whether f, which temp still leads to, is what is left of a
// segment in the making: nothing yet, zeros, or a segment.
func unfinished(f *os.File, temp string) bool {
	id, err := sys.Stat(int(f.Fd()))
	if err != nil || !id.Regular || leadsTo(temp, id) != nil {
		return false
	}
	var b [len(magic)]byte
	n, _ := f.ReadAt(b[:], 0)
	return strings.Trim(string(b[:n]), "\x00") == "" || string(b[:n]) == magic
}
