package proc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
)

// Process is a child of this program that runs one registered function. Its
// methods may be called by many goroutines at a time.
//
// There is nothing to close: when the child has ended and been reaped, which
// needs no call, this process holds nothing of it any more.
type Process struct {
	// Cmd is how the child is started. It may be changed before Start: its
	// input (none by default), its output (by default this process's own),
	// environment, directory, arguments and attributes. What was passed to it
	// with shm.Pass, the function can have with shm.Inherited and its like.
	//
	// Afterwards it is this package's, and must not be waited for. That is
	// why Cmd.StdoutPipe and Cmd.StderrPipe cannot be used; give it a buffer,
	// a file or the end of an os.Pipe. With a writer that is no file, the end
	// of the child is the end of its output, also of that from processes
	// which have inherited it and live on. With a reader as Cmd.Stdin that is
	// no file, Wait waits for what copies from it, too, which may be in a Read
	// that does not return. Cmd.WaitDelay bounds both.
	Cmd *exec.Cmd

	// Detached lets the child outlive this process. Otherwise it is killed,
	// with SIGKILL by its own hand, when this process ends or replaces itself
	// by exec, however that happens. It is set before Start.
	//
	// The output of a detached child should be a file: a pipe whose reader
	// has gone ends who writes to it.
	Detached bool

	name string
	args []any

	mu      sync.Mutex
	started bool
	report  []byte // what the child said of its function
	state   *os.ProcessState
	failed  error // why it is not known how the child ended
	done    chan struct{}
}

// New prepares a child that will run the function registered under that name
// with the arguments. Start starts it.
func New(name string, args ...any) *Process {
	exe, err := self()
	cmd := exec.Command(exe)
	if err != nil {
		cmd.Err = err
	}
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return &Process{Cmd: cmd, name: name, args: args, done: make(chan struct{})}
}

// self is the path of this program. One that has been replaced or removed since
// it was started, as when it was built again, can still be had from Linux: the
// child must be this program and no other.
func self() (string, error) {
	const link = "/proc/self/exe"
	if runtime.GOOS != "linux" {
		return os.Executable()
	}
	path, err := os.Readlink(link)
	if err != nil {
		return os.Executable()
	}
	if strings.HasSuffix(path, " (deleted)") {
		return link, nil
	}
	return path, nil
}

// Start is New and [Process.Start]. The process is nil if that fails.
func Start(name string, args ...any) (*Process, error) {
	p := New(name, args...)
	if err := p.Start(); err != nil {
		return nil, err
	}
	return p, nil
}

// Wait waits for the child to end. It returns nil if the function returned nil,
// or exited with code 0, an [ExitError] if it did not, and the context's error if
// that is done first: the child then lives on. It may be called many times.
func (p *Process) Wait(ctx context.Context) error {
	if !p.isStarted() {
		return fmt.Errorf("%w: %s", ErrNotStarted, p.name)
	}
	select {
	case <-p.done:
		return p.result()
	default:
	}
	select {
	case <-p.done:
		return p.result()
	case <-ctx.Done():
		return fmt.Errorf("proc: wait for %s: %w", p.name, ctx.Err())
	}
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
	return exitError(p.name, p.state, p.report)
}

// Name returns the name that the function is registered under.
func (p *Process) Name() string { return p.name }

// ExitCode returns the exit code, and -1 while there is none or when a signal
// ended the child.
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
	if !p.isStarted() { // asked first: a Start that fails is over then
		return false
	}
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// Pid returns the child's process id, and 0 when there never was a child.
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
// cancelled. A function without a context, or one that has not begun, is ended
// by the signal. It does not wait. A child that has ended is no error.
func (p *Process) Terminate() error { return p.Signal(syscall.SIGTERM) }

// Signal sends a signal to the child. A child that has ended is no error.
func (p *Process) Signal(sig os.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.Cmd.Process == nil {
		return fmt.Errorf("%w: %s", ErrNotStarted, p.name)
	}
	err := p.Cmd.Process.Signal(sig)
	if err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("proc: signal %s: %w", p.name, err)
	}
	return nil
}

// String says what the child is and how it is.
func (p *Process) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case !p.started:
		return fmt.Sprintf("proc.Process(%s, not started)", p.name)
	case p.state != nil:
		return fmt.Sprintf("proc.Process(%s, process %d, %v)", p.name, p.state.Pid(), p.state)
	case p.failed != nil:
		return fmt.Sprintf("proc.Process(%s, failed)", p.name)
	}
	return fmt.Sprintf("proc.Process(%s, process %d)", p.name, p.Cmd.Process.Pid)
}
