package proc

import (
	"reflect"
	"slices"
)

// isHandle reports whether a parameter is a handle of shared memory.
func isHandle(t reflect.Type) bool { return t.Implements(heirType) }

// same reports whether two arguments are the same handle.
func same(a, b any) bool {
	t := reflect.TypeOf(a)
	return t == reflect.TypeOf(b) && isHandle(t) && t.Comparable() && a == b
}

// canPass reports whether a parameter can be of this type, as far as the type
// tells: a handle, or data.
func canPass(p reflect.Type) bool {
	if isHandle(p) {
		// A pointer to a handle has its methods too.
		return p.Kind() != reflect.Interface && !(p.Kind() == reflect.Pointer && isHandle(p.Elem()))
	}
	return !(p.Kind() == reflect.Interface && p.NumMethod() > 0) &&
		!slices.Contains(nothingTypes, p.Kind()) && inside(p, nil) != handles
}

func nillable(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Pointer, reflect.Interface, reflect.Slice, reflect.Map:
		return true
	}
	return false
}

// What is found inside of data: only data, handles, or whatever an interface has
// in it. The codec would take a handle for an empty struct.
type content int

const (
	data content = iota
	anything
	handles
)

// inside says what a type has in the parts that are encoded. The types that it is
// a part of say the rest.
func inside(t reflect.Type, of []reflect.Type) (most content) {
	if t.Implements(handleType) || reflect.PointerTo(t).Implements(handleType) {
		return handles
	}
	if slices.Contains(of, t) {
		return data
	}
	of = append(of, t)
	switch t.Kind() {
	case reflect.Interface:
		return anything
	case reflect.Pointer, reflect.Slice, reflect.Array:
		return inside(t.Elem(), of)
	case reflect.Map:
		return max(inside(t.Key(), of), inside(t.Elem(), of))
	case reflect.Struct:
		for f := range t.Fields() {
			if f.IsExported() {
				most = max(most, inside(f.Type, of))
			}
		}
	}
	return most
}

// tooDeep is a depth at which the codec refuses data.
const tooDeep = 256

// holdsHandle reports whether a value has a handle inside.
func holdsHandle(v reflect.Value, depth int) bool {
	if !v.IsValid() || depth > tooDeep {
		return false
	}
	switch inside(v.Type(), nil) {
	case data:
		return false
	case handles:
		return true
	}
	switch v.Kind() {
	case reflect.Interface, reflect.Pointer:
		return holdsHandle(v.Elem(), depth+1)
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			if holdsHandle(v.Index(i), depth+1) {
				return true
			}
		}
	case reflect.Map:
		for key, elem := range v.Seq2() {
			if holdsHandle(key, depth+1) || holdsHandle(elem, depth+1) {
				return true
			}
		}
	case reflect.Struct:
		for f, elem := range v.Fields() {
			if f.IsExported() && holdsHandle(elem, depth+1) {
				return true
			}
		}
	}
	return false
}
