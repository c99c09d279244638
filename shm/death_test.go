//go:build linux

package shm

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-ipc/sluice/internal/shmtest"
	"github.com/sluice-ipc/sluice/internal/sys"
)

func init() {
	roles["member"] = member
	roles["mortician"] = mortician
}

// member joins a segment, says its ID, and stays until the parent says bye.
func member(args []string) int {
	s, err := Open(args[0], nil)
	if err != nil {
		return complain("%v", err)
	}
	shmtest.Say("%d", uint64(s.ID()))
	shmtest.Hear()
	if err := s.Close(); err != nil {
		return complain("%v", err)
	}
	return 0
}

// startMember starts a member of s and returns its ID.
func startMember(t testing.TB, s *Segment) (*shmtest.Child, ID) {
	t.Helper()
	c := shmtest.Start(t, "member", s.Name())
	return c, hearID(t, c)
}

func hearID(t testing.TB, c *shmtest.Child) ID {
	t.Helper()
	id, err := strconv.ParseUint(c.Line(), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return ID(id)
}

// recorder is a Repairer that notes whom it was called for.
type recorder struct {
	mu    sync.Mutex
	dead  []ID
	when  []time.Time
	dirty atomic.Bool // Repair says that something is left
}

func (r *recorder) Repair(dead ID) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.dead = append(r.dead, dead)
	r.when = append(r.when, time.Now())
	return !r.dirty.Load()
}

// repaired returns when the first call for id was.
func (r *recorder) repaired(id ID) (time.Time, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if i := slices.Index(r.dead, id); i >= 0 {
		return r.when[i], true
	}
	return time.Time{}, false
}

func (r *recorder) options() *Options {
	return &Options{Size: 4096, MaxParticipants: 4,
		Attach: func(*Segment) (Repairer, error) { return r, nil }}
}

// ticks is a sleeper that counts.
type ticks struct{ atomic.Int64 }

func (n *ticks) Tick() { n.Add(1) }

// asleep makes somebody sleep on s until the test ends, as far as s knows.
func asleep(t testing.TB, s *Segment) *ticks {
	n := &ticks{}
	s.Asleep(n)
	t.Cleanup(func() { s.Awake(n) })
	return n
}

func TestDeathIsProvenAndRepaired(t *testing.T) {
	noLeaks(t)
	r := &recorder{}
	s := closing(t, must(Create(testName(t), r.options()))(t))
	c, id := startMember(t, s)
	if s.Gone(id) {
		t.Fatal("a live member is gone")
	}
	deaths := s.Deaths()
	c.Kill()
	if !s.Gone(id) {
		t.Fatal("a killed member is not gone")
	}
	if _, ok := r.repaired(id); !ok {
		t.Error("nobody repaired")
	}
	if s.Deaths() == deaths {
		t.Error("Deaths has not changed")
	}
	if w := s.word(id); w != wordOf(Free, id.Incarnation()) {
		t.Errorf("the slot's word is %#x, want free", w)
	}
	if !s.Gone(id) || len(r.dead) != 1 {
		t.Errorf("asked again: repaired %v", r.dead)
	}
}

func TestLeavingIsNoDeath(t *testing.T) {
	noLeaks(t)
	r := &recorder{}
	s := closing(t, must(Create(testName(t), r.options()))(t))
	deaths := s.Deaths()
	c, id := startMember(t, s)
	c.Exit()
	if !s.Gone(id) {
		t.Error("who left is not gone")
	}
	s.CheckPeers()
	if len(r.dead) != 0 || s.Deaths() != deaths {
		t.Errorf("repaired %v", r.dead)
	}
}

func TestDeathIsNoticedWhileSomebodySleeps(t *testing.T) {
	for _, tt := range []struct {
		name  string
		pidfd bool
	}{{"by pidfd", true}, {"by the tick", false}} {
		t.Run(tt.name, func(t *testing.T) {
			noLeaks(t)
			if tt.pidfd {
				fd, err := sys.PidfdOpen(os.Getpid())
				if errors.Is(err, errors.ErrUnsupported) {
					t.Skip("no pidfd here")
				}
				sys.Close(fd)
			}
			sys.DisablePidfd(!tt.pidfd)
			defer sys.DisablePidfd(false)
			r := &recorder{}
			s := closing(t, must(Create(testName(t), r.options()))(t))
			n := asleep(t, s)
			var took []time.Duration
			for range 10 {
				took = append(took, noticed(t, s, r, n, tt.pidfd))
			}
			slices.Sort(took)
			t.Logf("%s: from kill to repair: median %v, from %v to %v",
				tt.name, took[len(took)/2], took[0], took[len(took)-1])
		})
	}
}

// noticed kills a member and returns how long it took until it was repaired.
func noticed(t testing.TB, s *Segment, r *recorder, n *ticks, pidfd bool) time.Duration {
	c, id := startMember(t, s)
	shmtest.Eventually(t, func() bool {
		s.pass.Lock()
		defer s.pass.Unlock()
		return !pidfd || s.isWatched(id.Slot(), s.word(id))
	}, "the member is watched")
	before := n.Load()
	killed := time.Now()
	c.Kill()
	var at time.Time
	shmtest.Eventually(t, func() (ok bool) {
		at, ok = r.repaired(id)
		return ok && n.Load() > before
	}, "the death is repaired and the sleeper ticked")
	return at.Sub(killed)
}

