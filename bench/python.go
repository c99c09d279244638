package main

import (
	"bufio"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"
)

// pythonImpl is Python's multiprocessing.Queue between Python processes, which
// may use both CPUs: what sluice's queue is to replace.
var pythonImpl = &impl{
	name:    "python",
	benches: []string{benchThroughput, benchFanIn},
	waits:   []string{waitBlock},
	solo:    true,
	program: true,
	only:    []int{64},
	open:    openPython,
}

// pythonCountImpl is two Python processes that count under the lock of a
// multiprocessing.Value.
var pythonCountImpl = &impl{
	name:    "python-count",
	benches: []string{benchCount},
	waits:   []string{waitBlock},
	solo:    true,
	program: true,
	only:    []int{8},
	open:    openPython,
}

var (
	//go:embed python.py
	pythonQueue string

	//go:embed pythoncount.py
	pythonCount string
)

// pythonEnd has an interpreter at work.
type pythonEnd struct {
	unable
	size    int
	cmd     *exec.Cmd
	orders  io.WriteCloser
	answers *bufio.Reader
	took    time.Duration // by its own clock, without the start of processes
}

func openPython(s spec, side int, files []*os.File) (endpoint, error) {
	name, err := exec.LookPath("python3")
	if err != nil {
		return nil, fmt.Errorf("bench: %w: %w", err, errors.ErrUnsupported)
	}
	program := pythonQueue
	if s.Bench == benchCount {
		program = pythonCount
	}
	e := &pythonEnd{size: s.Size, cmd: exec.Command(name, "-c", program)}
	e.cmd.Stderr = os.Stderr
	if e.orders, err = e.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := e.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	e.answers = bufio.NewReader(out)
	if err := e.cmd.Start(); err != nil {
		return nil, err
	}
	return e, nil
}

func (e *pythonEnd) fan(c crew, each int) (t tally, err error) {
	if _, err := fmt.Fprintln(e.orders, c.producers, c.consumers, each, e.size); err != nil {
		return t, err
	}
	var seconds float64
	if _, err := fmt.Fscan(e.answers, &t.count, &t.sum, &seconds); err != nil {
		return t, fmt.Errorf("bench: python3 answers nothing: %w", err)
	}
	e.took = time.Duration(seconds * 1e9)
	return t, nil
}

func (e *pythonEnd) count(d time.Duration) (turns []int, last uint64, err error) {
	if _, err := fmt.Fprintln(e.orders, d.Seconds()); err != nil {
		return nil, 0, err
	}
	turns = make([]int, 2)
	var seconds float64
	if _, err := fmt.Fscan(e.answers, &turns[0], &turns[1], &last, &seconds); err != nil {
		return nil, 0, fmt.Errorf("bench: python3 answers nothing: %w", err)
	}
	e.took = time.Duration(seconds * 1e9)
	return turns, last, nil
}

func (e *pythonEnd) send(n int) error {
	t, err := e.fan(crew{1, 1}, n)
	if err != nil {
		return err
	}
	return t.check(1, n)
}

func (e *pythonEnd) lasted() time.Duration { return e.took }

func (e *pythonEnd) close() error {
	e.orders.Close()
	return e.cmd.Wait()
}
