//go:build linux

package lock_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-ipc/sluice/internal/race"
	"github.com/sluice-ipc/sluice/shm"
	"github.com/sluice-ipc/sluice/shm/lock"
)

func TestMutexIsHeldByOneAtATime(t *testing.T) {
	m, name := newMutex(t)
	other := another(t, name)
	wantErr(t, "Lock", m.Lock(bg), nil)
	if m.Holder() != m.Segment().ID() || !m.Held() || other.Held() || other.Holder() != m.Holder() {
		t.Errorf("held by %v, want %v", m.Holder(), m.Segment().ID())
	}
	for what, h := range map[string]*lock.Mutex{"another": other, "the same": m} {
		if ok, err := h.TryLock(); ok || err != nil {
			t.Errorf("TryLock through %s handle = %v, %v", what, ok, err)
		}
	}
	wantErr(t, "Unlock", m.Unlock(), nil)
	if ok, err := other.TryLock(); !ok || err != nil {
		t.Errorf("TryLock of a free one = %v, %v", ok, err)
	}
	wantErr(t, "Unlock", other.Unlock(), nil)
	if m.Held() || m.Holder() != 0 {
		t.Errorf("held by %v", m.Holder())
	}
}

// What is not held through a handle stays as it is, whatever that handle says.
func TestUnlockOfWhatIsNotHeld(t *testing.T) {
	m, name := newMutex(t)
	other := another(t, name)
	unchanged := func(what string, f func() error, want error) {
		t.Helper()
		before := m.Word().Load()
		wantErr(t, what, f(), want)
		if v := m.Word().Load(); v != before {
			t.Errorf("%s changes the word from %#x to %#x", what, before, v)
		}
	}
	unchanged("Unlock of a free one", m.Unlock, lock.ErrNotLocked)
	unchanged("MarkConsistent of a free one", m.MarkConsistent, lock.ErrNotLocked)
	check(other.Lock(bg))
	unchanged("Unlock of another's", m.Unlock, lock.ErrNotOwner)
	unchanged("MarkConsistent of another's", m.MarkConsistent, lock.ErrNotOwner)
	unchanged("MarkConsistent of a consistent one", other.MarkConsistent, nil)
	check(other.Unlock())
	unchanged("Unlock for the second time", other.Unlock, lock.ErrNotLocked)

	// Pins are counted: what failed has given nothing back.
	check(m.Lock(bg))
	m.Close()
	if other.Segment().Gone(m.Segment().ID()) {
		t.Error("a handle that holds the lock is gone")
	}
	check(m.Unlock())
	unchanged("Unlock through a closed handle", m.Unlock, lock.ErrNotLocked)
}

// Any goroutine unlocks through the handle that locked.
func TestUnlockByAnotherGoroutine(t *testing.T) {
	m, _ := newMutex(t)
	check(m.Lock(bg))
	wantErr(t, "Unlock", <-asleep(t, m.Unlock), nil)
	if m.Holder() != 0 {
		t.Error("still held")
	}
}

func TestGoroutinesExcludeEachOther(t *testing.T) {
	m, file := newMutex(t)
	n, other := 0, another(t, file)
	var wg sync.WaitGroup
	turns := shorten(20_000)
	for range 3 {
		for _, h := range []*lock.Mutex{m, other} {
			wg.Go(func() {
				for i := range turns {
					if i%8 == 0 {
						for ok := false; !ok; {
							ok = must(h.TryLock())
						}
					} else {
						check(h.Lock(bg))
					}
					n++
					check(h.Unlock())
				}
			})
		}
	}
	wg.Wait()
	if n != 6*turns {
		t.Errorf("counted to %d, want %d", n, 6*turns)
	}
}

// shorten makes a number of turns smaller where they take long.
func shorten(n int) int {
	if testing.Short() || race.Enabled || os.Getenv("SLUICE_EMULATED") == "1" {
		n /= 10
	}
	return n
}

