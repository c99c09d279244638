package shm

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/sluice-ipc/sluice/internal/sys"
)

// Kind says what the data area of a segment holds.
type Kind uint32

const (
	KindRaw   Kind = 1 // whatever the user puts there
	KindRing  Kind = 2 // one SPSC byte ring
	KindPipe  Kind = 3 // the two ends of a connection
	KindQueue Kind = 4 // MPMC queue
	KindValue Kind = 5 // values, records and arrays
	KindLock  Kind = 6 // a lock
)

var kindNames = [...]string{
	KindRaw: "raw", KindRing: "ring", KindPipe: "pipe", KindQueue: "queue",
	KindValue: "value",
	KindLock:  "lock",
}

// String returns the kind's name, or its number when it is of another version.
func (k Kind) String() string {
	if k > 0 && int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("kind(%d)", uint32(k))
}

// Limits and defaults of Options.
const (
	maxSize         = 1 << 40 // the bytes that are locked lie beyond
	maxParticipants = 512
	defParticipants = 64
	maxText         = 63 // bytes of a label or type name; a NUL ends it
)

// Options tunes how a segment is made or attached to. Which fields matter
// where is said with each; nil and the zero value are good for opening
// whatever there is.
type Options struct {
	// Size is the length of the data area in bytes. It is needed to make a
	// segment, and ignored when attaching to one.
	Size int64

	// Kind and Version say what the data area holds. Making: Kind 0 is
	// KindRaw. Attaching: when Kind is not 0 both must be those of the
	// segment.
	Kind    Kind
	Version uint32

	// Fingerprint identifies the layout of the elements, and ElemType (at
	// most 63 bytes are kept) names it for the error. Attaching: when
	// Fingerprint is not 0 it must be that of the segment.
	Fingerprint uint64
	ElemType    string

	// Init fills the data area of a new segment before anybody else can see
	// it. It finds zeros.
	Init func(data []byte) error

	// Attach is called on every attachment, after the segment has been
	// checked and mapped and before this process is one of its participants:
	// ID is still 0, except in a child that adopts a moved end. It may read
	// the data area and refuse. The Repairer that it returns is used for as
	// long as the segment is attached, and possibly before Attach's caller
	// sees the segment. Attach may run for a segment that is then given up,
	// whose memory must not be touched any more; its last run is for the one
	// that is returned.
	Attach func(s *Segment) (Repairer, error)

	// Mode is the permission of a new named segment: 0600 if 0. The owner
	// always may read and write.
	Mode fs.FileMode

	// Group is the group id of a new named segment; 0 leaves it.
	Group int

	// MaxParticipants bounds the attachments that live at one time: 64 if
	// 0, at most 512. It counts attachments, not processes or goroutines.
	MaxParticipants int

	// Prefault makes all pages present now; Lock keeps them in memory
	// (mlock, limited by RLIMIT_MEMLOCK); HugePages asks for huge pages, as
	// an advice. They concern the mapping of this process.
	Prefault, Lock, HugePages bool

	// Label is shown to the other participants, at most 63 bytes of it. It
	// is the base name of os.Args[0] if empty.
	Label string
}

// A Repairer undoes or finishes what a dead participant left behind in the
// data area.
type Repairer interface {
	// Repair is called after that participant was proven dead, by any of the
	// survivors, several at once in different processes, and again until it
	// reports that nothing of the dead one is left. Each of its steps must
	// be a CAS on the exact word that it read, so that a repairer which was
	// stopped for an hour changes nothing. It must wake everybody, in all
	// processes, who may wait for the dead one.
	//
	// Preconditions: it does not block, and does not close the segment.
	Repair(dead ID) (clean bool)
}

// A Joiner is a [Repairer] that keeps something in the data area for each slot.
type Joiner interface {
	Repairer

	// Join prepares what it keeps for the slot that this attachment is about
	// to take: the slot's lock is held and the slot free, so that nobody else
	// has it, but everybody may read. Whoever sees the slot taken sees what
	// Join did. The slot may then not be taken after all, and Join be called
	// for another one, by this process or any other.
	//
	// It is called for every attachment, the creator's included, except that
	// of a child that adopts a moved end and with it the slot as it is.
	//
	// Preconditions: as for Repair; [Segment.ID] is still 0.
	Join(slot int)
}

// withDefaults returns the options with every default filled in.
func (o *Options) withDefaults() Options {
	var v Options
	if o != nil {
		v = *o
	}
	if v.Mode == 0 {
		v.Mode = 0o600
	}
	if v.MaxParticipants == 0 {
		v.MaxParticipants = defParticipants
	}
	if v.Label == "" && len(os.Args) > 0 {
		v.Label = filepath.Base(os.Args[0])
	}
	return v
}

// checkNew reports why no segment can be made with these options.
func (o *Options) checkNew() error {
	switch {
	case o.Size <= 0 || o.Size > maxSize || o.Size > math.MaxInt-maxDataOff:
		return fmt.Errorf("size %d is not between 1 and %d: %w",
			o.Size, int64(maxSize), fs.ErrInvalid)
	case o.MaxParticipants < 1 || o.MaxParticipants > maxParticipants:
		return fmt.Errorf("max participants %d is not between 1 and %d: %w",
			o.MaxParticipants, maxParticipants, fs.ErrInvalid)
	case o.Mode&^fs.ModePerm != 0:
		return fmt.Errorf("mode %v is more than permission bits: %w",
			o.Mode, fs.ErrInvalid)
	case o.Group < 0:
		return fmt.Errorf("group %d: %w", o.Group, fs.ErrInvalid)
	}
	return nil
}

const (
	shmDir = "/dev/shm"
	prefix = "sluice-"
)

// checkName reports why nothing can have that name here.
func checkName(name string) error {
	if !sys.Supported {
		return fmt.Errorf("on %s/%s: %w", runtime.GOOS, runtime.GOARCH,
			errors.ErrUnsupported)
	}
	if name == "" || strings.ContainsRune(name, 0) {
		return fmt.Errorf("name %q: %w", name, fs.ErrInvalid)
	}
	return nil
}

// pathOf returns the file that a name stands for. A name with a slash is a
// path; any other is a file of ours in /dev/shm.
func pathOf(name string) (string, error) {
	if err := checkName(name); err != nil {
		return "", err
	}
	if strings.ContainsRune(name, '/') {
		return filepath.Abs(name)
	}
	return filepath.Join(shmDir, prefix+name), nil
}
