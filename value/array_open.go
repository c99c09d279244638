package value

import (
	"fmt"
	"math"
	"os"
	"reflect"

	"github.com/sluice-ipc/sluice/internal/mem"
	"github.com/sluice-ipc/sluice/internal/place"
	"github.com/sluice-ipc/sluice/shm"
)

// An array lies as
//
//	offset  size  field
//	     0     8  tag: what it is, and of which numbers
//	     8     8  length: how many there are, plus 1
//	    16     8  which lock it has
//	   128   128  its own lock, used or not
//	   256        the elements
const (
	arrayLength = 8
	arrayMutex  = mem.FalseShare
	arrayItems  = 2 * mem.FalseShare
)

// CreateArray makes an array of n zeros in a new segment of that name, as
// shm.Create does. An n of 0 is allowed.
func CreateArray[T Number](name string, n int, o *Options) (*Array[T], error) {
	return makeArray[T](n, nil, o, created(name))
}

// CreateArrayFrom makes an array that is a copy of from, in a new segment of that
// name.
func CreateArrayFrom[T Number](name string, from []T, o *Options) (*Array[T], error) {
	return makeArray(len(from), from, o, created(name))
}

// OpenArray attaches to the array in the segment of that name, of any length, as
// shm.Open does.
func OpenArray[T Number](name string, o *Options) (*Array[T], error) {
	return findArray[T](o, opened(name))
}

// OpenOrCreateArray attaches to the array of that name, whose length must be n,
// or makes it, of n zeros.
func OpenOrCreateArray[T Number](name string, n int, o *Options) (*Array[T], error) {
	return makeArray[T](n, nil, o, openedOrCreated(name))
}

// AnonymousArray makes an array of n zeros that has no name, to be passed to
// children with shm.Pass or sent to other processes. The label appears in errors.
func AnonymousArray[T Number](label string, n int, o *Options) (*Array[T], error) {
	return makeArray[T](n, nil, o, anonymous(label))
}

// AnonymousArrayFrom makes an array without a name that is a copy of from.
func AnonymousArrayFrom[T Number](label string, from []T, o *Options) (*Array[T], error) {
	return makeArray(len(from), from, o, anonymous(label))
}

// InheritedArray attaches to the array that the parent passed to this process
// under that name with shm.Pass.
func InheritedArray[T Number](name string, o *Options) (*Array[T], error) {
	return findArray[T](o, place.Inherited(name))
}

// ArrayFromFile attaches to the array whose segment f is open on: one that came
// over a Unix socket, or the Segment().File() of another handle. f stays the
// caller's.
func ArrayFromFile[T Number](f *os.File, o *Options) (*Array[T], error) {
	return findArray[T](o, fromFile(f))
}

// ArrayAt returns a handle on the array of n elements at byte off, a multiple of
// 128, of the data of s, which is the caller's and stays open for as long as the
// array is used; closing the handle does nothing. Memory that is zero is an array
// of zeros, of the length that is asked for first. It takes [ArraySize] bytes.
func ArrayAt[T Number](s *shm.Segment, off int64, n int, o *Options) (*Array[T], error) {
	if err := checkLength[T](n); err != nil {
		return nil, err
	}
	k, f, err := arrayKind[T](n, nil, o)
	if err != nil {
		return nil, err
	}
	return openAt(k, s, off, f)
}

// ArraySize returns how many bytes an array of n elements takes in a segment of
// the caller's: a multiple of 128.
func ArraySize[T Number](n int) (int64, error) {
	if err := checkLength[T](n); err != nil {
		return 0, err
	}
	return arrayItems + place.Round(int64(n)*itemSize[T]()), nil
}

func itemSize[T Number]() int64 { return int64(reflect.TypeFor[T]().Size()) }

func checkLength[T Number](n int) error {
	if most := (math.MaxInt - 2*arrayItems) / itemSize[T](); n < 0 || int64(n) > most {
		return &OptionError{Field: "length of an array", Value: n, Want: fmt.Sprint("0 to ", most)}
	}
	return nil
}

// makeArray makes an array of n elements, those of from if there are any, or
// attaches to one of n.
func makeArray[T Number](n int, from []T, o *Options, get place.Get) (*Array[T], error) {
	if err := checkLength[T](n); err != nil {
		return nil, err
	}
	return openArray(n, from, o, get)
}

// findArray attaches to an array of any length.
func findArray[T Number](o *Options, get place.Get) (*Array[T], error) {
	return openArray[T](anyLength, nil, o, get)
}

func openArray[T Number](n int, from []T, o *Options, get place.Get) (*Array[T], error) {
	k, f, err := arrayKind(n, from, o)
	if err != nil {
		return nil, err
	}
	return open(k, o.orZero(), get, f)
}

// anyLength stands for the length of an array before it is known.
const anyLength = -1

// arrayKind returns what is needed to make an array of n elements, or to attach
// to one of n or, if that is anyLength, of what length it has. That is read from
// memory and checked here, once, and from then on never read again.
func arrayKind[T Number](n int, from []T, o *Options) (*kind, attach[Array[T]], error) {
	k, err := kindOf[T](letterArray)
	if err != nil {
		return nil, nil, err
	}
	k.size = func() int64 { return arrayItems + place.Round(int64(max(n, 0))*itemSize[T]()) }
	k.init = func(b []byte) {
		mem.Uint64(b, arrayLength).Store(uint64(n) + 1)
		copy(mem.Slice[T](b, arrayItems, n), from)
	}
	want := n
	k.check = func(name string, b []byte) error {
		got, err := readLength[T](name, b, want)
		if err == nil {
			n = got
		}
		return err
	}
	f := func(a *Array[T], p place.Spot) error { return a.attach(p, n, o.orZero()) }
	return k, f, nil
}

// readLength returns how many elements the array in b has, which must be want
// unless that is anyLength.
func readLength[T Number](name string, b []byte, want int) (int, error) {
	bad := func(got, want any) error {
		return &shm.FormatError{Segment: name, Field: "length of the array", Got: got, Want: want}
	}
	if len(b) < arrayItems {
		return 0, &shm.FormatError{Segment: name, Field: "size of the data area", Got: len(b), Want: fmt.Sprint("at least ", arrayItems)}
	}
	most := uint64(len(b)-arrayItems) / uint64(itemSize[T]())
	n := mem.Uint64(b, arrayLength).Load() - 1 // of 0, more than fit
	switch {
	case n > most:
		return 0, bad(n, fmt.Sprint("at most ", most))
	case want != anyLength && n != uint64(want):
		return 0, bad(n, want)
	}
	return int(n), nil
}

// attach makes a the handle on the array of n elements at p.
func (a *Array[T]) attach(p place.Spot, n int, o *Options) error {
	w := mem.Uint64(p.Data, arrayLength)
	w.CompareAndSwap(0, uint64(n)+1)
	if got := w.Load(); got != uint64(n)+1 {
		return &shm.FormatError{Segment: p.Name(), Field: "length of the array", Got: got - 1, Want: n}
	}
	g, err := newGuard(&p, arrayMutex, o.Lock)
	if err != nil {
		return err
	}
	a.spot, a.g = p, g
	a.items = mem.Slice[T](p.Data, arrayItems, n)
	return nil
}
