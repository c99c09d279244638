package main

import (
	"errors"
	"os"
	"slices"

	"github.com/sluice-ipc/sluice/shm"
)

// impls are all that can be measured, in the order of the report.
var impls []*impl

// init, because what is listed here looks things up in the list.
func init() {
	impls = []*impl{
		pipeImpl,
		pipeBatchImpl,
		pipeConnImpl,
		queueImpl,
		queueBatchImpl,
		queueUnharmedImpl,
		unixImpl,
		unixpacketImpl,
		ospipeImpl,
		chanImpl,
		pythonImpl,
		bareImpl,
		futexImpl,
		memcpyImpl,
		mutexCountImpl,
		valueCountImpl,
		pythonCountImpl,
		mutexOps,
		syncMutexOps,
		rlockOps,
		syncRLockOps,
		semaphoreOps,
		loadOps,
		atomicLoadOps,
		addOps,
		atomicAddOps,
		recordLoadOps,
		recordUpdateOps,
	}
}

// An impl is one way for two processes to exchange messages.
type impl struct {
	name      string
	benches   []string
	waits     []string
	solo      bool  // the first process does all the work
	program   bool  // solo, and has another program do it
	inProcess bool  // solo, and therefore to be marked in the report
	unharmed  bool  // nobody is killed, for comparison
	only      []int // the sizes that it has; nil: any
	max       int   // its largest size; 0: any

	// share makes, in the parent, what the processes have in common. nil:
	// nothing.
	share func(s spec) (*shared, error)

	// open makes a child's end out of the files that share handed to it.
	open func(s spec, side int, files []*os.File) (endpoint, error)
}

// shared is what the parent holds for the processes of one measurement. All that
// are on one side get the same.
type shared struct {
	files   [2][]*os.File   // per side, inherited
	handles [2][]shm.Handle // likewise, found by their names: see handleName
	release func()          // what is left to do when the children are gone
}

// close gives up the parent's copies. The children have theirs.
func (s *shared) close() {
	if s == nil {
		return
	}
	for _, side := range s.files {
		for _, f := range side {
			f.Close() // nothing was written through it
		}
	}
	if s.release != nil {
		s.release()
	}
}

// An endpoint is one process's end. Its methods are whole loops, so that an
// implementation's own calls are not hidden behind an indirect one. Each call
// exchanges n messages, numbered from 0.
type endpoint interface {
	ping(rec *recorder, n int) error // send, await the answer, record the time
	echo(n int) error                // await, then answer
	send(n int) error
	recv(n int) error
	close() error
}

// unable is an endpoint that can do nothing: the part that others embed for
// what they lack.
type unable struct{}

func (unable) ping(*recorder, int) error { return errors.ErrUnsupported }
func (unable) echo(int) error            { return errors.ErrUnsupported }
func (unable) send(int) error            { return errors.ErrUnsupported }
func (unable) recv(int) error            { return errors.ErrUnsupported }
func (unable) close() error              { return nil }

// implNamed returns nil if there is none.
func implNamed(name string) *impl {
	if i := implIndex(name); i >= 0 {
		return impls[i]
	}
	return nil
}

func implIndex(name string) int {
	return slices.IndexFunc(impls, func(im *impl) bool { return im.name == name })
}

// sizesOf returns those of the sizes that im can carry, or its own.
func (im *impl) sizesOf(sizes []int) []int {
	if im.only != nil {
		return im.only
	}
	var fit []int
	for _, n := range sizes {
		if im.max == 0 || n <= im.max {
			fit = append(fit, n)
		}
	}
	return fit
}

// pinned reports whether each process is to stay on a CPU of its own. One that
// holds both ends, or that runs as users would run it, may use both, and so may
// those of a fan-in, of which there are mostly more than CPUs. Those that count
// stay, for on one CPU they would not meet.
func (im *impl) pinned(s spec) bool {
	if s.Bench == benchCount {
		return !im.program
	}
	return !im.threads(s) && !s.fan()
}

// threads reports whether a process is to run on two CPUs at a time.
func (im *impl) threads(s spec) bool {
	return s.Wait == waitAdaptive || im.inProcess || im.program
}
