//go:build linux

package shm

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/sluice-ipc/sluice/internal/mem"
	"github.com/sluice-ipc/sluice/internal/shmtest"
	"github.com/sluice-ipc/sluice/internal/wait"
)

// mapped reports whether memory of that name is mapped.
func mapped(name string) bool {
	return slices.ContainsFunc(shmtest.Mappings(), func(line string) bool { return strings.Contains(line, name) })
}

// Keep keeps the memory, and neither the participant nor the descriptor.
func TestKeepOutlivesClose(t *testing.T) {
	noLeaks(t)
	name := testName(t)
	peer := closing(t, must(Create("kept-"+name, &Options{Size: 8}))(t))
	t.Cleanup(func() { Remove("kept-" + name) })
	fds := len(shmtest.FDs())
	s := must(Open("kept-"+name, nil))(t)
	s.Keep()
	s.Keep()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if n := len(shmtest.FDs()); n != fds {
		t.Errorf("%d descriptors, %d before", n, fds)
	}
	if !peer.Gone(s.ID()) {
		t.Error("the participant is still there")
	}
	for range 2 {
		s.Data()[0]++ // shared with those who are in the segment
		if err := s.Retain(); !errors.Is(err, ErrClosed) {
			t.Errorf("Retain: %v", err)
		}
		if err := s.Unkeep(); err != nil {
			t.Error(err)
		}
	}
	if peer.Data()[0] != 2 {
		t.Errorf("it says %d", peer.Data()[0])
	}
}

// The last of Close, Release and Unkeep unmaps, whichever it is.
func TestTheLastOneUnmaps(t *testing.T) {
	noLeaks(t)
	for what, order := range map[string][]func(s *Segment){
		"Close":   {func(s *Segment) { s.Unkeep() }, (*Segment).Release, func(s *Segment) { s.Close() }},
		"Release": {func(s *Segment) { s.Unkeep() }, func(s *Segment) { s.Close() }, (*Segment).Release},
		"Unkeep":  {func(s *Segment) { s.Close() }, (*Segment).Release, func(s *Segment) { s.Unkeep() }},
	} {
		s := must(Anonymous("the-last-one", &Options{Size: 8}))(t)
		s.Keep()
		if err := s.Retain(); err != nil {
			t.Fatal(err)
		}
		for i, f := range order {
			if !mapped("the-last-one") {
				t.Errorf("%s: unmapped after %d steps", what, i)
			}
			f(s)
		}
		if mapped("the-last-one") {
			t.Errorf("%s: still mapped", what)
		}
	}
}

// Keep and Unkeep of many goroutines, while others close: nobody faults, and all
// is given back.
func TestKeepUnderClose(t *testing.T) {
	noLeaks(t)
	for range 50 {
		s := must(Anonymous("kept", &Options{Size: 4096}))(t)
		var wg sync.WaitGroup
		for i := range 4 {
			s.Keep()
			wg.Go(func() {
				for range 10 {
					s.Keep()
					s.Data()[i]++
					s.Unkeep()
				}
				s.Unkeep()
			})
		}
		wg.Go(func() { s.Close() })
		wg.Wait()
	}
}

func TestUsable(t *testing.T) {
	noLeaks(t)
	s := must(Anonymous("usable", &Options{Size: 8}))(t)
	if !s.Usable() {
		t.Error("a new one is not")
	}
	if err := s.Retain(); err != nil {
		t.Fatal(err)
	}
	s.Close()
	if s.Usable() {
		t.Error("a closed one is, because memory is on loan")
	}
	s.Release()
	if s.Usable() {
		t.Error("a closed one is")
	}
	failed := closing(t, must(Anonymous("failed", &Options{Size: 8}))(t))
	failed.poison(ErrLost)
	if failed.Usable() || failed.Retain() == nil {
		t.Error("one that has failed is")
	}
}

// over is the condition of who sleeps until the segment is of no use any more.
type over struct{ s *Segment }

func (c over) Ready() bool { return !c.s.Usable() }

// Close wakes those who sleep on the segment, at once and not at the next tick,
// and those who are just going to sleep.
func TestCloseWakesSleepers(t *testing.T) {
	noLeaks(t)
	for range 100 {
		s := must(Anonymous("sleepers", &Options{Size: 8}))(t)
		ev := wait.NewEvent(mem.Uint32(s.Data(), 0), s)
		var wg sync.WaitGroup
		for range 3 {
			if err := s.Retain(); err != nil { // as every call does that sleeps
				t.Fatal(err)
			}
			wg.Go(func() {
				defer s.Release()
				if err := ev.Wait(t.Context(), over{s}, wait.NewSpinner(wait.Never)); err != nil {
					t.Error(err)
				}
			})
		}
		s.Close()
		wg.Wait()
		if mapped("memfd:sleepers") {
			t.Fatal("still mapped after the last one woke up")
		}
	}
}

// A segment that fails wakes them as well, by the tick.
func TestFailureWakesSleepers(t *testing.T) {
	noLeaks(t)
	s := must(Anonymous("failing", &Options{Size: 8}))(t)
	ev := wait.NewEvent(mem.Uint32(s.Data(), 0), s)
	if err := s.Retain(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	before := wait.Sleeps()
	go func() { done <- ev.Wait(t.Context(), over{s}, wait.NewSpinner(wait.Never)) }()
	shmtest.Eventually(t, func() bool { return wait.Sleeps() > before })
	s.poison(ErrLost)
	if err := <-done; err != nil {
		t.Error(err)
	}
	s.Release()
	s.Close()
}

// tickCounter is a sleeper that only counts.
type tickCounter struct{ n *int }

func (c tickCounter) Tick() { *c.n++ }

// Close ticks whoever is asleep before it returns, once, and nobody later.
func TestCloseTicksOnce(t *testing.T) {
	noLeaks(t)
	s := must(Anonymous("ticks", &Options{Size: 8}))(t)
	n := 0
	w := tickCounter{&n}
	s.mu.Lock() // the tick itself is not to come
	s.sleepers[w]++
	s.mu.Unlock()
	s.Close()
	if n != 1 {
		t.Errorf("ticked %d times", n)
	}
	s.Close()
	if n != 1 {
		t.Errorf("ticked %d times by a second Close", n)
	}
}
