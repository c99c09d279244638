//go:build linux

package shm

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-ipc/sluice/internal/shmtest"
	"github.com/sluice-ipc/sluice/internal/sys"
)

// Words that no participant ever wrote: nothing is believed of them.
func TestHostileTable(t *testing.T) {
	noLeaks(t)
	r := &recorder{}
	opt := r.options()
	opt.Kind = KindQueue // so that who has no Repairer leaves the dead alone
	s := closing(t, must(Create(testName(t), opt))(t))
	for i, w := range []uint64{1: 77, 2: ^uint64(0), 3: 1<<8 | uint64(Active)} {
		if i > 0 {
			s.slots[i].word.Store(w)
			s.slots[i].pid.Store(uint32(os.Getppid()))
			for j := range s.slots[i].label {
				s.slots[i].label[j] = 0xff
			}
		}
	}
	asleep(t, s)
	s.look(true)
	if _, err := Open(s.Name(), nil); !errors.Is(err, ErrFull) {
		t.Errorf("Open: %v, want ErrFull", err)
	}
	if len(r.dead) != 0 || len(s.Participants()) != 1 {
		t.Errorf("repaired %v, participants %v", r.dead, s.Participants())
	}
	s.slots[1].word.Store(wordOf(Active, 9)) // a lie: nobody holds the lock
	s.slots[2].word.Store(wordOf(Dead, 9))
	s.slots[3].word.Store(wordOf(Free, 1<<32-1))
	if p := s.Participants(); len(p) != 3 || strings.ContainsRune(p[1].Label, 0xff) {
		t.Errorf("participants %+v", p)
	}
	o := closing(t, must(Open(s.Name(), nil))(t))
	if o.ID() != makeID(3, 1) {
		t.Errorf("after the last incarnation comes %v, want 3.1", o.ID())
	}
	s.CheckPeers()
	if len(r.dead) != 2 || r.dead[0] != makeID(1, 9) || r.dead[1] != makeID(2, 9) {
		t.Errorf("repaired %v, want 1.9 and 2.9", r.dead)
	}
	for _, id := range []ID{0, makeID(4, 1), ^ID(0)} {
		if !s.Gone(id) {
			t.Errorf("%v never was, and is not gone", id)
		}
	}
}

func TestParticipantsAreListed(t *testing.T) {
	noLeaks(t)
	s := closing(t, must(Create(testName(t), &Options{Size: 1, Label: strings.Repeat("x", 99)}))(t))
	c, id := startMember(t, s)
	p := s.Participants()
	if len(p) != 2 || !p[0].Self || p[1].Self || p[0].ID != s.ID() || p[1].ID != id {
		t.Fatalf("participants: %+v", p)
	}
	if p[0].Label != strings.Repeat("x", maxText) || p[0].PID != os.Getpid() || p[1].PID != c.Pid() {
		t.Errorf("participants: %+v", p)
	}
	if !strings.HasPrefix(p[1].Label, "shm.test") || time.Since(p[1].Joined) > time.Hour {
		t.Errorf("participants: %+v", p)
	}
	if s := fmt.Sprint(p[1].State, KindPipe, Kind(99), State(9)); s != "active pipe kind(99) state(9)" {
		t.Errorf("strings: %q", s)
	}
}

// Two attachments of one process are two participants, each with its own
// mapping and lock.
func TestTwoAttachmentsOfOneProcess(t *testing.T) {
	noLeaks(t)
	r := &recorder{}
	a := closing(t, must(Create(testName(t), r.options()))(t))
	b := must(Open(a.Name(), r.options()))(t)
	asleep(t, a)
	for range 100 {
		a.look(true)
		if a.Gone(b.ID()) || b.Gone(a.ID()) || a.Gone(a.ID()) {
			t.Fatal("the process is dead for itself")
		}
	}
	b.Close()
	if !a.Gone(b.ID()) || a.Err() != nil || len(r.dead) != 0 {
		t.Errorf("after one has left: Err %v, repaired %v", a.Err(), r.dead)
	}
}

// Something closes our descriptors. We must notice, declare nobody dead, and
// touch nobody's descriptors.
func TestLostLockPoisonsTheSegment(t *testing.T) {
	for _, tt := range []struct {
		name string
		lose func(t *testing.T, s *Segment)
	}{
		{"closed", func(t *testing.T, s *Segment) { sys.Close(s.lockFD) }},
		{"reused", func(t *testing.T, s *Segment) {
			other := must(Anonymous("other", &Options{Size: 1}))(t)
			t.Cleanup(func() { other.Close() })
			if err := syscall.Dup3(other.lockFD, s.lockFD, syscall.O_CLOEXEC); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { sys.Close(s.lockFD) })
		}},
		{"unlocked", func(t *testing.T, s *Segment) {
			sys.UnlockOFD(s.lockFD, lockOf(s.ID().Slot()), 1)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := must(Create(testName(t), &Options{Size: 1}))(t)
			peer := closing(t, must(Open(s.Name(), nil))(t))
			fd := s.lockFD
			asleep(t, s)
			tt.lose(t, s)
			s.CheckPeers()
			if peer.Gone(peer.ID()) || !isState(peer.word(peer.ID()), Active) {
				t.Error("the peer was declared dead")
			}
			shmtest.Eventually(t, func() bool { return errors.Is(s.Err(), ErrLost) }, "ErrLost")
			if err := s.Retain(); !errors.Is(err, ErrLost) {
				t.Errorf("Retain: %v", err)
			}
			if !peer.Gone(s.ID()) {
				t.Error("the peer does not see a death")
			}
			_, err := sys.Stat(fd)
			s.lockFD = fd
			s.Close()
			if _, err2 := sys.Stat(fd); tt.name == "reused" && (err != nil || err2 != nil) {
				t.Errorf("somebody else's descriptor was closed: %v, %v", err, err2)
			}
		})
	}
}

func TestMarkedDeadByAMistakeOfOthersWeNotice(t *testing.T) {
	s := must(Create(testName(t), &Options{Size: 1}))(t)
	defer s.Close()
	s.slots[s.id.Slot()].word.Store(wordOf(Dead, s.id.Incarnation()))
	s.look(false)
	if !errors.Is(s.Err(), ErrLost) {
		t.Errorf("Err is %v", s.Err())
	}
}