// A stopped process must never be taken for dead, however often one looks.
func TestStoppedPeerIsNeverDead(t *testing.T) {
	noLeaks(t)
	r := &recorder{}
	s := closing(t, must(Create(testName(t), r.options()))(t))
	c, id := startMember(t, s)
	n := asleep(t, s)
	c.Stop()
	checks, until := 0, n.Load()+6
	shmtest.Eventually(t, func() bool {
		for range 500 {
			if s.Gone(id) {
				t.Fatal("a stopped member is gone")
			}
			s.CheckPeers()
			checks++
		}
		return n.Load() >= until
	}, "six ticks")
	s.look(true)
	if w := s.word(id); w != wordOf(Active, id.Incarnation()) {
		t.Errorf("the slot's word is %#x", w)
	}
	c.Cont()
	c.Exit() // it leaves as if nothing had been
	if len(r.dead) != 0 {
		t.Errorf("repaired: %v", r.dead)
	}
	t.Logf("%d checks in %d ticks while it was stopped", checks, 6)
}

func TestSlotIsReusedOnlyAfterRepair(t *testing.T) {
	noLeaks(t)
	r := &recorder{}
	r.dirty.Store(true)
	o := r.options()
	o.MaxParticipants = 2
	s := closing(t, must(Create(testName(t), o))(t))
	c, id := startMember(t, s)
	c.Kill()
	for range 3 {
		if _, err := Open(s.Name(), r.options()); !errors.Is(err, ErrFull) {
			t.Fatalf("Open while the slot is not repaired: %v, want ErrFull", err)
		}
	}
	if !isState(s.word(id), Dead) {
		t.Errorf("the slot's word is %#x, want dead", s.word(id))
	}
	// Joiners without a Repairer do not know what the dead one left.
	if p := s.Participants(); len(p) != 2 || p[1].State != Dead || p[1].ID != id {
		t.Errorf("participants: %+v", p)
	}
	r.dirty.Store(false)
	o2 := closing(t, must(Open(s.Name(), r.options()))(t))
	if o2.ID().Slot() != id.Slot() || o2.ID().Incarnation() != id.Incarnation()+1 {
		t.Errorf("the newcomer is %v after %v", o2.ID(), id)
	}
	if !s.Gone(id) || s.Gone(o2.ID()) {
		t.Error("the dead one and its successor are mixed up")
	}
}

func TestWithoutRepairerTheDeadStayMarked(t *testing.T) {
	noLeaks(t)
	s := closing(t, must(Create(testName(t), &Options{Size: 1, Kind: KindQueue}))(t))
	c, id := startMember(t, s)
	c.Kill()
	if !s.Gone(id) {
		t.Fatal("not gone")
	}
	s.CheckPeers()
	if !isState(s.word(id), Dead) {
		t.Errorf("the slot's word is %#x, want dead", s.word(id))
	}
	r := &recorder{}
	closing(t, must(Open(s.Name(), r.options()))(t))
	if _, ok := r.repaired(id); !ok {
		t.Error("who can repair did not, on joining")
	}
}

// mortician joins with a Repairer that kills its own process half-way.
func mortician(args []string) int {
	_, err := Open(args[0], &Options{Attach: func(s *Segment) (Repairer, error) {
		return killer{s}, nil
	}})
	return complain("still alive: %v", err)
}

type killer struct{ s *Segment }

func (k killer) Repair(ID) bool {
	k.s.Data()[0]++
	syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}

func TestRepairerKilledHalfWay(t *testing.T) {
	noLeaks(t)
	r := &recorder{}
	s := closing(t, must(Create(testName(t), r.options()))(t))
	c, id := startMember(t, s)
	c.Kill()
	m := shmtest.Start(t, "mortician", s.Name())
	if code := m.Wait(); code != -1 || s.Data()[0] != 1 {
		t.Fatalf("the repairer ended with %d after %d repairs", code, s.Data()[0])
	}
	if w := s.word(id); w != wordOf(Dead, id.Incarnation()) {
		t.Errorf("the slot's word is %#x, want dead", w)
	}
	s.CheckPeers()
	if len(r.dead) != 2 || !slices.Contains(r.dead, id) {
		t.Errorf("repaired %v, want the member and its repairer", r.dead)
	}
	if p := s.Participants(); len(p) != 1 {
		t.Errorf("participants: %+v", p)
	}
}

func TestFullOfTheDeadThereIsRoom(t *testing.T) {
	noLeaks(t)
	r := &recorder{}
	name := testName(t)
	s := must(Create(name, r.options()))(t)
	var members []*shmtest.Child
	for range 3 {
		c, _ := startMember(t, s)
		members = append(members, c)
	}
	if _, err := Open(name, nil); !errors.Is(err, ErrFull) {
		t.Errorf("Open of a full one: %v", err)
	}
	for _, c := range members {
		c.Kill()
	}
	closing(t, must(Open(name, r.options()))(t))
	s.Close()
	if len(r.dead) != 3 {
		t.Errorf("repaired %v, want three", r.dead)
	}
}

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
	if !strings.HasSuffix(p[1].Label, ".test") || time.Since(p[1].Joined) > time.Hour {
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