func TestDeadlinesAndCancellation(t *testing.T) {
	m, file := newMutex(t)
	holder := another(t, file)
	check(holder.Lock(bg))

	late, cancel := context.WithTimeout(bg, 5*time.Millisecond)
	defer cancel()
	start := time.Now()
	wantErr(t, "Lock with a deadline", m.Lock(late), context.DeadlineExceeded)
	if time.Since(start) < 5*time.Millisecond {
		t.Error("the deadline came early")
	}
	ctx, cancel := context.WithCancel(bg)
	waiting := asleep(t, func() error { return m.Lock(ctx) })
	cancel()
	wantErr(t, "Lock that is cancelled", got(t, waiting), context.Canceled)
	if m.Holder() != holder.Segment().ID() {
		t.Errorf("held by %v", m.Holder())
	}

	// A context that is done gets one attempt.
	wantErr(t, "Lock with a context that is done", m.Lock(ctx), context.Canceled)
	wantErr(t, "Lock with a deadline that has passed", m.Lock(late), context.DeadlineExceeded)
	check(holder.Unlock())
	wantErr(t, "Lock of a free one with a context that is done", m.Lock(ctx), nil)
	check(m.Unlock())
	m.Word().Store(lock.Starving)
	wantErr(t, "Lock of a free one that somebody is to have first", m.Lock(ctx), nil)
	check(m.Unlock())

	// What gave up has given its pins back.
	id := m.Segment().ID()
	m.Close()
	if !holder.Segment().Gone(id) {
		t.Error("a closed handle is still there")
	}
}

// Waiters that give up now and then do not take a wake-up with them that was
// meant for another.
func TestCancelledWaitersLoseNoWakeUp(t *testing.T) {
	m, file := newMutex(t)
	other := another(t, file)
	var wg sync.WaitGroup
	n, turns := 0, shorten(3000)
	for i := range 4 {
		h := []*lock.Mutex{m, other}[i%2]
		wg.Go(func() {
			for k := 0; k < turns; {
				ctx, cancel := context.WithTimeout(bg, time.Duration(k%50)*time.Microsecond)
				err := h.Lock(ctx)
				cancel()
				if errors.Is(err, context.DeadlineExceeded) {
					if k%3 > 0 {
						continue
					}
					err = h.Lock(bg)
				}
				check(err)
				n++
				k++
				check(h.Unlock())
			}
		})
	}
	wg.Wait()
	if n != 4*turns || m.Holder() != 0 {
		t.Errorf("%d turns, held by %v", n, m.Holder())
	}
}

func TestCloseWhileWaiting(t *testing.T) {
	m, file := newMutex(t)
	holder := another(t, file)
	check(holder.Lock(bg))
	id := m.Segment().ID()
	a := asleep(t, func() error { return m.Lock(bg) })
	b := asleep(t, func() error { return m.Owner().Lock(bg) })
	check(m.Close())
	for _, c := range []<-chan error{a, b} {
		err := got(t, c)
		wantErr(t, "Lock under Close", err, lock.ErrClosed)
		wantErr(t, "Lock under Close", err, os.ErrClosed)
		if !strings.Contains(err.Error(), "lock: lock "+file+":") {
			t.Errorf("the error does not say which lock: %v", err)
		}
	}
	if !holder.Segment().Gone(id) {
		t.Error("a closed handle is still there")
	}
	wantErr(t, "Lock after Close", m.Lock(bg), lock.ErrClosed)
	_, err := m.TryLock()
	wantErr(t, "TryLock after Close", err, lock.ErrClosed)
	wantErr(t, "Unlock after Close", m.Unlock(), lock.ErrNotOwner)
	wantErr(t, "second Close", m.Close(), nil)
	if m.Holder() != holder.Segment().ID() || m.Held() { // the memory is there
		t.Errorf("held by %v, as a closed handle sees it", m.Holder())
	}
	if s := m.String(); !strings.Contains(s, holder.Segment().ID().String()) || strings.Contains(s, "gone") {
		t.Errorf("a closed handle says %q", s)
	}
	check(holder.Unlock())
}

// A lock that is held stays so under Close, until it is unlocked.
func TestCloseWhileHeld(t *testing.T) {
	m, file := newMutex(t)
	other := another(t, file)
	check(m.Lock(bg))
	check(m.Close())
	id := m.Segment().ID()
	other.Segment().CheckPeers()
	if ok, err := other.TryLock(); ok || err != nil || !m.Held() || other.Segment().Gone(id) {
		t.Fatalf("TryLock = %v, %v; held: %v", ok, err, m.Held())
	}
	wantErr(t, "Lock after Close", m.Lock(bg), lock.ErrClosed)
	waiting := asleep(t, func() error { return other.Lock(bg) })
	wantErr(t, "Unlock after Close", m.Unlock(), nil)
	wantErr(t, "Lock after that", got(t, waiting), nil)
	if !other.Segment().Gone(id) {
		t.Error("the closed handle is still there")
	}
}

