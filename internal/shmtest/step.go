package shmtest

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/sluice-ipc/sluice/internal/race"
)

const (
	// attempts is how often a point is tried when the operation does not
	// come by it, because the runtime did something of its own this time;
	// and how often the operation is recorded, for one run without that.
	attempts = 3
	// maxSteps is far above any operation that ends.
	maxSteps = 1 << 18
)

// A place is one instruction of an operation, before it is executed: an address,
// and how often the operation came by it so far, this time included.
//
// Places rather than numbers of steps, because the scheduler may put a detour
// into one run, after which all numbers are others and all places the same.
type place struct {
	pc  uintptr
	nth int
}

// A Point is where EveryPoint wants the child of its body to end.
type Point struct {
	// K counts the instructions executed before the point. It is -1 in the
	// body's first runs, whose point is the return from the operation.
	K int

	at    place   // where to end; unused when K < 0
	near  place   // a place on the way, to which a breakpoint leads
	rest  place   // where to end, with arrivals counted from near on
	step  bool    // go all the way by single steps
	trace []place // the operation's instructions, filled when K < 0
	ran   bool    // a child went to the point or to its end
	met   bool    // it came by the point
}

// newPoint returns the point before the k-th instruction of a trace.
//
// It chooses the place for the breakpoint: the last one from which there are few
// steps to go, and which does not take many turns of a loop to come to.
func newPoint(trace []place, k int) *Point {
	const arrival = 4 // what it costs, in steps
	best, cheapest := -1, k+1
	for j := k; j >= 0 && arrival+k-j < cheapest; j-- { // those before cost more
		cost := arrival*trace[j].nth + k - j
		if cost < cheapest && runtime.FuncForPC(trace[j].pc) != nil {
			best, cheapest = j, cost
		}
	}
	p := &Point{K: k, at: trace[k], step: best < 0}
	if best >= 0 {
		p.near = trace[best]
		p.rest.pc = p.at.pc
		for _, at := range trace[best : k+1] {
			if at.pc == p.at.pc {
				p.rest.nth++
			}
		}
	}
	return p
}

// String says which instruction the point is before.
func (p *Point) String() string {
	if p.K < 0 {
		return "after the operation's return"
	}
	return fmt.Sprintf("point %d, %s, arrival %d", p.K, whereIs(p.at.pc), p.at.nth)
}

// whereIs says which instruction of this program is at an address; the children
// are the same program.
func whereIs(pc uintptr) string {
	f := runtime.FuncForPC(pc)
	if f == nil {
		return fmt.Sprintf("at %#x", pc)
	}
	file, line := f.FileLine(pc)
	return fmt.Sprintf("before %s+%#x (%s:%d)",
		f.Name(), pc-f.Entry(), filepath.Base(file), line)
}

// Kill starts the child, lets it run to the point, and kills it there with
// SIGKILL: when Kill returns, the instructions in front of the point have been
// executed, those behind it never will be, and the process has been reaped.
// The child must not have been started, and must call [Trace]. A body calls Kill
// or Stop once.
func (p *Point) Kill(c *Child) {
	c.t.Helper()
	p.run(c, (*tracer).kill)
	c.Kill()
}

// Stop is like Kill and stops the child at the point as with SIGSTOP. It is not
// traced any more: [Child.Cont] lets it go on from there.
func (p *Point) Stop(c *Child) {
	c.t.Helper()
	p.run(c, (*tracer).stop)
	c.AwaitStop()
}

// run brings the child to the point and calls then, with the child standing.
func (p *Point) run(c *Child, then func(*tracer)) {
	c.t.Helper()
	if p.ran {
		c.t.Fatal("shmtest: a body uses its point once")
	}
	p.ran = true
	traced(c, p.drive, then)
}

// drive brings a child from its begin mark to the point.
func (p *Point) drive(tr *tracer) {
	switch {
	case p.K < 0:
		tr.stepTo(func(at place) bool {
			p.trace = append(p.trace, at)
			return false
		})
	case p.step:
		p.met = tr.stepTo(func(at place) bool { return at == p.at })
	case tr.runTo(p.near):
		p.met = tr.stepTo(func(at place) bool { return at == p.rest })
	}
}

