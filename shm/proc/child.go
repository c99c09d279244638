package proc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/signal"
	"reflect"
	"runtime/debug"
	"strconv"
	"sync/atomic"
	"syscall"

	"github.com/sluice-ipc/sluice/internal/codec"
	"github.com/sluice-ipc/sluice/internal/sys"
	"github.com/sluice-ipc/sluice/shm"
)

// In a child: what it was started on. inMain says that Main has seen it.
var (
	wanted bool
	order  url.Values
	inMain atomic.Bool
)

// init keeps children of this child from being taken for it, and from keeping
// its pipes open.
func init() {
	env, ok := os.LookupEnv(envProc)
	if !ok {
		return
	}
	os.Unsetenv(envProc)
	wanted = true
	order, _ = url.ParseQuery(env)
	for _, name := range []string{"report", "life"} {
		if fd, err := strconv.Atoi(order.Get(name)); err == nil && fd > 2 {
			sys.SetCloexec(fd)
		}
	}
}

// A report is what a child says of its function when that is over.
type report struct{ Err, Panic, Stack string }

// Main runs the function in a child that was started on one, and does not return
// then: the process exits with 0, or with 1 if the function returned an error
// and 2 if it panicked. In any other process it does nothing.
//
// It is the first statement of main, or of TestMain.
func Main() {
	if !wanted {
		return
	}
	inMain.Store(true)
	os.Exit(run())
}

// run returns the exit code.
func run() int {
	out, err1 := file("report")
	life, err2 := file("life")
	if err := errors.Join(err1, err2); err != nil {
		fmt.Fprintln(os.Stderr, "proc:", err)
		return 1
	}
	if order.Get("detached") != "true" {
		go dieWith(life)
	}
	r, code := call(order.Get("func"))
	if code != 0 {
		if b, err := codec.CBOR.MarshalAppend(nil, r); err == nil {
			out.Write(b)
		}
	}
	return code
}

func file(name string) (*os.File, error) {
	fd, err := strconv.Atoi(order.Get(name))
	if err != nil || fd < 3 {
		return nil, fmt.Errorf("descriptor %q of %s: %w", order.Get(name), name, os.ErrInvalid)
	}
	return os.NewFile(uintptr(fd), name), nil
}

// dieWith ends this process when the other end of the pipe is gone.
func dieWith(life *os.File) {
	io.Copy(io.Discard, life)
	if self, err := os.FindProcess(os.Getpid()); err == nil {
		self.Kill()
	}
}

// call runs the function and says what became of it.
func call(name string) (r report, code int) {
	fn, err := lookup(name)
	var in []reflect.Value
	if err == nil {
		in, err = fn.arguments()
	}
	if err != nil {
		return report{Err: err.Error()}, 1
	}
	if fn.ctx {
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		defer stop()
		in = append([]reflect.Value{reflect.ValueOf(ctx)}, in...)
	}
	defer func() {
		if p := recover(); p != nil {
			r, code = report{Panic: fmt.Sprint(p), Stack: string(debug.Stack())}, 2
			fmt.Fprintf(os.Stderr, "panic: %s\n\n%s", r.Panic, r.Stack)
		}
	}()
	for _, out := range fn.v.Call(in) {
		err, _ = out.Interface().(error)
	}
	if err = errors.Join(err, closeAll(in)); err != nil {
		return report{Err: err.Error()}, 1
	}
	return report{}, 0
}

// closeAll closes the handles that a function was given and did not close, so
// that the process leaves instead of dying. A function that panics dies.
func closeAll(in []reflect.Value) (err error) {
	for _, v := range in {
		if !isHandle(v.Type()) {
			continue
		}
		if c, ok := v.Interface().(io.Closer); ok {
			err = errors.Join(err, c.Close())
		}
	}
	return err
}

// arguments receives what Start passed.
func (fn *function) arguments() ([]reflect.Value, error) {
	data, err := fn.data()
	if err != nil {
		return nil, fmt.Errorf("proc: arguments of %s: %w", fn.name, err)
	}
	in := make([]reflect.Value, len(fn.params))
	for i, t := range fn.params {
		if !isHandle(t) {
			in[i], data = data[0], data[1:]
			continue
		}
		h, err := reflect.Zero(t).Interface().(shm.Inheritor).Inherit(argName(i))
		if err != nil {
			return nil, &ArgumentError{fn.name, i, err.Error()}
		}
		in[i] = reflect.ValueOf(h)
	}
	return in, nil
}

// data receives the arguments that are no handles, each as its parameter's type.
func (fn *function) data() ([]reflect.Value, error) {
	var types []reflect.Type
	for _, t := range fn.params {
		if !isHandle(t) {
			types = append(types, t)
		}
	}
	if len(types) == 0 {
		return nil, nil
	}
	s, _, err := shm.Inherited(dataName, nil)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	var parts [][]byte
	if err := codec.CBOR.Unmarshal(s.Data(), &parts); err != nil {
		return nil, err
	}
	if len(parts) != len(types) {
		return nil, fmt.Errorf("%d are data, want %d", len(parts), len(types))
	}
	values := make([]reflect.Value, len(types))
	for i, t := range types {
		v := reflect.New(t)
		if err := codec.CBOR.Unmarshal(parts[i], v.Interface()); err != nil {
			return nil, err
		}
		values[i] = v.Elem()
	}
	return values, nil
}
