package main

import (
	"fmt"
	"os"
	"time"

	"github.com/sluice-ipc/sluice/shm"
)

// patience is how long a child may be silent beyond the time that its work is
// expected to take. It is for machines that are busy with something else: a
// dead child is noticed at once.
const patience = time.Minute

// A place is where processes run.
type place struct {
	cpus   []int // two; nil: the machine has one, or we cannot say
	canary bool
	seed   uint64 // of whom to kill
}

// A group is the processes of one measurement, all waiting for orders: two, or
// for fan-in as many producers and consumers as the spec says, producers first.
type group struct {
	spec  spec
	impl  *impl
	at    place
	procs []*process
	share *shared
	watch *os.File // the canary's memory; nil: no canary
	board *board   // nil but for fan-in and count
	phase int      // passes so far

	counted int // turns so far
}

// newGroup starts the processes and waits until all have opened their ends.
func newGroup(s spec, at place) (g *group, err error) {
	g = &group{spec: s, impl: implNamed(s.Impl), at: at}
	defer func() {
		if err != nil {
			g.close(0)
		}
	}()
	if at.canary {
		if g.watch, err = newMemory("canary", canaryMemory); err != nil {
			return g, err
		}
	}
	if (s.fan() || s.Bench == benchCount) && !g.impl.solo {
		if g.board, err = newBoard(s); err != nil {
			return g, err
		}
	}
	if g.impl.share != nil {
		if g.share, err = g.impl.share(s); err != nil {
			return g, fmt.Errorf("bench: %v: %w", s, err)
		}
	}
	producers, consumers := g.members()
	g.procs = make([]*process, producers+consumers)
	for i := range g.procs {
		if g.procs[i], err = g.start(i); err != nil {
			return g, err
		}
	}
	watchdog := time.After(patience)
	for _, c := range g.procs {
		if _, err = c.await(watchdog); err != nil {
			return g, err
		}
	}
	return g, nil
}

// members is how many processes there are on each side. The second of a solo
// implementation is there for the canary.
func (g *group) members() (producers, consumers int) {
	if g.impl.solo {
		return 1, 1
	}
	return g.spec.Producers, g.spec.Consumers
}

// position says which side process i is on, and its number there.
func (g *group) position(i int) (side, number int) {
	if producers, _ := g.members(); i >= producers {
		return 1, i - producers
	}
	return 0, i
}

// start starts process i.
func (g *group) start(i int) (*process, error) {
	side, number := g.position(i)
	r := role{Spec: g.spec, Side: side, Number: number}
	var files []*os.File
	var handles []shm.Handle
	if g.watch != nil && number == 0 {
		r.Canary = true
		files = append(files, g.watch)
	}
	if g.board != nil {
		r.Board = true
		files = append(files, g.board.f)
	}
	if g.share != nil {
		handles = g.share.handles[side]
		r.Files = len(g.share.files[side])
		files = append(files, g.share.files[side]...)
	}
	if cpus := g.at.cpus; cpus != nil {
		r.CPU, r.Stay = cpus[side], cpus
		if g.impl.pinned(g.spec) {
			r.Stay = cpus[side : side+1]
		}
	}
	procs := 1
	if g.at.two() && g.impl.threads(g.spec) {
		procs = 2
	}
	return startProcess(r, files, handles, procs)
}

// look is a canary. nil: there is none here.
func (g *group) look() (*sighting, error) {
	if g.watch == nil {
		return nil, nil
	}
	producers, _ := g.members()
	singers := []*process{g.procs[0], g.procs[producers]}
	for _, c := range singers {
		if err := c.order(order{Do: "canary"}); err != nil {
			return nil, err
		}
	}
	watchdog := time.After(patience)
	lead, err := singers[0].await(watchdog)
	if err != nil {
		return nil, err
	}
	if _, err := singers[1].await(watchdog); err != nil {
		return nil, err
	}
	return lead.Sighting, nil
}

// close ends the processes, by force when they are not gone in time.
func (g *group) close(grace time.Duration) {
	for _, c := range g.procs {
		if c != nil && grace > 0 {
			c.order(order{Do: doLeave}) // it may be dead: then it has left
		}
	}
	for _, c := range g.procs {
		if c != nil {
			c.stop(grace)
		}
	}
	g.share.close()
	g.board.close()
	if g.watch != nil {
		g.watch.Close()
	}
}
