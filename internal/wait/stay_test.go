//go:build linux

package wait

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/sluice-ipc/sluice/internal/shmtest"
	"github.com/sluice-ipc/sluice/internal/sys"
)

// Who sleeps for long leaves the place in a call of its own to who comes later;
// both are woken.
func TestLongSleeperLeavesItsPlace(t *testing.T) {
	park(t)
	maxDirect = 1
	shmtest.NoLeaks(t)
	var words [2]atomic.Uint32
	var grants [2]ticket
	done := make(chan error)
	sleep := func(i int) {
		go func() {
			done <- NewEvent(&words[i], nil).Wait(context.Background(), &grants[i], NewSpinner(Never))
		}()
	}
	before := Sleeps()
	sleep(0)
	shmtest.Eventually(t, func() bool { return directs.Load() == 1 && Sleeps() > before })
	sleep(1)
	shmtest.Eventually(t, func() bool { return directs.Load() == 0 && parked() == 2 })
	for i := range words {
		grants[i].n.Add(1)
		NewEvent(&words[i], nil).Wake()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// Who keeps its place looks for others more and more seldom, never behind the
// deadline.
func TestStay(t *testing.T) {
	if !sys.HaveWaitv() {
		t.Skip("missing: futex_waitv in this kernel")
	}
	if s := newStay(); s.length != lastStay {
		t.Errorf("it stays for %v, although it is alone", s.length)
	}
	was := maxDirect
	maxDirect = -4 // there are more than enough
	defer func() { maxDirect = was }()
	s := newStay()
	for length := firstStay; length < lastStay; length *= 2 {
		if s.length != length {
			t.Errorf("it stays for %v, want %v", s.length, length)
		}
		end, moves := s.end(0)
		if again, _ := s.end(0); !moves || again != end {
			t.Error("the end of a stay is not the same a moment later")
		}
		if at, moves := s.end(end - 1); at != end-1 || moves {
			t.Errorf("it ends at %d behind the deadline %d", at, end-1)
		}
		if s.over() {
			t.Fatal("it leaves, and nobody wants the place")
		}
	}
	if s.over(); s.length != lastStay {
		t.Errorf("it stays for %v, want %v", s.length, lastStay)
	}
	refusals.Add(1)
	if !s.over() {
		t.Error("it stays although somebody wants the place")
	}
	if s := newStay(); s.over() || s.length != 2*firstStay {
		t.Errorf("it leaves for one who had come before: %v", s.length)
	}
}
