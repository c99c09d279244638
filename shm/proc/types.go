package proc

import (
	"encoding"
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
		!slices.Contains(nothingTypes, p.Kind()) && inside(p, map[reflect.Type]content{}) != handles
}

func nillable(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Pointer, reflect.Interface, reflect.Slice, reflect.Map:
		return true
	}
	return false
}

// What is found inside of data: only data, handles, or what only a value tells,
// as an interface has it in it and as a type that contains itself may go on for
// ever. The codec would take a handle for an empty struct.
type content int

const (
	data content = iota
	anything
	handles
)

// inside says what a type has in the parts that are encoded. Of the types that
// were met before, seen says it; those in which t is are anything so far.
func inside(t reflect.Type, seen map[reflect.Type]content) (most content) {
	if t.Implements(handleType) || reflect.PointerTo(t).Implements(handleType) {
		return handles
	}
	if c, ok := seen[t]; ok {
		return c
	}
	seen[t] = anything
	switch t.Kind() {
	case reflect.Interface:
		most = anything
	case reflect.Pointer, reflect.Slice, reflect.Array:
		most = inside(t.Elem(), seen)
	case reflect.Map:
		most = max(inside(t.Key(), seen), inside(t.Elem(), seen))
	case reflect.Struct:
		for f := range t.Fields() {
			if isEncoded(f) {
				most = max(most, inside(f.Type, seen))
			}
		}
	}
	if most == anything && encodesItself(t) {
		most = data
	}
	seen[t] = most
	return most
}

// isEncoded reports whether the codec goes into a field. Of a struct that is
// embedded, it takes the exported fields even if its own name is not exported.
func isEncoded(f reflect.StructField) bool {
	t := f.Type
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return f.IsExported() || f.Anonymous && t.Kind() == reflect.Struct
}

var marshalers = []reflect.Type{
	reflect.TypeFor[interface{ MarshalCBOR() ([]byte, error) }](),
	reflect.TypeFor[encoding.BinaryMarshaler](),
}

// encodesItself reports whether the codec leaves it to a type what it has inside.
func encodesItself(t reflect.Type) bool {
	return slices.ContainsFunc(marshalers, reflect.PointerTo(t).Implements)
}
