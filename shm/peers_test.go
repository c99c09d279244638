//go:build linux

package shm

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/sluice-ipc/sluice/internal/shmtest"
	"github.com/sluice-ipc/sluice/internal/sys"
)

func init() {
	roles["joiner"] = joining
	roles["adopter"] = adopting
}

func TestSlotSays(t *testing.T) {
	noLeaks(t)
	r := &recorder{}
	r.dirty.Store(true)
	s := closing(t, must(Create(testName(t), r.options()))(t))
	expect := func(i int, st State, id ID) {
		t.Helper()
		if gotSt, got := s.Slot(i); gotSt != st || got != id {
			t.Errorf("slot %d says %v %v, want %v %v", i, gotSt, got, st, id)
		}
	}
	if s.Slots() != 4 {
		t.Errorf("%d slots, want 4", s.Slots())
	}
	expect(0, Active, s.ID())
	expect(1, Free, makeID(1, 0))
	c, id := startMember(t, s)
	expect(1, Active, id)
	c.Kill()
	expect(1, Active, id) // nobody has looked
	if s.AnyDead() {
		t.Error("a death that nobody proved")
	}
	s.CheckPeers()
	expect(1, Dead, id)
	if !s.AnyDead() {
		t.Error("the dead one is forgotten")
	}
	r.dirty.Store(false)
	s.CheckPeers()
	expect(1, Free, id)
	if s.AnyDead() {
		t.Error("the repair is not seen")
	}
	for _, w := range []uint64{77, ^uint64(0), 1<<8 | uint64(Active), 1<<31 | uint64(Dead)} {
		s.slots[3].word.Store(w)
		expect(3, Free, makeID(3, incarnationOf(w)))
	}
	if s.AnyDead() {
		t.Error("garbage is dead")
	}
	s.slots[3].word.Store(0)
}

// A preparer is a Joiner that counts in the slot's byte of the data area, and
// notes what it found wrong.
type preparer struct {
	recorder
	s     *Segment
	slots []int
	bad   []error
}

func (p *preparer) Join(slot int) {
	p.slots = append(p.slots, slot)
	p.s.Data()[slot]++
	if st, _ := p.s.Slot(slot); st != Free || p.s.ID() != 0 {
		p.bad = append(p.bad, errors.New("the slot is taken already"))
	}
	fd, err := sys.Reopen(p.s.lockFD)
	if err != nil {
		p.bad = append(p.bad, err)
		return
	}
	defer sys.Close(fd)
	if held, err := sys.LockedOFD(fd, lockOf(slot), 1); err != nil || !held {
		p.bad = append(p.bad, errors.New("the slot is not locked"))
	}
}

func (p *preparer) options() *Options {
	return &Options{Size: 4096, MaxParticipants: 4, Attach: func(s *Segment) (Repairer, error) {
		p.s = s
		return p, nil
	}}
}

// check says how Join was called for the attachment with that ID.
func (p *preparer) check(id ID) error {
	if !slices.Equal(p.slots, []int{id.Slot()}) {
		p.bad = append(p.bad, errors.New("Join was not called once, for our slot"))
	}
	return errors.Join(p.bad...)
}

// joining joins with a Joiner, says its ID, and stays until the parent says bye.
func joining(args []string) int {
	p := &preparer{}
	s, err := Open(args[0], p.options())
	if err == nil {
		err = p.check(s.ID())
	}
	if err != nil {
		return complain("%v", err)
	}
	shmtest.Say("%d", uint64(s.ID()))
	shmtest.Hear()
	s.Close()
	return 0
}

func TestJoinPreparesTheSlot(t *testing.T) {
	noLeaks(t)
	p := &preparer{}
	s := closing(t, must(Create(testName(t), p.options()))(t))
	if err := p.check(s.ID()); err != nil || s.Data()[0] != 1 {
		t.Errorf("the creator: %v, data %d", err, s.Data()[0])
	}
	for n := byte(1); n <= 6; n++ {
		c := shmtest.Start(t, "joiner", s.Name())
		id := hearID(t, c)
		if id.Slot() != 1 || s.Data()[1] != n {
			t.Errorf("child %d: slot %d was prepared %d times", n, id.Slot(), s.Data()[1])
		}
		if n%2 == 0 {
			c.Kill()
			s.CheckPeers()
		} else {
			c.Exit()
		}
	}
	a := &preparer{}
	anon := closing(t, must(Anonymous("joined", a.options()))(t))
	if err := a.check(anon.ID()); err != nil {
		t.Errorf("the creator of an anonymous one: %v", err)
	}
	if len(p.slots) != 1 || len(p.dead) != 3 {
		t.Errorf("prepared %v, repaired %v by the creator", p.slots, p.dead)
	}
}

