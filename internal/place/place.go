// Package place puts small objects, such as locks and values, into segments of
// shared memory: each into a segment of its own, or several next to each other
// in one that the caller laid out.
//
// An object begins with a tag that says what it is. Memory that is zero is an
// object that nobody has used yet, and the first to come by tags it, so that a
// new segment needs no preparation.
package place

import (
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/sluice-ipc/sluice/internal/mem"
	"github.com/sluice-ipc/sluice/shm"
)

// Align is what the offset of each object is a multiple of: objects do not
// disturb each other.
const Align = mem.FalseShare

// Round rounds a size up to a multiple of Align.
func Round(n int64) int64 { return (n + Align - 1) &^ (Align - 1) }

// A Spot is where an object lies.
type Spot struct {
	Seg  *shm.Segment
	Data []byte // the object's own bytes
	Off  int64  // of Data, in the segment's data area
	Own  bool   // the segment was opened for the object alone, and Close closes it
}

// A Spec says what kind of object it is.
type Spec struct {
	Kind        shm.Kind // of a segment of its own
	Version     uint32
	Fingerprint uint64 // with ElemType as in shm.Options, 0 if there is none
	ElemType    string

	// Size returns how many bytes the object takes in a segment with that
	// many slots.
	Size func(slots int) int64
	// Init fills the bytes of a new object in a segment of its own. It may be
	// nil, and finds zeros.
	Init func(b []byte)
	// Check refuses the bytes of an object in a segment of its own, before
	// anybody joins. It may be nil.
	Check func(name string, b []byte) error
}

// A Get is how a segment is had: shm.Create with a name, say.
type Get func(*shm.Options) (*shm.Segment, error)

// Open makes a segment for an object alone, or attaches to one.
func Open(spec *Spec, so shm.Options, get Get) (Spot, error) {
	if so.MaxParticipants == 0 {
		so.MaxParticipants = DefaultSlots
	}
	so.Kind, so.Version = spec.Kind, spec.Version
	so.Fingerprint, so.ElemType = spec.Fingerprint, spec.ElemType
	so.Size = spec.Size(so.MaxParticipants)
	so.Init = func(b []byte) error {
		if spec.Init != nil {
			spec.Init(b)
		}
		return nil
	}
	so.Attach = func(s *shm.Segment) (shm.Repairer, error) {
		if spec.Check == nil {
			return lazy{}, nil
		}
		return lazy{}, spec.Check(s.Name(), s.Data())
	}
	s, err := get(&so)
	if err != nil {
		return Spot{}, err
	}
	spot, err := At(s, 0, spec.Size(s.Slots()))
	if err != nil {
		return Spot{}, errors.Join(err, s.Close())
	}
	spot.Own = true
	return spot, nil
}

// DefaultSlots is how many participants a segment has room for when nothing
// else is asked for, as shm.Options says.
const DefaultSlots = 64

// lazy is the Repairer of objects that name their owners: what a dead one left
// is found and undone by whoever comes by it.
type lazy struct{}

func (lazy) Repair(shm.ID) bool { return true }

// At returns the spot of size bytes at off of the segment's data area.
func At(s *shm.Segment, off, size int64) (Spot, error) {
	switch {
	case off < 0 || off%Align != 0:
		return Spot{}, &shm.FormatError{Segment: s.Name(), Field: "offset", Got: off, Want: fmt.Sprint("a multiple of ", Align)}
	case size < 0 || off > s.Size()-size:
		return Spot{}, &shm.FormatError{Segment: s.Name(), Field: "size of the data area", Got: s.Size(), Want: fmt.Sprintf("%d bytes at %d", size, off)}
	}
	if err := s.Retain(); err != nil {
		return Spot{}, err
	}
	defer s.Release()
	return Spot{Seg: s, Data: s.Data()[off : off+size : off+size], Off: off}, nil
}

// Claim makes want what the word at byte at of the object says, unless somebody
// has made it something else, which it refuses. A want of 0 takes what is there.
// It returns what the word says.
//
// Preconditions: the caller holds a Retain or a Keep.
func (p *Spot) Claim(at int, field string, want uint64) (uint64, error) {
	w := mem.At[atomic.Uint64](p.Data, at)
	if want != 0 {
		w.CompareAndSwap(0, want)
	}
	got := w.Load()
	if want != 0 && got != want {
		return got, &shm.FormatError{Segment: p.Name(), Field: field, Got: got, Want: want}
	}
	return got, nil
}

// Name names the object in errors.
func (p *Spot) Name() string {
	if p.Own {
		return p.Seg.Name()
	}
	return p.Seg.Name() + "+" + strconv.FormatInt(p.Off, 10)
}

// Key tells the race detector which object something is about: the detector does
// not see what is ordered by shared memory. It is the same for all handles on
// the object. See package race.
func (p *Spot) Key() uint64 {
	id := p.Seg.UUID()
	return binary.LittleEndian.Uint64(id[:]) + uint64(p.Off)
}

// Close closes the segment if it is the object's own.
func (p *Spot) Close() error {
	if !p.Own {
		return nil
	}
	return p.Seg.Close()
}

// Handover passes the object to another process, which joins as a participant
// of its own.
func (p *Spot) Handover() (shm.Handover, error) {
	return shm.Handover{Segment: p.Seg, Detail: "at " + strconv.FormatInt(p.Off, 10)}, nil
}

// Inherited is a [Get] of what the parent passed under that name. An object that
// lay in its parent's segment among others is not found this way: pass the
// segment.
func Inherited(name string) Get {
	return func(so *shm.Options) (*shm.Segment, error) {
		s, detail, err := shm.Inherited(name, so)
		if err != nil {
			return nil, err
		}
		if off, ok := strings.CutPrefix(detail, "at "); !ok || off != "0" {
			return nil, errors.Join(&shm.FormatError{Segment: s.Name(), Field: "what was passed", Got: detail, Want: "at 0"}, s.Close())
		}
		return s, nil
	}
}

// Hold keeps the segment's memory mapped for as long as handle is reachable, so
// that it may be used without counting. If the segment is the object's own it is
// closed when handle is collected at the latest.
func Hold[T any](handle *T, p *Spot) {
	p.Seg.Keep()
	own := p.Own
	runtime.AddCleanup(handle, func(s *shm.Segment) {
		if own {
			s.Close()
		}
		s.Unkeep()
	}, p.Seg)
}
