package wait

import (
	"errors"
	"time"

	"github.com/sluice-ipc/sluice/internal/sys"
)

// errMove means that a goroutine shall park.
var errMove = errors.New("wait: others wait more often")

// A stay is how long a goroutine has slept in a call of its own. Those who sleep
// for long leave the few places to those who are woken all the time, whom that
// saves the most; when nobody wants one they look seldom.
type stay struct {
	refused  uint64 // refusals so far
	length   time.Duration
	deadline int64
}

const (
	firstStay = 10 * time.Millisecond
	lastStay  = time.Second
)

// newStay begins a stay, a long one where there are places enough.
func newStay() stay {
	s := stay{refusals.Load(), lastStay, 0}
	if directs.Load() > maxDirect/2 {
		s.length = firstStay
	}
	return s
}

// end returns when to look whether others want the place, or the memory is gone, if
// that is before the deadline, which is 0 for none.
func (s *stay) end(deadline int64) (end int64, moves bool) {
	if s.deadline == 0 {
		s.deadline = sys.Monotonic() + int64(s.length)
	}
	if deadline != 0 && deadline <= s.deadline {
		return deadline, false
	}
	return s.deadline, true
}

// over reports whether to leave the place to others.
func (s *stay) over() bool {
	if n := refusals.Load(); n != s.refused && sys.HaveWaitv() {
		return true
	}
	s.length = min(2*s.length, lastStay)
	s.deadline = 0
	return false
}
