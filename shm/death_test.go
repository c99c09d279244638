//go:build linux

package shm

import (
	"errors"
	"os"
	"slices"
	"strconv"
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
				needsPidfd(t)
			}
			sys.DisablePidfd(!tt.pidfd)
			defer sys.DisablePidfd(false)
			r := &recorder{}
			s := closing(t, must(Create(testName(t), r.options()))(t))
			n := asleep(t, s)
			var took []time.Duration
			rounds := 10
			if testing.Short() {
				rounds = 3
			}
			for range rounds {
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
