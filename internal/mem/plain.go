package mem

import (
	"fmt"
	"reflect"
)

// CheckPlain reports why T must not lie in shared memory, naming the offending
// field, or nil.
//
// A plain type has no pointers (they mean nothing to another process), no
// uintptr, and no bool: the compiler trusts a bool to be 0 or 1 and drops
// bounds checks on the strength of that, so a peer that stores a 3 could make
// us read out of range.
func CheckPlain[T any]() error {
	t := reflect.TypeFor[T]()
	return checkPlain(t, t.String())
}

func checkPlain(t reflect.Type, path string) error {
	switch t.Kind() {
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64, reflect.Int,
		reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uint,
		reflect.Float32, reflect.Float64, reflect.Complex64, reflect.Complex128:
		return nil
	case reflect.Array:
		return checkPlain(t.Elem(), path+"[…]")
	case reflect.Struct:
		for i := range t.NumField() {
			f := t.Field(i)
			if err := checkPlain(f.Type, path+"."+f.Name); err != nil {
				return err
			}
		}
		return nil
	default:
		return fmt.Errorf("%s is a %s and cannot be shared", path, t.Kind())
	}
}
