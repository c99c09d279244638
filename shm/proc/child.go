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
		if fd, err := descriptor(name); err == nil {
			sys.SetCloexec(fd)
		}
	}
	// Main may come late, or never.
	if fd, err := descriptor("life"); err == nil {
		life := os.NewFile(uintptr(fd), "life")
		if order.Get("detached") == "true" {
			life.Close()
		} else {
			go dieWith(life)
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
	fd, err1 := descriptor("report")
	_, err2 := descriptor("life")
	if err := errors.Join(err1, err2); err != nil {
		fmt.Fprintln(os.Stderr, "proc:", err)
		os.Exit(1)
	}
	out := os.NewFile(uintptr(fd), "report")
	out.Write([]byte{begun})
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

// descriptor returns that of one of the files which Start gave to this child.
func descriptor(name string) (int, error) {
	fd, err := strconv.Atoi(order.Get(name))
	if err != nil || fd < 3 {
		return -1, fmt.Errorf("descriptor %q of %s: %w", order.Get(name), name, os.ErrInvalid)
	}
	return fd, nil
}

// dieWith ends this process when the other end of the pipe is gone. Only by a
// signal is everything over at once, but the first process of a PID namespace
// does not get those that it sends to itself: it exits.
func dieWith(life *os.File) {
	io.Copy(io.Discard, life)
	if self, err := os.FindProcess(os.Getpid()); err == nil {
		self.Kill()
	}
	os.Exit(137) // as a shell says SIGKILL
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
		// The same handle given twice arrives once.
		if j, err := strconv.Atoi(order.Get(argName(i))); err == nil && 0 <= j && j < i {
			args[i] = args[j]
			continue
		}
		if fn.isHandle(i) {
			args[i], err = inherit(t, argName(i))
		} else {
			args[i], err = decode(t, data[0])
			data = data[1:]
		}
		if err != nil {
			return nil, &ArgumentError{fn.name, i, "did not arrive: " + err.Error()}
		}
	}
	return append(in, args...), nil
}

// inherit receives a handle.
func inherit(t reflect.Type, name string) (reflect.Value, error) {
	h, err := reflect.Zero(t).Interface().(shm.Inheritor).Inherit(name)
	if err == nil && reflect.TypeOf(h) != t {
		// Its Inherit is that of a handle embedded in it.
		err = fmt.Errorf("it is a %T, want a %v, which needs an Inherit method of its own", h, t)
	}
	return reflect.ValueOf(h), err
}

// decode makes an argument of its CBOR.
func decode(t reflect.Type, b []byte) (reflect.Value, error) {
	v := reflect.New(t)
	err := codec.CBOR.Unmarshal(b, v.Interface())
	return v.Elem(), err
}

// data receives the arguments that are no handles, each as CBOR.
func (fn *function) data() (parts [][]byte, err error) {
	want := 0
	for i := range fn.params {
		if !fn.isHandle(i) {
			want++
		}
	}
	if want == 0 {
		return nil, nil
	}
	s, _, err := shm.Inherited(dataName, nil)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	if err := codec.CBOR.Unmarshal(s.Data(), &parts); err != nil {
		return nil, err
	}
	if len(parts) != want {
		return nil, fmt.Errorf("%d are data, want %d", len(parts), want)
	}
	return parts, nil
}