// EveryPoint runs body once for each instruction of the operation that body's
// child marks with Trace, system calls counting as one, and for its return.
// Body begins with fresh memory each time. It is run by several goroutines at
// once; its t is good for one run, cleanups included, and must be used instead
// of the test's. A body that does not use a point leaves it out.
//
// The result, which is logged, is the number of instructions without those of
// the harness. Instructions that the operation does not come by a second time
// are counted too; more than a few of them fail the test.
//
// That takes minutes. When all tests are run, TestKillEveryInstruction and
// TestStoppedPeer take an eighth of the points, another one each time; when one
// of them is asked for by name (-run), it takes all.
//
// Where single-stepping is not permitted the test fails. Only under the race
// detector and under emulation (SLUICE_EMULATED=1), where there is none, and on
// systems without it, is it skipped.
func EveryPoint(
	t *testing.T, name string, body func(t testing.TB, p *Point),
) int {
	t.Helper()
	RequireStepping(t)
	empty := record(t, "nothing", func(t testing.TB, p *Point) {
		p.Kill(Command(t, emptyRole))
	})
	trace := record(t, name, body)
	r := &round{name: name, body: body, trace: trace, share: shareOf(t)}
	var workers sync.WaitGroup
	// Tracer and child wait for each other half of the time.
	for range min(2*runtime.NumCPU(), 16) {
		workers.Go(func() { t.Run("points", r.work) })
	}
	workers.Wait()
	n := len(trace) - len(empty)
	missed := int(r.missed.Load())
	t.Logf("%s: %d points (and %d of the harness; %d left out, "+
		"%d not met again; one in %d taken)", name, n, len(empty), r.unused.Load(), missed, r.share)
	if missed > r.mayMiss() && !t.Failed() {
		t.Errorf("%s: %d points were not met again: the operation takes "+
			"another way each time", name, missed)
	}
	return n
}

// record runs body with the operation's return as its point, a few times, and
// returns the instructions of the shortest way there: the others had a detour.
func record(
	t *testing.T, name string, body func(t testing.TB, p *Point),
) []place {
	t.Helper()
	var shortest []place
	for i := range attempts {
		p := &Point{K: -1}
		onePoint(t, name, body, p)
		if !p.ran {
			t.Fatalf("%s: the body did not use its point", name)
		}
		if i == 0 || len(p.trace) < len(shortest) {
			shortest = p.trace
		}
	}
	return shortest
}

// A round is the state that the workers of one EveryPoint share.
type round struct {
	name   string
	body   func(t testing.TB, p *Point)
	trace  []place
	share  int // one in so many points is taken
	next   atomic.Int64
	missed atomic.Int64
	unused atomic.Int64 // the body left them out
}

// shareOf returns which share of the points a test takes, see EveryPoint.
func shareOf(t *testing.T) int {
	top, _, _ := strings.Cut(t.Name(), "/")
	asked := flag.Lookup("test.run").Value.String()
	if top != "TestKillEveryInstruction" && top != "TestStoppedPeer" || strings.Contains(asked, top) {
		return 1
	}
	return 8
}

// AllPoints reports whether the test takes every point, so that what happens at
// few of them must have happened.
func AllPoints(t *testing.T) bool { return shareOf(t) == 1 }

// mayMiss returns how many points may not be met again.
func (r *round) mayMiss() int { return len(r.trace)/10 + 5 }

// work takes points until there are none, or it can only fail.
func (r *round) work(t *testing.T) {
	for !t.Failed() {
		k := int(r.next.Add(1)) - 1
		if k >= len(r.trace) {
			return
		}
		if rand.IntN(r.share) != 0 {
			continue
		}
		if !r.try(t, k) && int(r.missed.Add(1)) > r.mayMiss() {
			break
		}
	}
	// The others need not go on.
	r.next.Store(int64(len(r.trace)))
}

// try runs the body at the k-th point until it is met, and reports whether it
// was. A run that does not meet it has killed the child after its return, and
// the body has checked that.
func (r *round) try(t *testing.T, k int) bool {
	for i := range attempts {
		p := newPoint(r.trace, k)
		p.step = p.step || i > 0
		onePoint(t, r.name, r.body, p)
		if !p.ran {
			r.unused.Add(1)
			return true
		}
		if p.met {
			return true
		}
	}
	return false
}

// onePoint runs the body once and says at which point it failed.
func onePoint(
	t *testing.T, name string, body func(t testing.TB, p *Point), p *Point,
) {
	t.Helper()
	s := &scope{TB: t}
	defer func() {
		s.end()
		if t.Failed() {
			t.Logf("%s: failed at %v", name, p)
		}
	}()
	body(s, p)
}

// A scope is a test whose cleanups run when the scope ends, so that a thousand
// runs in one test do not pile up what they opened.
type scope struct {
	testing.TB
	cleanups []func()
}

// Cleanup registers f for the end of the scope.
func (s *scope) Cleanup(f func()) { s.cleanups = append(s.cleanups, f) }

// end runs the cleanups, last first, also when one of them ends the goroutine.
func (s *scope) end() {
	if len(s.cleanups) == 0 {
		return
	}
	last := len(s.cleanups) - 1
	f := s.cleanups[last]
	s.cleanups = s.cleanups[:last]
	defer s.end()
	f()
}

// RequireStepping skips a test where there can be no single-stepping: as
// EveryPoint does, for tests that make Points themselves. Where it is only
// forbidden it does not skip, and the start of a traced child fails.
func RequireStepping(t *testing.T) {
	t.Helper()
	switch {
	case !canStep:
		t.Skip("missing: single-stepping (Linux on amd64 or arm64)")
	case race.Enabled:
		t.Skip("missing: single-stepping through the race detector")
	case os.Getenv("SLUICE_EMULATED") == "1":
		t.Skip("missing: single-stepping under emulation")
	}
}
