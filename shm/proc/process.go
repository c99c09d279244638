package proc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"

	"github.com/sluice-ipc/sluice/internal/codec"
	"github.com/sluice-ipc/sluice/internal/sys"
	"github.com/sluice-ipc/sluice/shm"
)

// Process is a child of this program that runs one registered function. Its
// methods may be called by many goroutines at a time.
type Process struct {
	// Cmd is how the child is started. It may be changed before Start: its
	// output (by default this process's own), input, environment (only added
	// to), directory, attributes. What was passed to it with shm.Pass before
	// Start, the function can have with shm.Inherited and its like.
	Cmd *exec.Cmd

	// Detached lets the child outlive this process. Otherwise it is killed,
	// with SIGKILL by its own hand, when this process ends, however that
	// happens. It is set before Start.
	Detached bool

	fn   string
	args []any

	mu      sync.Mutex
	started bool
	report  []byte // what the child said of its function
	state   *os.ProcessState
	failed  error // why it is not known how the child ended
	done    chan struct{}
}

// envProc tells a child on what it was started.
const envProc = "SLUICE_PROC"

// argName is the name under which a handle is passed.
func argName(i int) string { return "proc.arg." + strconv.Itoa(i) }

// dataName is that of the segment with the arguments that are data.
const dataName = "proc.data"

// maxReport bounds what the child says at its end.
const maxReport = 1 << 20

// New prepares a child that will run the function registered under that name
// with the arguments. Start starts it.
//
// Handles go to the child when it is started: those that move, like the ends of
// a connection, are closed here then, all others can be used by both.
func New(name string, args ...any) *Process {
	exe, err := os.Executable()
	cmd := exec.Command(exe)
	if err != nil {
		cmd.Err = err
	}
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return &Process{Cmd: cmd, fn: name, args: args, done: make(chan struct{})}
}

// Start is New and [Process.Start].
func Start(name string, args ...any) (*Process, error) {
	p := New(name, args...)
	return p, p.Start()
}

// Start starts the child. It fails if there is no such function, the arguments
// do not fit ([ArgumentError]), or one of them cannot be passed.
func (p *Process) Start() (err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.started {
		return ErrStarted
	}
	if wanted && !inMain.Load() {
		return ErrNoMain
	}
	fn, err := lookup(p.fn)
	if err == nil {
		err = fn.check(p.args)
	}
	if err != nil {
		return err
	}
	p.started = true
	// Whatever fails from here on, nothing is left open but what was passed
	// and had moved, which is gone: its peers see that.
	c, err := p.open()
	if err != nil {
		return p.fail(err)
	}
	if err = p.pass(fn); err != nil {
		p.Cmd.Err = err // starting it closes what was passed, and nothing else
	}
	err = shm.Start(p.Cmd)
	c.alive.Close()
	if err != nil {
		c.report.Close()
		c.life.Close()
		return p.fail(err)
	}
	go p.wait(c)
	return nil
}

// fail notes that the child never was.
func (p *Process) fail(err error) error {
	p.failed = fmt.Errorf("proc: start %s: %w", p.fn, err)
	close(p.done)
	return p.failed
}

// channels are what parent and child have between them besides the arguments.
type channels struct {
	report      *os.File // where the child says what became of its function
	life, alive *os.File // the two ends of the pipe that ends when we do
}

// open makes them and tells the child of them.
func (p *Process) open() (c channels, err error) {
	fd, err := sys.MemfdCreate("report of " + p.fn)
	if err != nil {
		return c, err
	}
	c.report = os.NewFile(uintptr(fd), "report")
	if c.alive, c.life, err = os.Pipe(); err != nil {
		c.report.Close()
		return c, err
	}
	v := url.Values{}
	v.Set("func", p.fn)
	v.Set("report", strconv.Itoa(p.extra(c.report)))
	v.Set("life", strconv.Itoa(p.extra(c.alive)))
	v.Set("detached", strconv.FormatBool(p.Detached))
	p.Cmd.Env = append(p.Cmd.Environ(), envProc+"="+v.Encode())
	return c, nil
}

// extra adds a file for the child and returns its descriptor there.
func (p *Process) extra(f *os.File) int {
	p.Cmd.ExtraFiles = append(p.Cmd.ExtraFiles, f)
	return 2 + len(p.Cmd.ExtraFiles)
}

