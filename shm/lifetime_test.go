//go:build linux

package shm

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/sluice-ipc/sluice/internal/shmtest"
)

func TestCloseWaitsForWhoeverRetains(t *testing.T) {
	noLeaks(t)
	name := testName(t)
	s := must(Create(name, &Options{Size: 8}))(t)
	peer := closing(t, must(Open(name, nil))(t))
	if err := s.Retain(); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	s.Data()[0] = 1 // still mapped
	if peer.Gone(s.ID()) {
		t.Error("the slot was given up while memory was on loan")
	}
	if err := s.Retain(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Retain after Close: %v", err)
	}
	s.Release()
	if !peer.Gone(s.ID()) {
		t.Error("the slot is not given up after the last Release")
	}
	if err := s.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
	if s.Gone(peer.ID()) || s.Participants() != nil {
		t.Error("a closed segment knows something")
	}
	if _, err := s.File(); !errors.Is(err, ErrClosed) {
		t.Errorf("File after Close: %v", err)
	}
}

// Goroutines that touch the memory while others close it: none may fault, and
// everything is given back once.
func TestCloseUnderCallsInProgress(t *testing.T) {
	noLeaks(t)
	name := testName(t)
	closing(t, must(Create(name, &Options{Size: 4096}))(t))
	for range 50 {
		s := must(Open(name, nil))(t)
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for s.Retain() == nil {
					s.Data()[100]++
					s.CheckPeers()
					s.Participants()
					s.Release()
				}
			})
		}
		for range 2 {
			wg.Go(func() { s.Close() })
		}
		wg.Wait()
	}
}

func TestTwoHundredCyclesLeaveNothing(t *testing.T) {
	noLeaks(t)
	name := testName(t)
	before := shmtest.Threads()
	for range 200 {
		s := must(Create(name, &Options{Size: 1}))(t)
		o := must(Open(name, nil))(t)
		a := must(Anonymous("cycle", &Options{Size: 1}))(t)
		a.Asleep(countTicks{})
		a.Awake(countTicks{})
		a.Close()
		o.Close()
		s.Close()
	}
	if err := Remove(name); err != nil {
		t.Error(err)
	}
	t.Logf("threads before %d, after %d", before, shmtest.Threads())
}

type countTicks struct{}

func (countTicks) Tick() {}

func TestListSaysWhatIsThere(t *testing.T) {
	noLeaks(t)
	live, dead, junk := testName(t), testName(t), testName(t)
	closing(t, must(Create(live, &Options{Size: 77, Kind: KindQueue}))(t))
	must(Create(dead, &Options{Size: 1}))(t).Close()
	if err := os.WriteFile(filepath.Join(shmDir, prefix+junk), []byte("junk"), 0o600); err != nil {
		t.Fatal(err)
	}
	found := map[string]Info{}
	for _, i := range must(List())(t) {
		found[i.Name] = i
	}
	if i := found[live]; !i.Live || i.Size != 77 || i.Kind != KindQueue || i.Err != nil {
		t.Errorf("live one: %+v", i)
	}
	if i, ok := found[dead]; !ok || i.Live || i.Err != nil {
		t.Errorf("one that nobody is in: %+v", i)
	}
	var f *FormatError
	if i := found[junk]; !errors.As(i.Err, &f) {
		t.Errorf("junk: %+v", i)
	}
	if err := Remove(junk); err != nil {
		t.Errorf("Remove of junk with our prefix: %v", err)
	}
}
