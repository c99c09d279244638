package proc

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"sync"

	"github.com/sluice-ipc/sluice/shm"
)

// functions are those that children can be started on.
var functions struct {
	sync.Mutex
	m map[string]*function
}

// A function is what Register was given.
type function struct {
	name   string
	v      reflect.Value
	ctx    bool           // its first parameter is a context
	params []reflect.Type // the others
}

var (
	contextType  = reflect.TypeFor[context.Context]()
	errorType    = reflect.TypeFor[error]()
	handleType   = reflect.TypeFor[shm.Handle]()
	heirType     = reflect.TypeFor[shm.Inheritor]()
	nothingTypes = []reflect.Kind{reflect.Chan, reflect.Func, reflect.UnsafePointer}
)

// Register gives a function a name under which children can be started on it. It
// is called when the program begins, by an init function or for a variable of
// the package, in the parent as in the child.
//
// f may take a context first, which is cancelled by SIGTERM (see
// [Process.Terminate]). Its other parameters are handles of shared memory, such
// as *ring.Queue[int], *conn.Conn, *value.Array[int32], *lock.Mutex and
// *shm.Segment, or data, which is copied by way of CBOR. It may return an error.
//
// Register panics when f is not such a function or the name is taken.
func Register(name string, f any) {
	fn, err := describe(name, f)
	if err != nil {
		panic(err)
	}
	functions.Lock()
	defer functions.Unlock()
	if functions.m[name] != nil {
		panic(fmt.Errorf("proc: a function %q is registered already", name))
	}
	if functions.m == nil {
		functions.m = make(map[string]*function)
	}
	functions.m[name] = fn
}

func describe(name string, f any) (*function, error) {
	v := reflect.ValueOf(f)
	if name == "" || v.Kind() != reflect.Func || v.IsNil() || v.Type().IsVariadic() {
		return nil, fmt.Errorf("proc: register %q: %T is not a function that can be called by name", name, f)
	}
	fn, t := &function{name: name, v: v}, v.Type()
	if t.NumOut() > 1 || t.NumOut() == 1 && t.Out(0) != errorType {
		return nil, fmt.Errorf("proc: register %q: %T returns more than an error", name, f)
	}
	for i := range t.NumIn() {
		p := t.In(i)
		switch {
		case i == 0 && p == contextType:
			fn.ctx = true
			continue
		case p.Implements(handleType) && !p.Implements(heirType),
			p.Kind() == reflect.Interface && p.NumMethod() > 0,
			slices.Contains(nothingTypes, p.Kind()):
			return nil, fmt.Errorf("proc: register %q: parameter %d: a %v cannot be passed to another process", name, i, p)
		}
		fn.params = append(fn.params, p)
	}
	return fn, nil
}

func lookup(name string) (*function, error) {
	functions.Lock()
	defer functions.Unlock()
	if fn := functions.m[name]; fn != nil {
		return fn, nil
	}
	return nil, fmt.Errorf("%w: %q", ErrNotRegistered, name)
}

// check holds the arguments against the parameters.
func (fn *function) check(args []any) error {
	if len(args) != len(fn.params) {
		return &ArgumentError{fn.name, -1, fmt.Sprintf("%d arguments, want %d", len(args), len(fn.params))}
	}
	for i, a := range args {
		p := fn.params[i]
		if a == nil {
			if isHandle(p) || !nillable(p) {
				return &ArgumentError{fn.name, i, fmt.Sprintf("is nil, want %v", p)}
			}
			continue
		}
		t := reflect.TypeOf(a)
		switch {
		case !t.AssignableTo(p):
			return &ArgumentError{fn.name, i, fmt.Sprintf("is a %v, want %v", t, p)}
		case isHandle(p) && p.Kind() == reflect.Pointer && reflect.ValueOf(a).IsNil():
			return &ArgumentError{fn.name, i, fmt.Sprintf("is a nil %v", p)}
		case !isHandle(p) && t.Implements(handleType):
			return &ArgumentError{fn.name, i, fmt.Sprintf("is a %v, and the parameter a %v", t, p)}
		}
	}
	return nil
}

// isHandle reports whether a parameter is a handle of shared memory.
func isHandle(t reflect.Type) bool { return t.Implements(heirType) }

func nillable(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Pointer, reflect.Interface, reflect.Slice, reflect.Map:
		return true
	}
	return false
}
