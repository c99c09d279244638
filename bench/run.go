package main

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"time"

	"github.com/sluice-ipc/sluice/internal/sys"
)

// What a whole run should take, and after which no further repetition begins
// unless it was asked for. Building the program is not in it.
const (
	fullTime   = 95 * time.Second
	fullLimit  = 115 * time.Second
	quickTime  = 20 * time.Second
	quickLimit = 29 * time.Second

	// pairOverhead is what a repetition takes beyond its budget: two
	// processes, calibration, two canaries.
	pairOverhead = 45 * time.Millisecond

	minBudget = 20 * time.Millisecond
	maxBudget = time.Second
	fanFloor  = 100 * time.Millisecond

	opsBudget   = 20 * time.Millisecond
	countBudget = 150 * time.Millisecond
)

// fixed is the budget of what needs no more, and no less; 0: there is none.
func (s spec) fixed() time.Duration {
	switch s.Bench {
	case benchOps:
		return opsBudget
	case benchCount:
		return countBudget
	}
	return 0
}

// overhead is what a repetition of s takes beyond its budget.
func (s spec) overhead() time.Duration {
	pairs := 1
	if im := implNamed(s.Impl); im != nil && !im.solo {
		pairs = (s.Producers + s.Consumers) / 2
	}
	return time.Duration(max(pairs, 1))*pairOverhead + s.floor()
}

// floor is the least budget with which a figure means something, where that is
// more than minBudget: the scheduler takes turns among many, and they need some.
func (s spec) floor() time.Duration {
	switch s.Bench {
	case benchFanIn:
		return fanFloor
	case benchFanInKill:
		return killFloor
	}
	return 0
}

// overheads is what one of these takes, on the average.
func overheads(specs []spec) (d time.Duration) {
	for _, s := range specs {
		d += s.overhead()
	}
	return d / time.Duration(max(len(specs), 1))
}

// budgetFor divides the time among so many repetitions of measurements.
func budgetFor(total time.Duration, repetitions int, overhead time.Duration) time.Duration {
	each := total/time.Duration(max(repetitions, 1)) - overhead
	each = each * 4 / 5 // calibration takes another quarter
	return min(max(each, minBudget), maxBudget)
}

// choosePlace returns where the pairs run: on the CPUs asked for, else on the
// first two that we may use.
func choosePlace(asked []int) place {
	cpus := asked
	if cpus == nil {
		have, err := sys.Affinity()
		if err != nil || len(have) < 2 {
			return place{}
		}
		cpus = have[:2]
	}
	return place{cpus: cpus, canary: sys.Supported}
}

// two reports whether there is a CPU for each process.
func (at place) two() bool {
	return at.cpus != nil || !sys.Supported && runtime.NumCPU() > 1
}

// possible reports whether the machine can do this measurement: two that poll
// on one CPU would measure the scheduler's time slice.
func (at place) possible(s spec) bool {
	return s.Wait != waitSpin || at.two() || s.Impl == memcpyImpl.name || s.Bench == benchOps
}

// A runner works through the measurements and collects the samples.
type runner struct {
	at     place
	specs  []spec
	reps   int
	budget time.Duration // for each repetition; 0: divide total
	total  time.Duration
	limit  time.Duration                   // 0: none
	extra  func(rep int) ([]sample, error) // also once a repetition; may be nil
	say    *progress

	began   time.Time
	samples []sample
	lacking map[spec]error // what this machine cannot do
	failed  []error
}

// run measures everything, repetition by repetition, so that what is compared
// shares its good and its bad moments.
func (r *runner) run() {
	r.lacking = map[spec]error{}
	r.began = time.Now()
	for rep := range r.reps {
		if r.late(rep) {
			r.say.note("this machine is slow or busy: %d of %d repetitions", rep, r.reps)
			break
		}
		r.repeat(rep)
	}
	r.say.clear()
}

// late reports whether repetition rep would end beyond the limit.
func (r *runner) late(rep int) bool {
	if r.limit == 0 || rep == 0 {
		return false
	}
	took := time.Since(r.began)
	return took+took/time.Duration(rep) > r.limit
}

// repeat is one repetition of everything.
func (r *runner) repeat(rep int) {
	total := r.reps * len(r.specs)
	for i, s := range r.specs {
		done := rep*len(r.specs) + i
		r.say.step(done, total, s)
		if r.lacking[s] == nil {
			r.one(rep, s, r.budgetNow(s, total-done))
		}
	}
	if r.extra != nil {
		more, err := r.extra(rep)
		if err != nil {
			r.failed = append(r.failed, err)
		}
		r.samples = append(r.samples, more...)
	}
}

// budgetNow is what s may take, the next of so many that are left.
func (r *runner) budgetNow(s spec, left int) time.Duration {
	if r.budget > 0 {
		return r.budget
	}
	if fixed := s.fixed(); fixed > 0 {
		return fixed
	}
	return max(s.floor(), budgetFor(r.total-time.Since(r.began), left, overheads(r.specs)))
}

func (r *runner) one(rep int, s spec, budget time.Duration) {
	sm, err := measure(s, r.at, budget)
	switch {
	case lacking(err):
		r.lacking[s] = err
	case err != nil:
		r.lacking[s] = err // do not wait for it again
		r.failed = append(r.failed, err)
	default:
		sm.rep = rep
		r.samples = append(r.samples, sm)
	}
}

// progress is the line that says how far a run has come: rewritten in place on
// a terminal, else a new one every few seconds.
type progress struct {
	to       io.Writer
	terminal bool
	began    time.Time
	next     time.Time // of the next line
}

const (
	progressPeriod = 5 * time.Second
	terminalPeriod = 200 * time.Millisecond
)

func newProgress(to io.Writer) *progress {
	p := &progress{to: to, began: time.Now()}
	if f, ok := to.(*os.File); ok {
		st, err := f.Stat()
		p.terminal = err == nil && st.Mode()&os.ModeCharDevice != 0
	}
	p.next = p.began.Add(p.period())
	return p
}

func (p *progress) period() time.Duration {
	if p.terminal {
		return terminalPeriod
	}
	return progressPeriod
}

// step says that i of total are done and that s is next.
func (p *progress) step(i, total int, s spec) {
	now := time.Now()
	if i == 0 || now.Before(p.next) {
		return
	}
	p.next = now.Add(p.period())
	left := now.Sub(p.began) / time.Duration(i) * time.Duration(total-i)
	line := fmt.Sprintf("bench: %d of %d, %v left: %v", i, total, left.Round(time.Second), s)
	if p.terminal {
		fmt.Fprintf(p.to, "\r\x1b[K%s", line)
		return
	}
	fmt.Fprintln(p.to, line)
}

// note says something on a line of its own.
func (p *progress) note(format string, args ...any) {
	p.clear()
	fmt.Fprintf(p.to, "bench: "+format+"\n", args...)
}

// clear removes the line from a terminal.
func (p *progress) clear() {
	if p.terminal {
		fmt.Fprint(p.to, "\r\x1b[K")
	}
}
