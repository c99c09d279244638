//go:build linux

package lock_test

import (
	"context"
	"os"
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

// Whatever is held keeps its handle until it is given back, and whatever failed
// keeps nothing.
func TestWhatIsHeldKeepsTheHandle(t *testing.T) {
	for what, c := range map[string]struct {
		word  uint64
		other bool // somebody else holds it
		call  func(m *lock.Mutex) error
		want  error
		held  bool
	}{
		"Lock":                {0, false, func(m *lock.Mutex) error { return m.Lock(bg) }, nil, true},
		"TryLock":             {0, false, tries, nil, true},
		"Lock, told":          {lock.Inconsistent, false, func(m *lock.Mutex) error { return m.Lock(bg) }, lock.ErrOwnerDied, true},
		"TryLock, told":       {lock.Inconsistent, false, tries, lock.ErrOwnerDied, true},
		"Lock in vain":        {0, true, func(m *lock.Mutex) error { return m.Lock(soon{bg}) }, context.DeadlineExceeded, false},
		"TryLock in vain":     {0, true, tries, nil, false},
		"Lock, lost":          {lock.Lost, false, func(m *lock.Mutex) error { return m.Lock(bg) }, lock.ErrNotRecoverable, false},
		"TryLock, lost":       {lock.Lost, false, tries, lock.ErrNotRecoverable, false},
		"With":                {0, false, func(m *lock.Mutex) error { return m.With(bg, func() error { return nil }) }, nil, false},
		"With, told":          {lock.Inconsistent, false, func(m *lock.Mutex) error { return m.With(bg, nil) }, lock.ErrOwnerDied, false},
		"Unlock of another's": {0, true, (*lock.Mutex).Unlock, lock.ErrNotOwner, false},
		"Locker, told":        {lock.Inconsistent, false, func(m *lock.Mutex) error { m.Locker(nil).Lock(); return nil }, nil, true},
		"Locker that fails": {lock.Inconsistent, false, func(m *lock.Mutex) error {
			return panicked(m.Locker(func() error { return os.ErrInvalid }).Lock)
		}, os.ErrInvalid, false},
	} {
		m, file := newMutex(t)
		peer := another(t, file)
		m.Word().Store(c.word)
		if c.other {
			check(peer.Lock(bg))
		}
		wantErr(t, what, c.call(m), c.want)
		check(m.Close())
		id := m.Segment().ID()
		if gone := peer.Segment().Gone(id); gone == c.held || m.Held() != c.held {
			t.Errorf("%s, and Close: gone: %v, held: %v, want %v", what, gone, m.Held(), c.held)
		}
		if c.held {
			check(m.Unlock())
		}
		if !peer.Segment().Gone(id) {
			t.Errorf("%s, Close and Unlock: it is still there", what)
		}
		if c.other {
			check(peer.Unlock())
		}
	}
}

func tries(m *lock.Mutex) error {
	_, err := m.TryLock()
	return err
}
