package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/sluice-ipc/sluice/internal/mem"
	"github.com/sluice-ipc/sluice/internal/sys"
	"github.com/sluice-ipc/sluice/shm"
	"github.com/sluice-ipc/sluice/shm/lock"
)

// Two processes count together for some time, each as fast as it can: what a
// lock or a value costs where there is a rush for it, and how fairly the turns
// are divided. The number must be right in the end.

// A countEnd counts, until the time is over.
type countEnd interface {
	// count returns how many turns each process that it knows of has had, and
	// what the number was after the last one.
	count(d time.Duration) (turns []int, last uint64, err error)
}

// turnsBetween is how many turns are taken between two looks at the clock.
const turnsBetween = 64

// countFor takes turns until the time is over: next does some, and returns what
// the number is after the last one.
func countFor(d time.Duration, next func() (uint64, error)) (turns []int, last uint64, err error) {
	n := 0
	for end := sys.Monotonic() + int64(d); err == nil && sys.Monotonic() < end; {
		last, err = next()
		n += turnsBetween
	}
	return []int{n}, last, err
}

// count is one child's part of a pass.
func (c *child) count(o order) (err error) {
	c.turns, c.got.sum, err = c.end.(countEnd).count(time.Duration(o.N))
	return err
}

// minCount is the least time to count for.
const minCount = time.Millisecond

// runCount counts for so many nanoseconds. Its n is the turns.
func (g *group) runCount(ns int, watchdog <-chan time.Time) (pass, error) {
	g.phase++
	ns = max(ns, int(minCount))
	var at []int
	for i := range g.procs[:g.working()] {
		if err := g.procs[i].order(order{Do: "count", N: ns, Phase: g.phase}); err != nil {
			return pass{}, err
		}
		at = append(at, i)
	}
	said, err := g.outcome(at, watchdog)
	if err != nil {
		return pass{}, err
	}
	p := total(0, said)
	began, number := said[0].Start, uint64(0)
	for _, r := range said {
		p.turns = append(p.turns, r.Turns...)
		began, number = min(began, r.Start), max(number, r.Sum)
	}
	for _, n := range p.turns {
		p.n += n
	}
	// All passes count on, but those of a program, which begin anew.
	if g.counted += p.n; g.impl.program {
		g.counted = p.n
	}
	if number != uint64(g.counted) {
		return pass{}, fmt.Errorf("bench: %v: counted to %d in %d turns", g.spec, number, g.counted)
	}
	p.elapsed = time.Duration(max(latest(said)-began, 1))
	return p, nil
}

// working is how many of the processes do something.
func (g *group) working() int {
	if g.impl.solo {
		return 1
	}
	return len(g.procs)
}

// mutexCountImpl takes a lock.Mutex, adds 1 to a word that anybody could spoil,
// and gives it up again.
var mutexCountImpl = &impl{
	name:    "mutex-count",
	benches: []string{benchCount},
	waits:   []string{waitAdaptive},
	only:    []int{8},
	share: func(spec) (*shared, error) {
		return shareOne(shm.Anonymous("bench", &shm.Options{Size: int64(os.Getpagesize())}))
	},
	open: openMutexCount,
}

// closer is a handle that the parent closes when both children have theirs.
type closer interface {
	shm.Handle
	Close() error
}

// shareOne passes one handle to both sides.
func shareOne(h closer, err error) (*shared, error) {
	if err != nil {
		return nil, err
	}
	return &shared{
		handles: [2][]shm.Handle{{h}, {h}},
		release: func() { h.Close() },
	}, nil
}

type mutexCount struct {
	unable
	seg *shm.Segment
	m   *lock.Mutex
	n   *uint64
}

func openMutexCount(spec, int, []*os.File) (endpoint, error) {
	s, _, err := shm.Inherited(handleName(0), nil)
	if err != nil {
		return nil, err
	}
	m, err := lock.At[lock.Mutex](s, 0, nil)
	if err != nil {
		s.Close()
		return nil, err
	}
	return &mutexCount{seg: s, m: m, n: mem.At[uint64](s.Data(), mem.FalseShare)}, nil
}

func (e *mutexCount) count(d time.Duration) ([]int, uint64, error) {
	ctx := context.Background()
	return countFor(d, func() (last uint64, err error) {
		for range turnsBetween {
			if err := e.m.Lock(ctx); err != nil {
				return 0, err
			}
			*e.n++
			last = *e.n
			if err := e.m.Unlock(); err != nil {
				return 0, err
			}
		}
		return last, nil
	})
}

func (e *mutexCount) close() error { return firstError(e.m.Close(), e.seg.Close()) }
