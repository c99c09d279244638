package mem

import (
	"encoding/binary"
	"fmt"
	"hash"
	"hash/fnv"
	"math/bits"
	"reflect"
)

// Plain describes a type whose values may be copied through shared memory as
// their bytes: see [Load] and [Store].
type Plain struct {
	Name        string // the type's, for people
	Size, Align int

	// Fingerprint is never 0, and the same for types of one layout: fields
	// of the same kinds at the same places, whatever their names. int counts
	// as int64 and uint as uint64.
	Fingerprint uint64

	bools  []bools
	direct bool // may be copied as a T, see Load
}

// bools says where bools lie: n in a row, from off on; or, n times from off on
// and stride bytes apart, those of inner.
type bools struct {
	off, n, stride int
	inner          []bools
}

// PlainOf describes T, or says which field of it cannot be shared. Allowed are
// bool, numbers of fixed width, int and uint where they have 64 bits, and
// arrays and structs of these. Pointers and all that contains some mean nothing
// to another process; an uintptr is refused because it nearly always is one.
func PlainOf[T any]() (*Plain, error) {
	t := reflect.TypeFor[T]()
	w := walker{sum: fnv.New64a(), allowBool: true}
	found, err := w.walk(t, 0, nameOf(t))
	if err != nil {
		return nil, err
	}
	w.note('.', 0, int(t.Size()))
	return &Plain{
		Name: t.String(), Size: int(t.Size()), Align: t.Align(),
		Fingerprint: max(w.sum.Sum64(), 1),
		bools:       found,
		direct:      found == nil && t.Size() > 0 && t.Size() <= copyPiece,
	}, nil
}

// HasBool reports whether there is a bool in the type. No view of such a type
// may be given out, only copies.
func (p *Plain) HasBool() bool { return p.bools != nil }

// CheckPlain reports why a T must not be used where it lies in shared memory,
// naming the offending field, or nil.
//
// It is stricter than [PlainOf] in one thing, bools: the compiler trusts a bool
// to be 0 or 1 and drops bounds checks on the strength of that, so a peer that
// stores a 3 could make us read out of range.
func CheckPlain[T any]() error {
	t := reflect.TypeFor[T]()
	w := walker{sum: fnv.New64a()}
	_, err := w.walk(t, 0, nameOf(t))
	return err
}

// nameOf returns what a type is called in its package, in errors that name a
// field of it.
func nameOf(t reflect.Type) string {
	if t.Name() != "" {
		return t.Name()
	}
	return t.String()
}

// codes stand for the kinds in the fingerprint: part of the file format.
var codes = map[reflect.Kind]byte{
	reflect.Bool: 'b',
	reflect.Int8: 'i', reflect.Int16: 'i', reflect.Int32: 'i', reflect.Int64: 'i', reflect.Int: 'i',
	reflect.Uint8: 'u', reflect.Uint16: 'u', reflect.Uint32: 'u', reflect.Uint64: 'u', reflect.Uint: 'u',
	reflect.Float32: 'f', reflect.Float64: 'f',
	reflect.Complex64: 'c', reflect.Complex128: 'c',
}

// A walker goes through a type once, each array's element once.
type walker struct {
	sum       hash.Hash64 // becomes the fingerprint
	allowBool bool
}

// note adds something to the fingerprint.
func (w *walker) note(code byte, nums ...int) {
	b := []byte{code}
	for _, n := range nums {
		b = binary.LittleEndian.AppendUint64(b, uint64(n))
	}
	w.sum.Write(b)
}

// walk returns where the bools of t lie, which begins at off of the whole and
// is called path.
func (w *walker) walk(t reflect.Type, off int, path string) ([]bools, error) {
	kind := t.Kind()
	code, known := codes[kind]
	switch {
	case kind == reflect.Array:
		return w.array(t, off, path)
	case kind == reflect.Struct:
		return w.structure(t, off, path)
	case !known, kind == reflect.Bool && !w.allowBool:
		return nil, fmt.Errorf("%s is a %s and cannot be shared", path, kind)
	case (kind == reflect.Int || kind == reflect.Uint) && bits.UintSize != 64:
		return nil, fmt.Errorf("%s is a %s of %d bits on this platform and cannot be shared",
			path, kind, bits.UintSize)
	}
	w.note(code, off, int(t.Size()))
	if kind == reflect.Bool {
		return []bools{{off: off, n: 1}}, nil
	}
	return nil, nil
}

// array looks at one element, for a type may have millions of them.
func (w *walker) array(t reflect.Type, off int, path string) ([]bools, error) {
	n, stride := t.Len(), int(t.Elem().Size())
	w.note('[', off, n, stride)
	inner, err := w.walk(t.Elem(), 0, path+"[…]")
	w.note(']')
	switch {
	case err != nil, inner == nil, n == 0:
		return nil, err
	case len(inner) == 1 && inner[0].inner == nil && inner[0].n == stride:
		return []bools{{off: off, n: n * stride}}, nil // nothing but bools
	}
	return []bools{{off, n, stride, inner}}, nil
}

func (w *walker) structure(t reflect.Type, off int, path string) (all []bools, err error) {
	for i := range t.NumField() {
		f := t.Field(i)
		found, err := w.walk(f.Type, off+int(f.Offset), path+"."+f.Name)
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	return all, nil
}

// settle makes every bool in b, which is nobody else's, a 0 or a 1.
func settle(b []byte, all []bools) {
	for _, l := range all {
		if l.inner != nil {
			for i := range l.n {
				settle(b[l.off+i*l.stride:], l.inner)
			}
			continue
		}
		for i := range l.n {
			if at := l.off + i; b[at] > 1 {
				b[at] = 1
			}
		}
	}
}
