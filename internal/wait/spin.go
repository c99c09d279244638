package wait

import (
	"runtime"
	"time"

	"github.com/sluice-ipc/sluice/internal/cpu"
)

// Mode says how a waiter passes the time before it sleeps.
type Mode uint8

const (
	Adaptive Mode = iota // as long as it has been paying lately
	Always               // never sleep
	Never                // sleep at once
)

// What adaptive spinning goes by. Waking a sleeper costs 5 to 50 µs, mostly in
// the kernel and the hypervisor; spinning for at most about that long is never
// worse than twice the best possible.
const (
	firstBudget = 20 * time.Microsecond
	maxBudget   = 50 * time.Microsecond
	minBudget   = time.Microsecond
	descheduled = 20 * time.Microsecond // a step this late means that we lost the CPU
	offTime     = 10 * time.Millisecond // how long we then do not spin at all
	probeEvery  = 16                    // waits without spinning between two tries
	checkEvery  = 2                     // steps between two looks at the context, in mode Always
)

// Spinner decides how long one end waits for its peer before it sleeps. It
// belongs to whoever holds that end; it is not safe for concurrent use.
type Spinner struct {
	mode   Mode
	polls  int           // polls of the condition in one step of about 1 µs
	pause  time.Duration // how long the pause after one takes
	budget time.Duration // how long the next wait may spin
	off    time.Time     // no spinning before this: the CPUs are oversubscribed
	idle   int           // waits since the last probe, while budget is zero
}

// NewSpinner returns a spinner. On a single CPU an adaptive one never spins:
// what it waits for cannot happen while it does.
func NewSpinner(m Mode) *Spinner {
	s := &Spinner{mode: m, polls: int(cpu.PerMicrosecond()), pause: cpu.PauseTime(), budget: firstBudget}
	if m == Adaptive && cpu.Count() == 1 {
		s.mode = Never
	}
	return s
}

// Spin polls c for as long as it is likely to pay and reports whether c became
// ready. In mode Always it returns false now and then, to be called again.
func (s *Spinner) Spin(c Cond) bool {
	n := s.First()
	for i := range n {
		if c.Ready() {
			s.Won(i)
			return true
		}
		cpu.Pause(1)
	}
	return s.Rest(c, n)
}

// First begins a wait: it returns how often the caller shall poll what it waits
// for by its own means, with a pause after each. That takes about a microsecond
// and catches the answer of a peer that is running. It is 0 when spinning would
// not pay. Won or Rest must follow.
func (s *Spinner) First() int {
	if s.mode == Never || s.mode == Adaptive && !s.worthwhile() {
		return 0
	}
	return s.polls
}

// Won says that the i-th of the caller's polls was the last one needed.
func (s *Spinner) Won(i int) { s.won(time.Duration(i) * s.pause) }

// Rest spins on when the n polls of First have been in vain.
func (s *Spinner) Rest(c Cond, n int) bool {
	switch {
	case n == 0:
		return c.Ready()
	case s.mode == Always:
		return s.always(c)
	}
	return s.timed(c)
}

// timed goes on spinning by the clock until the budget is spent.
func (s *Spinner) timed(c Cond) bool {
	start := time.Now()
	for last := start; ; {
		if s.poll(c) >= 0 {
			s.won(time.Since(start) + time.Microsecond)
			return true
		}
		now := time.Now()
		if now.Sub(last) > descheduled {
			s.budget, s.off = 0, now.Add(offTime)
			return c.Ready()
		}
		if now.Sub(start) > s.budget {
			s.lost()
			runtime.Gosched() // once: another goroutine may have work for this P
			return c.Ready()
		}
		last = now
	}
}

// always polls c for some 2 µs.
func (s *Spinner) always(c Cond) bool {
	for range checkEvery {
		if s.poll(c) >= 0 {
			return true
		}
	}
	return false
}

// poll looks at c for about a microsecond and returns the number of the look
// that found it ready, or -1.
func (s *Spinner) poll(c Cond) int {
	for i := range s.polls {
		if c.Ready() {
			return i
		}
		cpu.Pause(1)
	}
	return -1
}

// worthwhile reports whether this wait should spin at all. A spinner whose
// budget fell to nothing tries again now and then.
func (s *Spinner) worthwhile() bool {
	if s.budget > 0 {
		return true
	}
	if s.idle++; s.idle < probeEvery || time.Now().Before(s.off) {
		return false
	}
	s.idle, s.budget = 0, firstBudget
	return true
}

// won moves the budget towards twice what this wait took.
func (s *Spinner) won(took time.Duration) {
	s.budget = min(maxBudget, (7*s.budget+2*took)/8+minBudget)
}

// lost halves the budget.
func (s *Spinner) lost() {
	if s.budget /= 2; s.budget < minBudget {
		s.budget = 0
	}
}
