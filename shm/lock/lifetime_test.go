//go:build linux

package lock_test

import (
	"runtime"
	"testing"

	"github.com/sluice-ipc/sluice/internal/shmtest"
	"github.com/sluice-ipc/sluice/shm"
	"github.com/sluice-ipc/sluice/shm/lock"
)

// collected runs the collector until there is what there was before.
func collected(t *testing.T, f func()) {
	t.Helper()
	f() // what the runtime opens, it opens now
	same := func(a, b int) func() bool {
		return func() bool {
			runtime.GC()
			return len(shmtest.FDs()) <= a && len(shmtest.Mappings()) <= b
		}
	}
	fds, maps := -1, -1
	shmtest.Eventually(t, func() bool { // until nothing of earlier tests is left
		runtime.GC()
		a, b := fds, maps
		fds, maps = len(shmtest.FDs()), len(shmtest.Mappings())
		return a == fds && b == maps
	})
	for range 20 {
		f()
	}
	shmtest.Eventually(t, same(fds, maps), "%d descriptors and %d mappings", fds, maps)
}

// Handles that are closed, or only forgotten, leave no descriptor, no mapping and
// no participant.
func TestHandlesLeaveNothing(t *testing.T) {
	file := fresh(t)
	m := must(lock.Create[lock.Mutex](file, &lock.Options{Segment: shm.Options{MaxParticipants: 32}}))
	s := raw(t, 4096)
	for what, f := range map[string]func(){
		"closed": func() {
			h := must(lock.Open[lock.Mutex](file, nil))
			check(h.Lock(bg))
			check(h.Unlock())
			check(h.Close())
		},
		"forgotten": func() {
			h := must(lock.Open[lock.Mutex](file, nil))
			check(h.Lock(bg))
			check(h.Unlock())
		},
		"forgotten and anonymous": func() { must(lock.Anonymous[lock.Mutex]("forgotten", nil)) },
		"refused":                 func() { lock.Open[lock.Mutex](file+"?", nil) },
		"in a segment of ours": func() {
			again := join(t, s)
			h := must(lock.At[lock.Mutex](again, 128, nil))
			check(h.Lock(bg))
			again.Close()
			check(h.Unlock())
		},
	} {
		t.Run(what, func(t *testing.T) { collected(t, f) })
	}
	m.Segment().CheckPeers()
	for _, in := range []*shm.Segment{m.Segment(), s} {
		if p := in.Participants(); len(p) != 1 {
			t.Errorf("participants: %+v", p)
		}
	}
	m.Close()
}

// What is read without an error result can be read after Close, for as long as
// the handle is there, and in a segment that has been closed as well.
func TestReadsAfterClose(t *testing.T) {
	s := raw(t, 4096)
	other := must(lock.At[lock.Mutex](join(t, s), 128, nil))
	h := must(lock.At[lock.Mutex](s, 128, nil))
	s.Close()
	check(other.Lock(bg))
	for range 3 {
		runtime.GC()
		if h.Held() || h.Holder() != other.Segment().ID() {
			t.Fatalf("held by %v, want %v", h.Holder(), other.Segment().ID())
		}
	}
	check(other.Unlock())
}
