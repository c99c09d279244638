package value

import (
	"os"

	"github.com/sluice-ipc/sluice/internal/mem"
	"github.com/sluice-ipc/sluice/internal/place"
	"github.com/sluice-ipc/sluice/shm"
)

// recordShape: the lock lies in front of the copies. Readers can rely on being
// let in, because a record's writers exclude each other anyway.
var recordShape = shape{first: headSize + mem.FalseShare, n: 2, fair: 8}

// CreateRecord makes a record with that value in a new segment of that name, as
// shm.Create does. A type that cannot be shared is an error that names the field:
//
//	value: Config.Name is a string and cannot be shared
func CreateRecord[T any](name string, init T, o *Options) (*Record[T], error) {
	return openRecord(&init, o, created(name))
}

// OpenRecord attaches to the record in the segment of that name, as shm.Open does.
// It is a FormatError if the record is one of another type.
func OpenRecord[T any](name string, o *Options) (*Record[T], error) {
	return openRecord[T](nil, o, opened(name))
}

// OpenOrCreateRecord attaches to the record of that name, or makes it with that
// value.
func OpenOrCreateRecord[T any](name string, init T, o *Options) (*Record[T], error) {
	return openRecord(&init, o, openedOrCreated(name))
}

// AnonymousRecord makes a record with that value that has no name, to be passed
// to children with shm.Pass or sent to other processes. The label appears in
// errors.
func AnonymousRecord[T any](label string, init T, o *Options) (*Record[T], error) {
	return openRecord(&init, o, anonymous(label))
}

// InheritedRecord attaches to the record that the parent passed to this process
// under that name with shm.Pass.
func InheritedRecord[T any](name string, o *Options) (*Record[T], error) {
	return openRecord[T](nil, o, place.Inherited(name))
}

// RecordFromFile attaches to the record whose segment f is open on: one that came
// over a Unix socket, or the Segment().File() of another handle. f stays the
// caller's.
func RecordFromFile[T any](f *os.File, o *Options) (*Record[T], error) {
	return openRecord[T](nil, o, fromFile(f))
}

// RecordAt returns a handle on the record at byte off of the data of s, which is
// the caller's and stays open for as long as the record is used; closing the
// handle does nothing. off is a multiple of 128. Memory that is zero is a record of
// the zero value. It takes [RecordSize] bytes.
func RecordAt[T any](s *shm.Segment, off int64, o *Options) (*Record[T], error) {
	k, err := recordKind[T](nil)
	if err != nil {
		return nil, err
	}
	return openAt(k, s, off, attachRecord[T](k, o.orZero()))
}

// RecordSize returns how many bytes a record of type T takes: a multiple of 128.
func RecordSize[T any]() (int64, error) {
	k, err := recordKind[T](nil)
	if err != nil {
		return 0, err
	}
	return k.size(), nil
}

func openRecord[T any](init *T, o *Options, get place.Get) (*Record[T], error) {
	k, err := recordKind(init)
	if err != nil {
		return nil, err
	}
	o = o.orZero()
	return open(k, o, get, attachRecord[T](k, o))
}

// recordKind describes records of type T, and a new one's value unless init is
// nil.
func recordKind[T any](init *T) (*kind, error) {
	return cellsKind(letterRecord, recordShape, init)
}

// cellsKind describes objects of that shape, and a new one's value unless init is
// nil.
func cellsKind[T any](letter byte, h shape, init *T) (*kind, error) {
	k, err := kindOf[T](letter)
	if err != nil {
		return nil, err
	}
	k.size = func() int64 { return h.size(k.plain.Size) }
	if init != nil {
		k.init = func(b []byte) {
			mem.StoreWords(h.copy(b, 0, k.plain.Size), mem.BytesOf(init))
		}
	}
	return k, nil
}

func attachRecord[T any](k *kind, o *Options) attach[Record[T]] {
	return func(r *Record[T], p place.Spot) (err error) {
		r.spot, r.plain = p, k.plain
		if r.g, err = newGuard(&p, headSize, o.Lock); err != nil {
			return err
		}
		r.c, err = newCells(&p, recordShape, k.plain)
		return err
	}
}
