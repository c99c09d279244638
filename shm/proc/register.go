package proc

import (
	"context"
	"fmt"
	"reflect"
	"sync"

	"github.com/sluice-ipc/sluice/internal/codec"
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
// [Process.Terminate]) and by Ctrl-C. Its other parameters are handles of shared
// memory, such as *ring.Queue[int], *conn.Conn, *value.Array[int32], *lock.Mutex
// and *shm.Segment, or data, which is copied by way of CBOR. Handles inside of
// data cannot be passed; a type that embeds a handle is one if it has an Inherit
// method of its own. It may return an error.
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
		panic(fmt.Errorf("proc: register %q: the name is taken", name))
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
		if i == 0 && p == contextType {
			fn.ctx = true
			continue
		}
		if !canPass(p) {
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
		if why := misfit(a, fn.params[i]); why != "" {
			return &ArgumentError{fn.name, i, why}
		}
	}
	return nil
}

// misfit says why an argument does not fit a parameter, and nothing if it does.
func misfit(a any, p reflect.Type) string {
	t := reflect.TypeOf(a)
	switch {
	case a == nil && (isHandle(p) || !nillable(p)):
		return fmt.Sprintf("is nil, want %v", p)
	case a == nil:
		return ""
	case !t.AssignableTo(p):
		return fmt.Sprintf("is %v, want %v", t, p)
	case isHandle(p) && reflect.ValueOf(a).IsZero():
		return fmt.Sprintf("is a %v that is nil", t)
	case isHandle(p):
		return ""
	}
	if err := newWalk().check(a); err != nil {
		return fmt.Sprintf("is %v %v, want %v, which is data", t, err, p)
	}
	return ""
}

// encode returns the arguments that are data, each as CBOR, of which it makes
// sure that the child can decode it.
func (fn *function) encode(args []any) ([][]byte, error) {
	var data [][]byte
	for i, a := range args {
		if fn.isHandle(i) {
			continue
		}
		b, err := codec.CBOR.MarshalAppend(nil, a)
		if err != nil {
			return nil, &ArgumentError{fn.name, i, fmt.Sprintf("is %T: %v", a, err)}
		}
		if _, err := decode(fn.params[i], b); err != nil {
			return nil, &ArgumentError{fn.name, i, fmt.Sprintf("is %T, which would not arrive: %v", a, err)}
		}
		data = append(data, b)
	}
	return data, nil
}

// isHandle reports whether argument i is a handle of shared memory.
func (fn *function) isHandle(i int) bool { return isHandle(fn.params[i]) }
