package shm

import (
	"os"
	"sync"
	"sync/atomic"

	"github.com/sluice-ipc/sluice/internal/sys"
)

// A procWatch waits for the exit of one process, for all segments that we
// share with it. It is a hint to test locks at once, never a proof.
type procWatch struct {
	pid    int
	segs   map[*Segment]int // slots of that process; guarded by watches
	quit   chan struct{}    // closed when segs is empty
	exited atomic.Bool
}

// watches has at most one watch for each process.
var watches struct {
	sync.Mutex
	m map[int]*procWatch
}

// A watchedSlot says which watch stands for a slot, and for which word of it.
type watchedSlot struct {
	word uint64
	pid  uint32
	w    *procWatch // nil: none
}

// startWatch returns the watch of a process for one more slot of s.
func startWatch(pid int, s *Segment) (*procWatch, error) {
	watches.Lock()
	defer watches.Unlock()
	if w := watches.m[pid]; w != nil {
		w.segs[s]++
		return w, nil
	}
	exited, stop, err := sys.WatchPid(pid)
	if err != nil {
		return nil, err
	}
	w := &procWatch{pid: pid, segs: map[*Segment]int{s: 1}, quit: make(chan struct{})}
	if watches.m == nil {
		watches.m = make(map[int]*procWatch)
	}
	watches.m[pid] = w
	go w.run(exited, stop)
	return w, nil
}

// run waits for the exit, or until no segment is interested any more.
func (w *procWatch) run(exited <-chan struct{}, stop func()) {
	defer stop()
	select {
	case <-w.quit:
		return
	case <-exited:
	}
	for _, s := range w.expire() {
		s.look(true)
	}
}

// expire notes the exit and returns the segments that want to know. From here
// on the number may be that of another process.
func (w *procWatch) expire() (segs []*Segment) {
	watches.Lock()
	defer watches.Unlock()
	w.exited.Store(true)
	if watches.m[w.pid] == w {
		delete(watches.m, w.pid)
	}
	for s := range w.segs {
		segs = append(segs, s)
	}
	return segs
}

// drop gives up one slot's interest.
func (w *procWatch) drop(s *Segment) {
	watches.Lock()
	defer watches.Unlock()
	if w.segs[s]--; w.segs[s] <= 0 {
		delete(w.segs, s)
	}
	if len(w.segs) > 0 {
		return
	}
	if watches.m[w.pid] == w {
		delete(watches.m, w.pid)
	}
	close(w.quit)
}

// watchAll brings watched up to date with who is in the segment. The caller
// holds pass.
func (s *Segment) watchAll() {
	r := s.ctl.roster.Load() //sync:shm-roster acquire: which slots have changed
	covered := true
	for i := range s.slots {
		w := s.slots[i].word.Load() //sync:shm-slot acquire: who the owner says it is
		pid := s.slots[i].pid.Load()
		if v := &s.watched[i]; v.w != nil && v.word == w && v.pid == pid {
			// Also when that process has exited, but its lock is still
			// held, by a child of it between fork and exec: another watch
			// would fire at once, and again and again. The tick tests it.
			covered = covered && !v.w.exited.Load()
			continue
		}
		s.unwatch(i)
		if isState(w, Active) && s.canWatch(i, pid) {
			s.watch(i, w, pid)
		}
		if !isState(w, Free) && s.watched[i].w == nil && !s.isOurs(i, pid) {
			covered = false
		}
	}
	s.covered = covered
	s.roster.Store(r)
}

// isOurs reports whether slot i says that this process has it, which then cannot
// die before us.
func (s *Segment) isOurs(i int, pid uint32) bool {
	ns := sys.PidNamespace()
	return int(pid) == os.Getpid() && ns != 0 && s.slots[i].pidNS.Load() == ns
}

// canWatch reports whether the pid in slot i means another process here.
func (s *Segment) canWatch(i int, pid uint32) bool {
	ns := sys.PidNamespace()
	return pid != 0 && int(pid) > 0 && int(pid) != os.Getpid() &&
		ns != 0 && s.slots[i].pidNS.Load() == ns
}

// watch watches the process that pid names now for slot i, if that is the
// owner: the pid was written by an owner whose lock is still held, and the
// word has not changed, so it was not reused in between.
func (s *Segment) watch(i int, w uint64, pid uint32) {
	p, err := startWatch(int(pid), s)
	if err != nil {
		return // no pidfd here, or already gone: the scan tests the lock
	}
	s.watched[i] = watchedSlot{w, pid, p}
	locked, err := sys.LockedOFD(s.lockFD, lockOf(i), 1)
	if err != nil || !locked || s.slots[i].word.Load() != w {
		s.unwatch(i)
	}
}

func (s *Segment) unwatch(i int) {
	if w := s.watched[i].w; w != nil {
		s.watched[i] = watchedSlot{}
		w.drop(s)
	}
}

func (s *Segment) unwatchAll() {
	for i := range s.watched {
		s.unwatch(i)
	}
}
