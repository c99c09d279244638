package proc

import (
	"errors"
	"iter"
	"reflect"
)

// tooDeep is a depth of nesting at which the codec refuses data.
const tooDeep = 256

var (
	errHandle = errors.New("with a handle")
	errDeep   = errors.New("nested too deeply, or in itself")
)

// A walk goes through data before it is encoded. What it has been through it
// does not go through again, as otherwise data in which one thing is found in
// many places would take for ever.
type walk struct {
	types  map[reflect.Type]content
	levels map[place]int // how deep it is inside, from there
}

// A place is where something is that can be found in many places.
type place struct {
	t   reflect.Type
	at  uintptr
	len int
}

func newWalk() *walk {
	return &walk{make(map[reflect.Type]content), make(map[place]int)}
}

// check returns errHandle for a value with a handle inside, and errDeep for one
// that the codec would not come to the end of.
func (w *walk) check(a any) error {
	_, err := w.down(reflect.ValueOf(a), 0)
	return err
}

// down returns how many levels there are in a value which is that deep itself.
func (w *walk) down(v reflect.Value, depth int) (levels int, err error) {
	if !v.IsValid() {
		return 0, nil
	}
	switch w.inside(v.Type()) {
	case data: // no deeper than its type
		return 0, nil
	case handles:
		return 0, errHandle
	}
	p, ok := placeOf(v)
	levels, been := w.levels[p]
	if depth+levels > tooDeep {
		return 0, errDeep
	}
	if been {
		return levels, nil
	}
	if ok {
		w.levels[p] = tooDeep + 1 // if it is met again inside
		defer func() { w.levels[p] = levels }()
	}
	step := 1
	if v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface {
		step = 0 // the codec sees through them
	}
	for part := range parts(v) {
		n, err := w.down(part, depth+step)
		if err != nil {
			return 0, err
		}
		levels = max(levels, n+step)
	}
	return levels, nil
}

func (w *walk) inside(t reflect.Type) content {
	c, ok := w.types[t]
	if !ok {
		c = inside(t, make(map[reflect.Type]content))
		w.types[t] = c
	}
	return c
}

func placeOf(v reflect.Value) (p place, ok bool) {
	switch v.Kind() {
	case reflect.Pointer, reflect.Map:
		return place{v.Type(), v.Pointer(), 0}, true
	case reflect.Slice:
		return place{v.Type(), v.Pointer(), v.Len()}, true
	}
	return p, false
}

// parts are what the codec goes into.
func parts(v reflect.Value) iter.Seq[reflect.Value] {
	return func(yield func(reflect.Value) bool) {
		switch v.Kind() {
		case reflect.Interface, reflect.Pointer:
			yield(v.Elem())
		case reflect.Slice, reflect.Array:
			for i := range v.Len() {
				if !yield(v.Index(i)) {
					return
				}
			}
		case reflect.Map:
			for key, elem := range v.Seq2() {
				if !yield(key) || !yield(elem) {
					return
				}
			}
		case reflect.Struct:
			for f, elem := range v.Fields() {
				if isEncoded(f) && !yield(elem) {
					return
				}
			}
		}
	}
}
