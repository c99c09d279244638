//go:build linux

package shm

import (
	"errors"
	"os"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-ipc/sluice/internal/shmtest"
	"github.com/sluice-ipc/sluice/internal/sys"
)

// watchOf returns the watch that stands for a participant, nil if none does.
func (s *Segment) watchOf(id ID) *procWatch {
	s.pass.Lock()
	defer s.pass.Unlock()
	if !s.isWatched(id.Slot(), s.word(id)) {
		return nil
	}
	return s.watched[id.Slot()].w
}

// needsPidfd skips where the kernel or a sandbox has no pidfd_open.
func needsPidfd(t testing.TB) {
	t.Helper()
	fd, err := sys.PidfdOpen(os.Getpid())
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skip("no pidfd_open")
	}
	sys.Close(fd)
}

func watching() int {
	watches.Lock()
	defer watches.Unlock()
	return len(watches.m)
}

// One watch for each process, however many segments and slots we share with
// it, and none when the last of those is closed.
func TestOneWatchForEachProcess(t *testing.T) {
	needsPidfd(t)
	noLeaks(t)
	a := must(Create(testName(t), &Options{Size: 1}))(t)
	b := must(Create(testName(t), &Options{Size: 1}))(t)
	c := shmtest.Command(t, "heir", "a1", "a2", "b")
	c.Launch = Start
	pass(t, c, "a1", a)
	pass(t, c, "a2", a)
	pass(t, c, "b", b)
	c.Start()
	var ids []ID
	for range 3 {
		ids = append(ids, hearID(t, c))
		c.Line()
	}
	c.Expect("ok")
	asleep(t, a)
	asleep(t, b)
	a.look(false)
	b.look(false)
	w := a.watchOf(ids[0])
	if w == nil {
		t.Fatal("the process is not watched")
	}
	if a.watchOf(ids[1]) != w || b.watchOf(ids[2]) != w || watching() != 1 {
		t.Error("the process has more than one watch")
	}
	a.Close()
	if watching() != 1 || b.watchOf(ids[2]) != w {
		t.Error("the watch ended with the first segment")
	}
	c.Exit()
	shmtest.Eventually(t, func() bool { return watching() == 0 }, "no watch")
	if p := b.Participants(); len(p) != 1 {
		t.Errorf("participants: %+v", p)
	}
	b.Close()
}

func TestWatchEndsWithTheSegment(t *testing.T) {
	needsPidfd(t)
	noLeaks(t)
	s := must(Create(testName(t), &Options{Size: 1}))(t)
	_, id := startMember(t, s)
	s.look(false)
	if s.watchOf(id) == nil {
		t.Error("the process is not watched")
	}
	s.Close()
	if watching() != 0 {
		t.Error("the process is watched for nobody")
	}
}

// A pid of another PID namespace names somebody else here. Death is noticed all
// the same.
func TestOtherPidNamespace(t *testing.T) {
	noLeaks(t)
	r := &recorder{}
	s := closing(t, must(Create(testName(t), r.options()))(t))
	asleep(t, s)
	c := shmtest.Command(t, "member", s.Name())
	c.Cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID}
	if err := probeNamespace(syscall.CLONE_NEWPID); err != nil {
		t.Skipf("making a PID namespace is not permitted here: %v", err)
	}
	c.Start()
	id := hearID(t, c)
	s.look(false)
	if s.watchOf(id) != nil {
		t.Error("a process of another namespace is watched by its pid")
	}
	if p := s.Participants(); len(p) != 2 || p[1].PID != 1 {
		t.Errorf("participants: %+v", p)
	}
	c.Kill()
	shmtest.Eventually(t, func() bool {
		_, ok := r.repaired(id)
		return ok
	}, "the death is repaired")
}

// The process whose pid a slot names has exited, but the slot's lock is held:
// its child is between fork and exec, say. The exit must be looked into once,
// and not as fast as the processor can.
func TestExitWithoutDeathIsLookedIntoOnce(t *testing.T) {
	needsPidfd(t)
	noLeaks(t)
	s := closing(t, must(Create(testName(t), &Options{Size: 1}))(t))
	o := closing(t, must(Open(s.Name(), nil))(t))
	c, id := startMember(t, s)
	n := asleep(t, s)
	o.slots[o.ID().Slot()].pid.Store(uint32(c.Pid()))
	s.ctl.roster.Add(1)
	s.look(false)
	if s.watchOf(o.ID()) == nil {
		t.Fatal("the process is not watched")
	}
	if err := syscall.Kill(c.Pid(), syscall.SIGKILL); err != nil { // it stays a zombie
		t.Fatal(err)
	}
	shmtest.Eventually(t, func() bool { return s.Gone(id) && s.watchOf(o.ID()) == nil }, "the exit is noticed")
	before, start := n.Load(), time.Now()
	shmtest.Eventually(t, func() bool { return time.Since(start) > 4*tickTime }, "some time")
	looked, took := n.Load()-before, time.Since(start)
	if looked > int64(took/tickTime)+20 { // at each tick, and at the exit
		t.Errorf("looked %d times in %v", looked, took)
	}
	if s.Gone(o.ID()) {
		t.Error("a participant whose lock is held is gone")
	}
}

// Close waits for the tick that is looking at the segment: afterwards, nobody
// is in it.
func TestAfterCloseNobodyIsIn(t *testing.T) {
	noLeaks(t)
	s := closing(t, must(Create(testName(t), &Options{Size: 1}))(t))
	for range 200 {
		o := must(Open(s.Name(), nil))(t)
		var looks atomic.Int64
		stop, done := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(done)
			for {
				select {
				case <-stop:
					return
				default:
					o.look(false)
					looks.Add(1)
				}
			}
		}()
		shmtest.Eventually(t, func() bool { return looks.Load() > 3 }, "it is looked at")
		id := o.ID()
		o.Close()
		if !s.Gone(id) {
			t.Error("after Close it is still in")
		}
		close(stop)
		<-done
	}
}

// Peers who look all the time must never take somebody who comes or leaves for
// dead.
func TestComingAndLeavingUnderWatchfulPeers(t *testing.T) {
	noLeaks(t)
	s := closing(t, must(Create(testName(t), &Options{Size: 1}))(t))
	deaths := s.Deaths()
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
				s.CheckPeers()
			}
		}
	}()
	for range 1000 {
		must(Open(s.Name(), nil))(t).Close()
	}
	close(stop)
	<-done
	if s.Deaths() != deaths {
		t.Errorf("%d changes of deaths, and nobody died", s.Deaths()-deaths)
	}
	if p := s.Participants(); len(p) != 1 {
		t.Errorf("participants: %+v", p)
	}
}

// The tick runs only while somebody sleeps.
func TestTickEndsAndBeginsAgain(t *testing.T) {
	noLeaks(t)
	s := closing(t, must(Anonymous("tick", &Options{Size: 1}))(t))
	for range 3 {
		n := &ticks{}
		s.Asleep(n)
		s.Asleep(n)
		s.Awake(n)
		shmtest.Eventually(t, func() bool { return n.Load() >= 2 }, "two ticks")
		s.Awake(n)
		after := n.Load()
		shmtest.Eventually(t, func() bool { return !ticking.Load() }, "the tick ends")
		if n.Load() != after {
			t.Error("ticked after Awake")
		}
	}
}

// isWatched reports whether a watch stands for the owner of slot i.
func (s *Segment) isWatched(i int, w uint64) bool {
	v := &s.watched[i]
	return v.w != nil && v.word == w && !v.w.exited.Load()
}