// adopting takes a moved end with a Joiner.
func adopting([]string) int {
	p := &preparer{}
	s, _, err := Inherited("end", p.options())
	if err != nil {
		return complain("%v", err)
	}
	defer s.Close()
	if len(p.slots) != 0 {
		return complain("Join was called for %v", p.slots)
	}
	shmtest.Say("%d", uint64(s.ID()))
	shmtest.Hear()
	return 0
}

func TestAdoptedSlotStaysAsItIs(t *testing.T) {
	noLeaks(t)
	s := closing(t, must(Anonymous("moved", (&preparer{}).options()))(t))
	p := &preparer{}
	f := must(s.File())(t)
	e := must(FromFile(f, p.options()))(t)
	f.Close()
	id := e.ID()
	if err := p.check(id); err != nil {
		t.Error(err)
	}
	c := passing(t, "adopter")
	pass(t, c, "end", end{e, ""})
	c.Start()
	if got := hearID(t, c); got != id || s.Data()[id.Slot()] != 1 {
		t.Errorf("%v was prepared %d times, want %v once", got, s.Data()[id.Slot()], id)
	}
	c.Exit()
}

// Nobody sleeps, and the dead are repaired all the same.
func TestHeedRepairs(t *testing.T) {
	noLeaks(t)
	sys.DisablePidfd(true)
	defer sys.DisablePidfd(false)
	r := &recorder{}
	s := closing(t, must(Create(testName(t), r.options()))(t))
	n := &ticks{}
	s.mu.Lock()
	s.sleepers[n]++ // behind the back of the process's tick
	s.mu.Unlock()
	for range 3 {
		c, id := startMember(t, s)
		c.Kill()
		before := n.Load()
		shmtest.Eventually(t, func() bool {
			s.Heed()
			_, ok := r.repaired(id)
			return ok && n.Load() > before
		}, "the death is repaired and the sleeper ticked")
	}
	if ticking.Load() {
		t.Error("the tick runs, and nobody sleeps")
	}
}

// However many goroutines call it, and how often, it looks once in 50 ms.
func TestHeedIsRare(t *testing.T) {
	noLeaks(t)
	sys.DisablePidfd(true)
	defer sys.DisablePidfd(false)
	r := &recorder{}
	r.dirty.Store(true) // so that each look calls Repair
	s := closing(t, must(Create(testName(t), r.options()))(t))
	c, id := startMember(t, s)
	c.Kill()
	if !s.Gone(id) {
		t.Fatal("not gone")
	}
	start, looks := time.Now(), func() int {
		r.mu.Lock()
		defer r.mu.Unlock()
		return len(r.dead)
	}
	already := looks()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for looks() < already+4 && time.Since(start) < shmtest.Watchdog() {
				for range 1000 {
					s.Heed()
				}
			}
		})
	}
	wg.Wait()
	took := time.Since(start)
	if n := looks() - already; n < 4 || n > int(took/tickTime)+1 {
		t.Errorf("looked %d times in %v", n, took)
	}
	r.dirty.Store(false)
	s.CheckPeers()
}

// Who never sleeps notices, too, that its own lock is lost.
func TestHeedChecksOurselves(t *testing.T) {
	noLeaks(t)
	s := must(Create(testName(t), &Options{Size: 1}))(t)
	sys.UnlockOFD(s.lockFD, lockOf(s.ID().Slot()), 1)
	for range fullEvery {
		s.looked.Store(0) // time passes
		s.Heed()
	}
	if !errors.Is(s.Err(), ErrLost) {
		t.Errorf("Err is %v", s.Err())
	}
	s.looked.Store(0)
	s.Heed() // poisoned
	s.Close()
	s.looked.Store(0)
	s.Heed() // closed
}

// Heed while somebody looks returns at once.
func TestHeedDoesNotWait(t *testing.T) {
	noLeaks(t)
	s := closing(t, must(Create(testName(t), &Options{Size: 1}))(t))
	s.pass.Lock()
	s.looked.Store(0)
	s.Heed()
	s.pass.Unlock()
	if s.heeded != 0 {
		t.Error("two looked at a time")
	}
}

func BenchmarkHeed(b *testing.B) {
	s := closing(b, must(Anonymous("busy", &Options{Size: 1}))(b))
	for b.Loop() {
		s.Heed()
	}
}
