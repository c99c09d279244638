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

// Main runs the function in a child that was started on one, and does not return
// then: the process exits with 0, or with 1 if the function returned an error
// and 2 if it panicked. In any other process it does nothing.
//
// It is the first statement of main, or of TestMain. What stands before it is
// done by every child too, which has no command line: flag.Parse there finds no
// flags, and a program that asks for some would end.
func Main() {
	if !wanted {
		return
	}
	inMain.Store(true)
	out, err1 := file("report")
	life, err2 := file("life")
	if err := errors.Join(err1, err2); err != nil {
		fmt.Fprintln(os.Stderr, "proc:", err)
		os.Exit(1)
	}
	out.Write([]byte{begun})
	if order.Get("detached") != "true" {
		go dieWith(life)
	}
	// Panics of other goroutines and the runtime's own errors come by here.
	debug.SetCrashOutput(out, debug.CrashOptions{})
	run(order.Get("func"), func(r report, code int) {
		debug.SetCrashOutput(nil, debug.CrashOptions{})
		if code != 0 {
			out.Write(r.bytes())
		}
		os.Exit(code)
	})
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

// run runs the function and exits with what became of it.
func run(name string, exit func(report, int)) {
	fn, err := lookup(name)
	var in []reflect.Value
	if err == nil {
		if fn.ctx {
			in = append(in, reflect.ValueOf(untilSignal()))
		}
		in, err = fn.receive(in)
	}
	if err == nil {
		err = fn.call(in, exit)
	}
	if err == nil {
		err = closeAll(in)
	} else {
		closeAll(in)
	}
	if err != nil {
		exit(report{Err: err.Error()}, 1)
	}
	exit(report{}, 0)
}

// call calls the function. If it does not return, the process exits here: a
// panic leaves its handles as a death does.
func (fn *function) call(in []reflect.Value, exit func(report, int)) (err error) {
	returned := false
	defer func() {
		if returned {
			return
		}
		r := report{Panic: "the function called runtime.Goexit", Stack: string(debug.Stack())}
		if p := recover(); p != nil {
			r.Panic = fmt.Sprint(p)
		}
		fmt.Fprintf(os.Stderr, "panic: %s\n\n%s", r.Panic, r.Stack)
		exit(r, 2)
	}()
	for _, out := range fn.v.Call(in) {
		err, _ = out.Interface().(error)
	}
	returned = true
	return err
}

// untilSignal returns the context of the function. It is cancelled by SIGTERM,
// and by Ctrl-C, which the terminal sends to children too: whether the parent
// ends then, or ends them in order, is the parent's business. The signals stay
// caught for as long as the process lives.
func untilSignal() context.Context {
	signals := []os.Signal{syscall.SIGTERM}
	if !signal.Ignored(os.Interrupt) { // as under nohup: so it remains
		signals = append(signals, os.Interrupt)
	}
	ctx, _ := signal.NotifyContext(context.Background(), signals...)
	return ctx
}

// closeAll closes the handles that a function was given and did not close, so
// that the process leaves instead of dying.
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

// receive appends what Start passed to in.
func (fn *function) receive(in []reflect.Value) ([]reflect.Value, error) {
	data, err := fn.data()
	if err != nil {
		return nil, fmt.Errorf("proc: arguments of %s: %w", fn.name, err)
	}
	args := make([]reflect.Value, len(fn.params))
	for i, t := range fn.params {
		if !fn.isHandle(i) {
			args[i], data = data[0], data[1:]
			continue
		}
		// The same handle given twice arrives once.
		if j, err := strconv.Atoi(order.Get(argName(i))); err == nil && 0 <= j && j < i {
			args[i] = args[j]
			continue
		}
		h, err := reflect.Zero(t).Interface().(shm.Inheritor).Inherit(argName(i))
		if err != nil {
			return nil, &ArgumentError{fn.name, i, "did not arrive: " + err.Error()}
		}
		args[i] = reflect.ValueOf(h)
	}
	return append(in, args...), nil
}

// data receives the arguments that are no handles, each as its parameter's type.
func (fn *function) data() ([]reflect.Value, error) {
	var values []reflect.Value
	for i, t := range fn.params {
		if !fn.isHandle(i) {
			values = append(values, reflect.New(t))
		}
	}
	if len(values) == 0 {
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
	if len(parts) != len(values) {
		return nil, fmt.Errorf("%d are data, want %d", len(parts), len(values))
	}
	for i, v := range values {
		if err := codec.CBOR.Unmarshal(parts[i], v.Interface()); err != nil {
			return nil, err
		}
		values[i] = v.Elem()
	}
	return values, nil
}
