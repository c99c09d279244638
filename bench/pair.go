package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/sluice-ipc/sluice/shm"
)

// patience is how long a child may be silent beyond the time that its work is
// expected to take. It is for machines that are busy with something else: a
// dead child is noticed at once.
const patience = time.Minute

// A place is where a pair runs.
type place struct {
	cpus   []int // two, one for each process; nil: the machine has one, or we cannot say
	canary bool
}

// A pair is the two processes of one measurement, both waiting for orders.
type pair struct {
	spec  spec
	impl  *impl
	procs [2]*process
	share *shared
	watch *os.File // the canary's memory; nil: no canary
}

// newPair starts the two processes and waits until both have opened their
// ends.
func newPair(s spec, at place) (p *pair, err error) {
	p = &pair{spec: s, impl: implNamed(s.Impl)}
	defer func() {
		if err != nil {
			p.close(0)
		}
	}()
	if at.canary {
		if p.watch, err = newMemory("canary", canaryMemory); err != nil {
			return p, err
		}
	}
	if p.impl.share != nil {
		if p.share, err = p.impl.share(s); err != nil {
			return p, fmt.Errorf("bench: %v: %w", s, err)
		}
	}
	for side := range p.procs {
		if p.procs[side], err = p.start(side, at); err != nil {
			return p, err
		}
	}
	watchdog := time.After(patience)
	for _, c := range p.procs {
		if _, err = c.await(watchdog); err != nil {
			return p, err
		}
	}
	return p, nil
}

func (p *pair) start(side int, at place) (*process, error) {
	r := role{Spec: p.spec, Side: side, Canary: at.canary}
	var files []*os.File
	var handles []shm.Handle
	if at.canary {
		files = append(files, p.watch)
	}
	if p.share != nil {
		handles = p.share.handles[side]
		r.Files = len(p.share.files[side])
		files = append(files, p.share.files[side]...)
	}
	procs, pinned := 1, p.impl.pinned(p.spec)
	if !pinned && at.two() {
		procs = 2
	}
	if at.cpus != nil {
		r.CPU, r.Stay = at.cpus[side], at.cpus
		if pinned {
			r.Stay = at.cpus[side : side+1]
		}
	}
	return startProcess(r, files, handles, procs)
}

// look is a canary. nil: there is none here.
func (p *pair) look() (*sighting, error) {
	if p.watch == nil {
		return nil, nil
	}
	for _, c := range p.procs {
		if err := c.order(order{Do: "canary"}); err != nil {
			return nil, err
		}
	}
	watchdog := time.After(patience)
	lead, err := p.procs[0].await(watchdog)
	if err != nil {
		return nil, err
	}
	if _, err := p.procs[1].await(watchdog); err != nil {
		return nil, err
	}
	return lead.Sighting, nil
}

// A pass is n messages and what they cost.
type pass struct {
	n       int
	elapsed time.Duration
	cpu     time.Duration // of both processes
	mallocs uint64        // likewise
	trips   *quantiles    // of round trips only
}

// run exchanges n messages, which are expected to take so long.
func (p *pair) run(n int, expected time.Duration) (pass, error) {
	watchdog := time.After(patience + 10*expected)
	first, second := "ping", "echo"
	if p.spec.Bench == benchThroughput {
		first, second = "send", "recv"
	}
	if !p.impl.solo { // the receiver is there before anything is sent
		if err := p.procs[1].order(order{second, n}); err != nil {
			return pass{}, err
		}
		if _, err := p.procs[1].await(watchdog); err != nil {
			return pass{}, err
		}
	}
	if err := p.procs[0].order(order{first, n}); err != nil {
		return pass{}, err
	}
	said, err := p.outcome(watchdog)
	if err != nil {
		return pass{}, err
	}
	a, b := said[0], said[1]
	end := a.End
	if p.spec.Bench == benchThroughput {
		end = max(a.End, b.End)
	}
	return pass{
		n:       n,
		elapsed: time.Duration(max(end-a.Start, 1)),
		cpu:     time.Duration(a.CPU + b.CPU),
		mallocs: a.Mallocs + b.Mallocs,
		trips:   a.Trips,
	}, nil
}

// outcome awaits what the processes say at the end. Whoever fails leaves the
// other waiting, so both are listened to at once.
func (p *pair) outcome(watchdog <-chan time.Time) (said [2]reply, err error) {
	var from [2]<-chan reply // nil: nothing more to hear
	from[0] = p.procs[0].replies
	if !p.impl.solo {
		from[1] = p.procs[1].replies
	}
	for from[0] != nil || from[1] != nil {
		var r reply
		var more bool
		side := 0
		select {
		case r, more = <-from[0]:
		case r, more = <-from[1]:
			side = 1
		case <-watchdog:
			return said, p.silent(from)
		}
		if err := p.procs[side].failure(r, more); err != nil {
			return said, err
		}
		said[side], from[side] = r, nil
	}
	return said, nil
}

// silent says which of the processes have not answered in time.
func (p *pair) silent(from [2]<-chan reply) error {
	var errs []error
	for side, ch := range from {
		if ch != nil {
			errs = append(errs, p.procs[side].silent())
		}
	}
	return errors.Join(errs...)
}

// close ends both processes, by force when they are not gone in time.
func (p *pair) close(grace time.Duration) {
	for _, c := range p.procs {
		if c != nil && grace > 0 {
			c.order(order{Do: doLeave}) // it may be dead: then it has left
		}
	}
	for _, c := range p.procs {
		if c != nil {
			c.stop(grace)
		}
	}
	p.share.close()
	if p.watch != nil {
		p.watch.Close()
	}
}
