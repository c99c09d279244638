package proc

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"strconv"

	"github.com/sluice-ipc/sluice/internal/codec"
	"github.com/sluice-ipc/sluice/internal/sys"
	"github.com/sluice-ipc/sluice/shm"
)

// envProc tells a child on what it was started.
const envProc = "SLUICE_PROC"

// argName is the name under which a handle is passed.
func argName(i int) string { return "proc.arg." + strconv.Itoa(i) }

// dataName is that of the segment with the arguments that are data.
const dataName = "proc.data"

// Start starts the child. It fails if there is no such function
// ([ErrNotRegistered]), the arguments do not fit it ([ArgumentError]), one of
// them cannot be passed, as an end of a connection that is in use, or the
// program cannot be started. It can be called once, also when it fails.
//
// Handles go to the child now: those that move, like the ends of a connection,
// are closed here, all others can be used by both. The same handle given twice
// is one handle in the child too. If Start fails with one of the two errors
// above, every argument is as it was; otherwise those that had moved by then
// have died, and their peers see that.
func (p *Process) Start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.started {
		return fmt.Errorf("%w: %s", ErrStarted, p.name)
	}
	p.started = true
	c, err := p.prepare()
	if err != nil {
		p.Cmd.Err = err // starting it closes what was passed, and nothing else
	}
	err = shm.Start(p.Cmd)
	c.alive.Close()
	p.args = nil // so that they can be garbage before this process is
	if err != nil {
		c.report.Close()
		c.life.Close()
		p.failed = p.startError(err)
		close(p.done)
		return p.failed
	}
	go p.wait(c)
	return nil
}

// startError names the function, once.
func (p *Process) startError(err error) error {
	var a *ArgumentError
	if errors.As(err, &a) || errors.Is(err, ErrNotRegistered) {
		return err
	}
	return fmt.Errorf("proc: start %s: %w", p.name, err)
}

// prepare makes all that the child gets.
func (p *Process) prepare() (c channels, err error) {
	switch {
	case p.Cmd.Err != nil: // nothing need move for a program that is not there
		return c, p.Cmd.Err
	case wanted && !inMain.Load():
		return c, ErrNoMain
	}
	fn, err := lookup(p.name)
	if err != nil {
		return c, err
	}
	if err = fn.check(p.args); err != nil {
		return c, err
	}
	data, err := fn.encode(p.args)
	if err != nil {
		return c, err
	}
	if c, err = open(p.name); err != nil {
		return c, err
	}
	v := url.Values{}
	v.Set("func", p.name)
	v.Set("report", strconv.Itoa(p.extra(c.report)))
	v.Set("life", strconv.Itoa(p.extra(c.alive)))
	v.Set("detached", strconv.FormatBool(p.Detached))
	err = p.passData(data)
	for i := 0; i < len(p.args) && err == nil; i++ {
		if fn.isHandle(i) {
			err = p.pass(i, v)
		}
	}
	p.Cmd.Env = append(p.Cmd.Environ(), envProc+"="+v.Encode())
	return c, err
}

// channels are what parent and child have between them besides the arguments.
type channels struct {
	report      *os.File // where the child says what became of its function
	life, alive *os.File // the two ends of the pipe that ends when we do
}

func open(name string) (c channels, err error) {
	fd, err := sys.MemfdCreate("report of " + name)
	if err != nil {
		return c, err
	}
	c.report = os.NewFile(uintptr(fd), "report")
	c.alive, c.life, err = os.Pipe()
	return c, err
}

// extra adds a file for the child and returns its descriptor there.
func (p *Process) extra(f *os.File) int {
	p.Cmd.ExtraFiles = append(p.Cmd.ExtraFiles, f)
	return 2 + len(p.Cmd.ExtraFiles)
}

// pass passes argument i, and notes in v which of those passed it is: the first
// one that is this very handle.
func (p *Process) pass(i int, v url.Values) error {
	for j, a := range p.args[:i] {
		if same(a, p.args[i]) {
			v.Set(argName(i), strconv.Itoa(j))
			return nil
		}
	}
	v.Set(argName(i), strconv.Itoa(i))
	return shm.Pass(p.Cmd, argName(i), p.args[i].(shm.Handle))
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
	s, err := shm.Anonymous("arguments of "+p.name, &shm.Options{
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
	report, err2 := readReport(c.report)
	c.report.Close()
	c.life.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.report, p.state = report, p.Cmd.ProcessState
	if _, exited := errors.AsType[*exec.ExitError](err); !exited {
		err2 = errors.Join(err, err2) // its output did not arrive
	}
	if err2 != nil {
		p.failed = fmt.Errorf("proc: wait for %s: %w", p.name, err2)
	}
	close(p.done)
}
