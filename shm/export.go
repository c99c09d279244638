package shm

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/sluice-ipc/sluice/internal/sys"
)

// Export prepares h for a process that is not a child, and returns what has to
// be sent to it over a Unix socket: a file, and a description of at most
// [MaxDescription] bytes. The other process calls [Import] with both.
//
// The caller closes the file once it is sent. If h moves, it is closed here,
// error or not, unless its Handover refused; from then on whoever has the file
// has h, the message in the socket included, and h dies when the last copy of
// it is closed without having been imported.
func Export(h Handle) (f *os.File, desc string, err error) {
	e, fd, err := handOver("", h)
	if err != nil {
		return nil, "", fmt.Errorf("shm: export: %w", err)
	}
	f, desc = os.NewFile(uintptr(fd), e.segment), e.String()
	if len(desc) > MaxDescription {
		f.Close()
		return nil, "", fmt.Errorf("shm: export: description of %d bytes, at most %d", len(desc), MaxDescription)
	}
	return f, desc, nil
}

// MaxDescription bounds what Export returns and Import accepts.
const MaxDescription = 2048

// Import attaches to what another process has exported, and returns what its
// handle had to say. f stays the caller's. Neither f nor the description is
// trusted more than a file of that name would be: see [FromFile].
func Import(f *os.File, desc string, o *Options) (s *Segment, detail string, err error) {
	if len(desc) > MaxDescription {
		return nil, "", &FormatError{f.Name(), "length of the description", len(desc), fmt.Sprint("at most ", MaxDescription)}
	}
	e, err := parseEntry(desc)
	if err != nil {
		return nil, "", &FormatError{f.Name(), "description", strconv.Quote(desc), "one from Export"}
	}
	e.segment = strings.Map(printable, e.segment) // errors show it
	opt := o.withDefaults()
	c, err := f.SyscallConn()
	if err != nil {
		return nil, "", wrap("import", e.segment, err)
	}
	err2 := c.Control(func(fd uintptr) { e.fd, err = sys.Dup(int(fd)) })
	if err == nil {
		err = err2
	}
	if err != nil {
		return nil, "", wrap("import", e.segment, err)
	}
	if s, err = e.imported(&opt); err != nil {
		sys.Close(e.fd)
		return nil, "", wrap("import", e.segment, err)
	}
	return s, e.detail, nil
}

// printable returns r, or a mark in its place that does no harm in a log.
func printable(r rune) rune {
	if !strconv.IsPrint(r) {
		return '?'
	}
	return r
}

// imported is attach for a descriptor that came from a stranger: it must be of a
// regular file, and hold the lock of the participant that it is said to be.
func (e entry) imported(o *Options) (*Segment, error) {
	id, err := sys.Stat(e.fd)
	if err != nil {
		return nil, err
	}
	if !id.Regular {
		return nil, &FormatError{e.segment, "file type", id.Mode.Type(), "regular file"}
	}
	if e.id == 0 {
		return e.attach(o)
	}
	// Only the description that holds a lock can lock it again.
	if e.id.Slot() >= maxParticipants {
		return nil, &FormatError{e.segment, "slot", e.id.Slot(), fmt.Sprint("less than ", maxParticipants)}
	}
	if err := sys.LockOFD(e.fd, lockOf(e.id.Slot()), 1); err != nil {
		return nil, fmt.Errorf("participant %v: %w", e.id, ErrLost)
	}
	return e.attach(o)
}