// pass gives the arguments to the child.
func (p *Process) pass(fn *function) error {
	// Data first: when it cannot be encoded, no handle has moved yet.
	var data [][]byte
	for i, a := range p.args {
		if isHandle(fn.params[i]) {
			continue
		}
		b, err := codec.CBOR.MarshalAppend(nil, a)
		if err != nil {
			return &ArgumentError{p.fn, i, err.Error()}
		}
		data = append(data, b)
	}
	if err := p.passData(data); err != nil {
		return err
	}
	for i, a := range p.args {
		if isHandle(fn.params[i]) {
			if err := shm.Pass(p.Cmd, argName(i), a.(shm.Handle)); err != nil {
				return err
			}
		}
	}
	return nil
}

// passData passes the arguments that are no handles in a segment of their own,
// which the child closes when it has read them.
func (p *Process) passData(data [][]byte) error {
	if len(data) == 0 {
		return nil
	}
	b, err := codec.CBOR.MarshalAppend(nil, data)
	if err != nil {
		return err
	}
	s, err := shm.Anonymous("arguments of "+p.fn, &shm.Options{
		Size: int64(len(b)), MaxParticipants: 2,
		Init: func(to []byte) error { copy(to, b); return nil },
	})
	if err != nil {
		return err
	}
	return errors.Join(shm.Pass(p.Cmd, dataName, s), s.Close())
}

// wait is the goroutine that waits for the child's end.
func (p *Process) wait(c channels) {
	err := p.Cmd.Wait()
	report, err2 := io.ReadAll(io.NewSectionReader(c.report, 0, maxReport))
	c.report.Close()
	c.life.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.report, p.state = report, p.Cmd.ProcessState
	if p.state == nil || err2 != nil {
		p.failed = fmt.Errorf("proc: wait for %s: %w", p.fn, errors.Join(err, err2))
	}
	close(p.done)
}

// Wait waits for the child to end. It returns nil if the function returned nil,
// an [ExitError] if it did not, and the context's error if that is done first:
// the child then lives on.
func (p *Process) Wait(ctx context.Context) error {
	if !p.isStarted() {
		return ErrNotStarted
	}
	select {
	case <-p.done:
	default:
		select {
		case <-p.done:
		case <-ctx.Done():
			return fmt.Errorf("proc: wait for %s: %w", p.fn, ctx.Err())
		}
	}
	return p.result()
}

func (p *Process) isStarted() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.started
}

// Done is closed when the child has ended and been reaped, or could not be
// started.
func (p *Process) Done() <-chan struct{} { return p.done }

// result says how the child ended.
func (p *Process) result() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.failed != nil {
		return p.failed
	}
	if p.state.Success() {
		return nil
	}
	e := &ExitError{Func: p.fn, Pid: p.state.Pid(), Code: p.state.ExitCode()}
	if ws, ok := p.state.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		e.Signal = ws.Signal()
	}
	var r report
	if codec.CBOR.Unmarshal(p.report, &r) == nil {
		e.Err, e.Panic, e.Stack = r.Err, r.Panic, r.Stack
	}
	return e
}

// ExitCode returns the exit code, and -1 while the child lives or when a signal
// ended it.
func (p *Process) ExitCode() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state == nil {
		return -1
	}
	return p.state.ExitCode()
}

// Alive reports whether the child has been started and has not ended.
func (p *Process) Alive() bool {
	select {
	case <-p.done:
		return false
	default:
		return p.isStarted()
	}
}

// Pid returns the child's process id, and 0 before Start.
func (p *Process) Pid() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.Cmd.Process == nil {
		return 0
	}
	return p.Cmd.Process.Pid
}

// Kill ends the child with SIGKILL, which it cannot notice. It does not wait. A
// child that has ended is no error.
func (p *Process) Kill() error { return p.Signal(os.Kill) }

// Terminate asks the child to end, with SIGTERM: the context of its function is
// cancelled. A function without a context is ended by the signal.
func (p *Process) Terminate() error { return p.Signal(syscall.SIGTERM) }

// Signal sends a signal to the child. A child that has ended is no error.
func (p *Process) Signal(sig os.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.Cmd.Process == nil {
		return ErrNotStarted
	}
	err := p.Cmd.Process.Signal(sig)
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}

// String says what the child is and how it is.
func (p *Process) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case !p.started:
		return fmt.Sprintf("proc.Process(%s, not started)", p.fn)
	case p.state != nil:
		return fmt.Sprintf("proc.Process(%s, %v)", p.fn, p.state)
	case p.failed != nil:
		return fmt.Sprintf("proc.Process(%s, failed)", p.fn)
	}
	return fmt.Sprintf("proc.Process(%s, process %d)", p.fn, p.Cmd.Process.Pid)
}
