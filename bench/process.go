package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/sluice-ipc/sluice/shm"
)

// A process is a child, seen from the parent.
type process struct {
	name    string // for errors: the measurement and the side
	cmd     *exec.Cmd
	orders  io.WriteCloser
	replies chan reply // closed when the child has closed its output
	errors  *tail
	once    sync.Once // for wait
}

// program finds the program of the children, which is this one.
var program = os.Executable

// startProcess starts this program again as a child. The files are inherited
// and stay the caller's; the handles are passed on.
func startProcess(r role, files []*os.File, handles []shm.Handle, procs int) (*process, error) {
	self, err := program()
	if err != nil {
		return nil, fmt.Errorf("bench: find own program: %w", err)
	}
	env, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	p := &process{
		name:    fmt.Sprintf("%v: process %d", r.Spec, r.Side),
		cmd:     exec.Command(self),
		replies: make(chan reply, 1),
		errors:  &tail{},
	}
	p.cmd.Env = append(os.Environ(), childEnv+"="+string(env),
		fmt.Sprintf("GOMAXPROCS=%d", procs))
	p.cmd.ExtraFiles = files
	p.cmd.Stderr = p.errors
	if p.orders, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	for i, h := range handles {
		if err := shm.Pass(p.cmd, handleName(i), h); err != nil {
			return nil, err
		}
	}
	if err := shm.Start(p.cmd); err != nil {
		return nil, fmt.Errorf("bench: start %s: %w", p.name, err)
	}
	go p.listen(out)
	return p, nil
}

// handleName is the name under which a child finds handle number i.
func handleName(i int) string { return fmt.Sprintf("bench-%d", i) }

// listen passes on what the child says until it says no more.
func (p *process) listen(out io.Reader) {
	defer close(p.replies)
	in := bufio.NewScanner(out)
	for in.Scan() {
		var r reply
		if err := json.Unmarshal(in.Bytes(), &r); err != nil {
			r = reply{Err: fmt.Sprintf("said %q", in.Bytes())}
		}
		p.replies <- r
	}
}

func (p *process) order(o order) error {
	line, err := json.Marshal(o)
	if err != nil {
		return err
	}
	if _, err = p.orders.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("bench: %s: %w", p.name, err)
	}
	return nil
}

// await returns the child's next reply. A child that fails, dies or is silent
// until the watchdog barks is an error.
func (p *process) await(watchdog <-chan time.Time) (reply, error) {
	select {
	case r, more := <-p.replies:
		return r, p.failure(r, more)
	case <-watchdog:
		return reply{}, p.silent()
	}
}

// errSilent means that a child did not answer in time.
var errSilent = errors.New("no answer")

// silent is the error of a child that has not answered. It is asked for the
// stacks of its goroutines, which ends it.
func (p *process) silent() error {
	threads := threadsOf(p.cmd.Process.Pid)
	if p.cmd.Process.Signal(syscall.SIGQUIT) == nil {
		p.gone(askGrace)
	}
	return fmt.Errorf("bench: %s: %w%s%s", p.name, errSilent, threads, p.errors)
}

// askGrace is for a child that does not even die when it is asked to.
const askGrace = 10 * time.Second

// threadsOf says what the threads of a process do, where the system tells.
func threadsOf(pid int) (does string) {
	dirs, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
	for _, dir := range dirs {
		stat, _ := os.ReadFile(filepath.Join(dir, "stat"))
		wchan, _ := os.ReadFile(filepath.Join(dir, "wchan"))
		_, state, _ := strings.Cut(string(stat), ") ")
		does += fmt.Sprintf("; thread %s: %.1s %s", filepath.Base(dir), state, wchan)
	}
	return does
}

// failure is the error in a reply, if there is one. Without a reply the child
// is dead.
func (p *process) failure(r reply, replied bool) error {
	switch {
	case !replied:
		p.wait() // so that all it wrote is there
		return fmt.Errorf("bench: %s died: %v%s", p.name, p.cmd.ProcessState, p.errors)
	case r.Err == "":
		return nil
	case r.Lacking:
		return fmt.Errorf("bench: %s: %s: %w", p.name, r.Err, errors.ErrUnsupported)
	}
	return fmt.Errorf("bench: %s: %s%s", p.name, r.Err, p.errors)
}

// stop ends the child: it is killed if it has not left within the time.
func (p *process) stop(grace time.Duration) {
	p.orders.Close()
	p.gone(grace)
}

// gone waits until the child is, and kills it after that time.
func (p *process) gone(grace time.Duration) {
	kill := time.AfterFunc(grace, func() { p.cmd.Process.Kill() })
	defer kill.Stop()
	for range p.replies { // so that it can leave
	}
	p.wait()
}

// wait collects the child, whose output has ended. How it ended is reported
// where that matters.
func (p *process) wait() { p.once.Do(func() { p.cmd.Wait() }) }

func lacking(err error) bool { return errors.Is(err, errors.ErrUnsupported) }

// tail keeps the end of what a child writes to its standard error.
type tail struct {
	mu  sync.Mutex
	end []byte
}

// tailSize is enough for a panic and the goroutines of a child.
const tailSize = 16 << 10

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.end = append(t.end, b...)
	if over := len(t.end) - tailSize; over > 0 {
		t.end = append(t.end[:0], t.end[over:]...)
	}
	return len(b), nil
}

// String is what there is to add to an error.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.end) == 0 {
		return ""
	}
	return "; it wrote:\n" + strings.TrimSpace(string(t.end))
}
