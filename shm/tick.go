package shm

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-ipc/sluice/internal/sys"
	"github.com/sluice-ipc/sluice/internal/wait"
)

// attached is every segment of this process that is mapped, for the tick and
// to find whose memory an address is.
var attached struct {
	sync.Mutex
	m map[*Segment]struct{}
}

func register(s *Segment) {
	attached.Lock()
	defer attached.Unlock()
	if attached.m == nil {
		attached.m = make(map[*Segment]struct{})
	}
	attached.m[s] = struct{}{}
}

func unregister(s *Segment) {
	attached.Lock()
	defer attached.Unlock()
	delete(attached.m, s)
}

// segmentAt returns the segment that is mapped at a, and the offset in it.
func segmentAt(a uintptr) (*Segment, int64) {
	attached.Lock()
	defer attached.Unlock()
	for s := range attached.m {
		b := s.mapping.Bytes()
		if off := a - addr(b); off < uintptr(len(b)) {
			return s, int64(off)
		}
	}
	return nil, 0
}

// The tick is one goroutine for the whole process. It runs while somebody
// sleeps on a segment, and ends at the first tick that finds nobody asleep.
const (
	tickTime = 50 * time.Millisecond

	// tickShare is how much longer it is for each segment: looking at one
	// takes some microseconds, and thousands of sleepers shall cost next to
	// nothing. It is as long as tickTime for 100 segments.
	tickShare = 500 * time.Microsecond

	// fullEvery is how many ticks lie between two that test all locks, our own
	// included, although all peers are watched.
	fullEvery = 20
)

var ticking atomic.Bool

// Asleep says that somebody is about to sleep until another participant wakes
// it. Until the matching [Segment.Awake], the segment's participants are
// looked after, and w is ticked every 50 ms and after each death: it must look
// whether there is something to wake up for that nobody announced.
//
// The same w may be asleep several times. Its Tick must not block, nor call
// Asleep or Awake.
func (s *Segment) Asleep(w wait.Sleeper) {
	s.mu.Lock()
	s.sleepers[w]++
	s.asleep.Store(int32(len(s.sleepers)))
	s.mu.Unlock()
	startTick()
	if s.Retain() != nil {
		return
	}
	defer s.Release()
	if s.ctl.roster.Load() != s.roster.Load() && s.pass.TryLock() {
		defer s.pass.Unlock()
		s.guarded(func() error { s.watchAll(); return nil })
	}
}

// Awake undoes one [Segment.Asleep]. When it returns, the last one of w also
// sees to it that w is not being ticked and will not be any more.
func (s *Segment) Awake(w wait.Sleeper) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sleepers[w]--; s.sleepers[w] <= 0 {
		delete(s.sleepers, w)
	}
	s.asleep.Store(int32(len(s.sleepers)))
}

// startTick makes sure that the tick runs. The sleeper has been entered
// before; see the end of tickLoop for the other half.
func startTick() {
	if !ticking.Load() && ticking.CompareAndSwap(false, true) {
		go tickLoop()
	}
}

func tickLoop() {
	t := time.NewTimer(tickTime)
	defer t.Stop()
	var segs []*Segment
	for n := 1; ; n++ {
		<-t.C
		segs = sleeping(segs[:0])
		t.Reset(max(tickTime, time.Duration(len(segs))*tickShare))
		for _, s := range segs {
			s.look(n%fullEvery == 0)
		}
		if len(segs) > 0 {
			continue
		}
		ticking.Store(false)
		if len(sleeping(segs)) == 0 || !ticking.CompareAndSwap(false, true) {
			return
		}
	}
}

// sleeping appends the segments in which somebody sleeps.
func sleeping(segs []*Segment) []*Segment {
	attached.Lock()
	defer attached.Unlock()
	for s := range attached.m {
		if s.asleep.Load() > 0 {
			segs = append(segs, s)
		}
	}
	return segs
}

// look is what the tick does with one segment, and what a watcher does when a
// process has exited: test the locks, our own if self says so, repair, and tick
// the sleepers.
func (s *Segment) look(self bool) {
	s.pass.Lock()
	defer s.pass.Unlock()
	s.lookOnce(self)
}

// Heed does what sleepers have done for them: about every 50 ms it tests the
// locks, repairs what the dead left and ticks the sleepers. It is for those who
// are so busy that they never sleep, to be called once in a few thousand
// operations; when nothing is due it costs a look at the clock. While one
// goroutine is at it the others do not wait.
//
// It must not be called from [Repairer.Repair] or from a sleeper's Tick.
func (s *Segment) Heed() {
	now, last := sys.Monotonic(), s.looked.Load()
	if now-last < int64(tickTime) || !s.looked.CompareAndSwap(last, now) {
		return
	}
	if !s.pass.TryLock() {
		return // somebody is looking
	}
	defer s.pass.Unlock()
	s.heeded++
	s.lookOnce(s.heeded%fullEvery == 0)
}

// lookOnce is look for a caller that holds pass.
func (s *Segment) lookOnce(self bool) {
	s.looked.Store(sys.Monotonic())
	if s.Err() != nil {
		// Who sleeps must learn of it. Sleepers hold pins, so that the
		// memory is there, as far as it still is.
		s.nudge()
		return
	}
	if s.Retain() != nil {
		s.nudge()
		return
	}
	defer s.Release()
	s.guarded(func() error {
		if !self && s.covered && s.ctl.roster.Load() == s.roster.Load() {
			s.nudge() // deaths are reported
			return nil
		}
		if self {
			s.checkSelf()
		}
		s.watchAll()
		// Watched or not: a process that executes another program lives
		// on, and is no participant any more.
		s.scan(func(int, uint64) bool { return true })
		s.nudge()
		return nil
	})
}

// guarded calls f, which touches the segment on behalf of nobody who could be
// given an error: a fault poisons the segment and is reported by Err.
func (s *Segment) guarded(f func() error) {
	if err := Guard(f); err != nil {
		s.poison(err)
	}
}

// nudge ticks the sleepers, who hold pins: the memory is there, as far as its file
// still is. One that faults poisons the segment and keeps nobody from the others.
func (s *Segment) nudge() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for w := range s.sleepers {
		Guard(func() error { w.Tick(); return nil })
	}
}
