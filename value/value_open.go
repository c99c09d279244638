package value

import (
	"os"

	"github.com/sluice-ipc/sluice/internal/mem"
	"github.com/sluice-ipc/sluice/internal/place"
	"github.com/sluice-ipc/sluice/shm"
)

// Create makes a value in a new segment of that name, as shm.Create does.
func Create[T Number](name string, init T, o *Options) (*Value[T], error) {
	return openValue(init, o, created(name))
}

// Open attaches to the value in the segment of that name, as shm.Open does.
func Open[T Number](name string, o *Options) (*Value[T], error) {
	return openValue(T(0), o, opened(name))
}

// OpenOrCreate attaches to the value of that name, whatever it is, or makes it.
func OpenOrCreate[T Number](name string, init T, o *Options) (*Value[T], error) {
	return openValue(init, o, openedOrCreated(name))
}

// Anonymous makes a value that has no name, to be passed to children with
// shm.Pass or sent to other processes. The label appears in errors.
func Anonymous[T Number](label string, init T, o *Options) (*Value[T], error) {
	return openValue(init, o, anonymous(label))
}

// Inherited attaches to the value that the parent passed to this process under
// that name with shm.Pass.
func Inherited[T Number](name string, o *Options) (*Value[T], error) {
	return openValue(T(0), o, place.Inherited(name))
}

// FromFile attaches to the value whose segment f is open on: one that came over
// a Unix socket, or the Segment().File() of another handle. f stays the caller's.
func FromFile[T Number](f *os.File, o *Options) (*Value[T], error) {
	return openValue(T(0), o, fromFile(f))
}

// At returns a handle on the value at byte off, a multiple of 128, of the data of
// s, which is the caller's and stays open for as long as the value is used;
// closing the handle does nothing. Memory that is zero is the value 0. It takes
// [Size] bytes. There is nothing in the options that it minds; they may be nil.
func At[T Number](s *shm.Segment, off int64, _ *Options) (*Value[T], error) {
	k, err := valueKind(T(0))
	if err != nil {
		return nil, err
	}
	return openAt(k, s, off, (*Value[T]).attach)
}

func openValue[T Number](init T, o *Options, get place.Get) (*Value[T], error) {
	k, err := valueKind(init)
	if err != nil {
		return nil, err
	}
	return open(k, o.orZero(), get, (*Value[T]).attach)
}

func valueKind[T Number](init T) (*kind, error) {
	k, err := kindOf[T](letterValue)
	if err != nil {
		return nil, err
	}
	k.size = func() int64 { return Size }
	k.init = func(b []byte) { mem.At[cell](b, 0).bits.Store(mem.ToBits(init)) }
	return k, nil
}

func (v *Value[T]) attach(p place.Spot) error {
	v.spot = p
	v.c = mem.At[cell](p.Data, 0)
	v.watch = newWatch(&v.c.event, p.Seg)
	return nil
}