func TestWith(t *testing.T) {
	m, file := newMutex(t)
	other, sour := another(t, file), errors.New("sour")
	wantErr(t, "With", m.With(bg, func() error {
		if !m.Held() {
			t.Error("not held")
		}
		return sour
	}), sour)
	func() {
		defer func() {
			if recover() != sour {
				t.Error("the panic is lost")
			}
		}()
		m.With(bg, func() error { panic(sour) })
	}()
	if m.Holder() != 0 {
		t.Fatal("still held")
	}
	wantErr(t, "With that unlocks", m.With(bg, m.Unlock), lock.ErrNotLocked)

	// With puts nothing right, so the next one is told as well.
	m.Word().Store(lock.Inconsistent)
	for range 2 {
		wantErr(t, "With", m.With(bg, func() error { t.Error("called"); return nil }), lock.ErrOwnerDied)
	}
	wantErr(t, "Lock after With", other.Lock(bg), lock.ErrOwnerDied)
	check(other.MarkConsistent())
	check(other.Unlock())
	wantErr(t, "With", m.With(bg, func() error { return nil }), nil)
}

// A lock that was unlocked without MarkConsistent is nobody's any more, those
// who wait included.
func TestNotRecoverable(t *testing.T) {
	m, file := newMutex(t)
	a, b := another(t, file), another(t, file)
	m.Word().Store(lock.Inconsistent)
	wantErr(t, "Lock", m.Lock(bg), lock.ErrOwnerDied)
	waiting := []<-chan error{
		asleep(t, func() error { return a.Lock(bg) }),
		asleep(t, func() error { return b.Owner().Lock(bg) }),
	}
	check(m.Unlock())
	for _, c := range waiting {
		wantErr(t, "Lock that waits", got(t, c), lock.ErrNotRecoverable)
	}
	for _, h := range []*lock.Mutex{m, a, b} {
		wantErr(t, "Lock", h.Lock(bg), lock.ErrNotRecoverable)
		ok, err := h.TryLock()
		if ok {
			t.Error("TryLock succeeds")
		}
		wantErr(t, "TryLock", err, lock.ErrNotRecoverable)
		wantErr(t, "Unlock", h.Unlock(), lock.ErrNotLocked)
		wantErr(t, "MarkConsistent", h.MarkConsistent(), lock.ErrNotLocked)
	}
	check(must(shm.Open(file, nil)).Close()) // the segment is well
}

func TestStringNamesTheHolder(t *testing.T) {
	file := fresh(t)
	m := must(lock.Create[lock.Mutex](file, &lock.Options{Segment: shm.Options{Label: "tester"}}))
	defer m.Close()
	if s, want := m.String(), fmt.Sprintf("lock.Mutex(%s, free)", file); s != want {
		t.Errorf("%q, want %q", s, want)
	}
	check(m.Lock(bg))
	if s, want := m.String(), fmt.Sprintf("lock.Mutex(%s, held by process %d, tester)", file, os.Getpid()); s != want {
		t.Errorf("%q, want %q", s, want)
	}
	check(m.Unlock())
	m.Word().Store(7<<32 | 9)
	if s, want := m.String(), fmt.Sprintf("lock.Mutex(%s, held by 7.9, who is gone)", file); s != want {
		t.Errorf("%q, want %q", s, want)
	}
}

func TestNoAllocations(t *testing.T) {
	if race.Enabled {
		t.Skip("needs a build without the race detector, which allocates")
	}
	m, _ := newMutex(t)
	o, l, f := m.Owner(), m.Locker(nil), func() error { return nil }
	for what, call := range map[string]func(){
		"Lock":    func() { check(m.Lock(bg)); check(m.Unlock()) },
		"TryLock": func() { must(m.TryLock()); must(m.TryLock()); check(m.Unlock()) },
		"Owner":   func() { check(o.Lock(bg)); check(o.Lock(bg)); check(o.Unlock()); check(o.Unlock()) },
		"Locker":  func() { l.Lock(); l.Unlock() },
		"With":    func() { check(m.With(bg, f)) },
		"Holder":  func() { m.Holder(); m.Held() },
	} {
		if n := testing.AllocsPerRun(100, call); n != 0 {
			t.Errorf("%s allocates %v times", what, n)
		}
	}
}
