package wait

import (
	"testing"
	"time"

	"github.com/sluice-ipc/sluice/internal/cpu"
)

type never struct{}

func (never) Ready() bool { return false }

type slow struct{ d time.Duration }

// Ready takes longer than a step may, as when the CPU went to somebody else.
func (s slow) Ready() bool {
	for start := time.Now(); time.Since(start) < s.d; {
	}
	return false
}

func adaptive(t *testing.T) *Spinner {
	s := NewSpinner(Adaptive)
	if cpu.Count() == 1 {
		if s.mode != Never {
			t.Error("an adaptive spinner spins on a single CPU")
		}
		s.mode = Adaptive
	}
	return s
}

func TestSpinningFallsToNothingWhenItDoesNotPay(t *testing.T) {
	s := adaptive(t)
	for range 100 {
		if s.budget == 0 {
			break
		}
		s.Spin(never{})
	}
	if s.budget != 0 {
		t.Fatalf("budget is %v after 100 vain waits", s.budget)
	}
	s.off = time.Time{}
	probes := 0
	for range 10 * probeEvery {
		if s.worthwhile() {
			probes++
			s.budget = 0
		}
	}
	if probes != 10 {
		t.Fatalf("%d probes in %d waits, want 10", probes, 10*probeEvery)
	}
}

func TestSpinningStopsWhenTheCPUWasLost(t *testing.T) {
	s := adaptive(t)
	s.polls = 1
	before := time.Now() // the time off may be over when Spin has returned
	s.Spin(slow{2 * descheduled})
	if s.budget != 0 || s.off.Sub(before) < offTime {
		t.Fatalf("budget %v, off until %v after the beginning", s.budget, s.off.Sub(before))
	}
}

func TestSpinningThatPaysKeepsItsBudget(t *testing.T) {
	s := adaptive(t)
	for range 100 {
		s.won(10 * time.Microsecond)
	}
	if s.budget < 20*time.Microsecond || s.budget > maxBudget {
		t.Fatalf("budget %v after waits of 10 µs", s.budget)
	}
	for range 100 {
		s.won(time.Second)
	}
	if s.budget > maxBudget {
		t.Fatalf("budget %v is above the maximum", s.budget)
	}
}
