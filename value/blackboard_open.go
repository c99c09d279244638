package value

import (
	"os"
	"sync/atomic"

	"github.com/sluice-ipc/sluice/internal/mem"
	"github.com/sluice-ipc/sluice/internal/place"
	"github.com/sluice-ipc/sluice/shm"
)

// boardShape has four copies, so that the writer overtakes a reader only by
// publishing three values while the reader copies one.
var boardShape = shape{first: headSize, n: 4, fair: 512}

// CreateBlackboard makes a blackboard with that value in a new segment of that
// name, as shm.Create does. A type that cannot be shared is an error that names
// the field.
func CreateBlackboard[T any](name string, init T, o *Options) (*Blackboard[T], error) {
	return openBoard(&init, o, created(name))
}

// OpenBlackboard attaches to the blackboard in the segment of that name, as
// shm.Open does. It is a FormatError if it is one of another type.
func OpenBlackboard[T any](name string, o *Options) (*Blackboard[T], error) {
	return openBoard[T](nil, o, opened(name))
}

// OpenOrCreateBlackboard attaches to the blackboard of that name, or makes it with
// that value.
func OpenOrCreateBlackboard[T any](name string, init T, o *Options) (*Blackboard[T], error) {
	return openBoard(&init, o, openedOrCreated(name))
}

// AnonymousBlackboard makes a blackboard with that value that has no name, to be
// passed to children with shm.Pass or sent to other processes. The label appears in
// errors.
func AnonymousBlackboard[T any](label string, init T, o *Options) (*Blackboard[T], error) {
	return openBoard(&init, o, anonymous(label))
}

// InheritedBlackboard attaches to the blackboard that the parent passed to this
// process under that name with shm.Pass.
func InheritedBlackboard[T any](name string, o *Options) (*Blackboard[T], error) {
	return openBoard[T](nil, o, place.Inherited(name))
}

// BlackboardFromFile attaches to the blackboard whose segment f is open on: one
// that came over a Unix socket, or the Segment().File() of another handle. f stays
// the caller's.
func BlackboardFromFile[T any](f *os.File, o *Options) (*Blackboard[T], error) {
	return openBoard[T](nil, o, fromFile(f))
}

// BlackboardAt returns a handle on the blackboard at byte off of the data of s,
// which is the caller's and stays open for as long as the blackboard is used;
// closing the handle does nothing. off is a multiple of 128. Memory that is zero is
// a blackboard of the zero value without a writer. It takes [BlackboardSize] bytes.
func BlackboardAt[T any](s *shm.Segment, off int64, o *Options) (*Blackboard[T], error) {
	k, err := cellsKind[T](letterBlackboard, boardShape, nil)
	if err != nil {
		return nil, err
	}
	return openAt(k, s, off, attachBoard[T](k))
}

// BlackboardSize returns how many bytes a blackboard of type T takes: a multiple
// of 128.
func BlackboardSize[T any]() (int64, error) {
	k, err := cellsKind[T](letterBlackboard, boardShape, nil)
	if err != nil {
		return 0, err
	}
	return k.size(), nil
}

func openBoard[T any](init *T, o *Options, get place.Get) (*Blackboard[T], error) {
	k, err := cellsKind(letterBlackboard, boardShape, init)
	if err != nil {
		return nil, err
	}
	return open(k, o.orZero(), get, attachBoard[T](k))
}

func attachBoard[T any](k *kind) attach[Blackboard[T]] {
	return func(b *Blackboard[T], p place.Spot) (err error) {
		b.spot, b.plain, b.me = p, k.plain, uint64(p.Seg.ID())
		b.writer = mem.At[atomic.Uint64](p.Data, writerWord)
		b.c, err = newCells(&p, boardShape, k.plain)
		return err
	}
}
