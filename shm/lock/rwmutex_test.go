//go:build linux

package lock_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/sluice-ipc/sluice/internal/mem"
	"github.com/sluice-ipc/sluice/internal/race"
	"github.com/sluice-ipc/sluice/internal/shmtest"
	"github.com/sluice-ipc/sluice/internal/sys"
	"github.com/sluice-ipc/sluice/shm"
	"github.com/sluice-ipc/sluice/shm/lock"
)

// newRW makes a lock for readers and writers, and as many handles on it as
// asked for, each a participant of its own.
func newRW(t testing.TB, handles int) (all []*lock.RWMutex, name string) {
	t.Helper()
	name = fresh(t)
	o := &lock.Options{Segment: shm.Options{MaxParticipants: 8}}
	for range handles {
		m := must(lock.OpenOrCreate[lock.RWMutex](name, o))
		t.Cleanup(func() { m.Close() })
		all = append(all, m)
	}
	return all, name
}

// wantTry fails the test unless an attempt ended with these.
func wantTry(t testing.TB, what string, ok bool, err error, wantOK bool, want error) {
	t.Helper()
	if ok != wantOK || !errors.Is(err, want) {
		t.Fatalf("%s = %v, %v, want %v, %v", what, ok, err, wantOK, want)
	}
}

func tryLock(t testing.TB, m *lock.RWMutex, wantOK bool, want error) {
	t.Helper()
	ok, err := m.TryLock()
	wantTry(t, "TryLock", ok, err, wantOK, want)
}

func tryRLock(t testing.TB, m *lock.RWMutex, wantOK bool, want error) {
	t.Helper()
	ok, err := m.TryRLock()
	wantTry(t, "TryRLock", ok, err, wantOK, want)
}

func TestReadersShareAndWritersDoNot(t *testing.T) {
	h, _ := newRW(t, 3)
	a, b, c := h[0], h[1], h[2]
	check(a.RLock(bg))
	check(a.RLock(bg))
	check(b.RLock(bg))
	tryRLock(t, c, true, nil)
	if ids := c.Readers(); !slices.Equal(ids, []shm.ID{a.Segment().ID(), b.Segment().ID(), c.Segment().ID()}) {
		t.Errorf("read by %v", ids)
	}
	for _, m := range []*lock.RWMutex{c, a, b, a} {
		for _, w := range h {
			tryLock(t, w, false, nil)
		}
		check(m.RUnlock())
	}
	if a.Holder() != 0 || a.Readers() != nil {
		t.Errorf("held by %v, read by %v", a.Holder(), a.Readers())
	}
	check(a.Lock(bg))
	if !a.Held() || b.Held() || b.Holder() != a.Segment().ID() {
		t.Errorf("held by %v", b.Holder())
	}
	for _, m := range h {
		tryLock(t, m, false, nil)
		tryRLock(t, m, false, nil)
	}
	check(a.Unlock())
	tryLock(t, b, true, nil)
	check(b.Unlock())
}

// What is not held through a handle stays as it is.
func TestUnlockOfWhatIsNotHeldRW(t *testing.T) {
	h, _ := newRW(t, 2)
	a, b := h[0], h[1]
	words := func() [3]uint64 {
		return [3]uint64{a.Word().Load(), a.Cell(a.Segment().ID()).Load(), a.Cell(b.Segment().ID()).Load()}
	}
	unchanged := func(what string, f func() error, want error) {
		t.Helper()
		before := words()
		wantErr(t, what, f(), want)
		if v := words(); v != before {
			t.Errorf("%s changes %#x to %#x", what, before, v)
		}
	}
	unchanged("RUnlock of a free one", a.RUnlock, lock.ErrNotLocked)
	unchanged("Unlock of a free one", a.Unlock, lock.ErrNotLocked)
	unchanged("MarkConsistent of a free one", a.MarkConsistent, lock.ErrNotLocked)
	check(b.RLock(bg))
	unchanged("RUnlock of another's", a.RUnlock, lock.ErrNotLocked)
	unchanged("Unlock of what is read", b.Unlock, lock.ErrNotLocked)

	// A writer of ours that waits holds nothing either.
	waiting := asleep(t, func() error { return a.Lock(within(t)) })
	shmtest.Eventually(t, func() bool { return a.Holder() != 0 })
	unchanged("Unlock of what is waited for", a.Unlock, lock.ErrNotLocked)
	unchanged("MarkConsistent of what is waited for", a.MarkConsistent, lock.ErrNotLocked)
	if a.Held() {
		t.Error("it is held")
	}
	check(b.RUnlock())
	wantErr(t, "Lock", got(t, waiting), nil)
	unchanged("Unlock of another's", b.Unlock, lock.ErrNotOwner)
	unchanged("MarkConsistent of another's", b.MarkConsistent, lock.ErrNotOwner)
	unchanged("RUnlock of what is written", a.RUnlock, lock.ErrNotLocked)
	check(a.Unlock())
	unchanged("RUnlock once more", b.RUnlock, lock.ErrNotLocked)

	// What failed has given no pin back.
	check(a.RLock(bg))
	a.Close()
	if b.Segment().Gone(a.Segment().ID()) {
		t.Error("a handle that reads is gone")
	}
	check(a.RUnlock())
	if !b.Segment().Gone(a.Segment().ID()) {
		t.Error("a closed handle is still there")
	}
}

// A slot's next owner is not taken to hold what its last one held, nor is what it
// finds there its own.
func TestSlotIsUsedAgain(t *testing.T) {
	h, name := newRW(t, 2)
	a, old := h[0], h[1]
	id := old.Segment().ID()
	check(old.RLock(bg))
	dead := old.Cell(id).Load()
	check(old.RUnlock())
	check(old.Close())
	a.Cell(id).Store(dead) // as if it had died
	m := must(lock.Open[lock.RWMutex](name, nil))
	defer m.Close()
	if m.Segment().ID().Slot() != id.Slot() {
		t.Fatalf("slot %d, want %d", m.Segment().ID().Slot(), id.Slot())
	}
	wantErr(t, "RUnlock of a predecessor's", m.RUnlock(), lock.ErrNotLocked)
	tryLock(t, a, true, nil)
	check(a.Unlock())
	a.Cell(id).Store(dead + 5)
	check(m.RLock(bg))
	tryLock(t, a, false, nil)
	check(m.RUnlock())
	tryLock(t, a, true, nil)
	check(a.Unlock())
}

func TestWaitersGetTheLockInTurn(t *testing.T) {
	h, _ := newRW(t, 3)
	a, b, c := h[0], h[1], h[2]
	check(a.RLock(bg))
	writer := asleep(t, func() error { return b.Lock(within(t)) })
	// The writer that waits keeps new readers out.
	tryRLock(t, c, false, nil)
	tryRLock(t, a, false, nil)
	tryLock(t, a, false, nil)
	reader := asleep(t, func() error { return c.RLock(within(t)) })
	second := asleep(t, func() error { return c.Lock(within(t)) })
	select {
	case err := <-writer:
		t.Fatalf("a writer beside a reader: %v", err)
	case err := <-reader:
		t.Fatalf("a reader in front of a writer: %v", err)
	default:
	}
	check(a.RUnlock())
	wantErr(t, "Lock", got(t, writer), nil)
	tryRLock(t, a, false, nil)
	check(b.Unlock())
	for range 2 { // either may be first
		select {
		case err := <-reader:
			wantErr(t, "RLock", err, nil)
			check(c.RUnlock())
		case err := <-second:
			wantErr(t, "Lock", err, nil)
			check(c.Unlock())
		}
	}
}

// Whoever gives up while it waits leaves the lock as if it had never asked.
func TestCancelledReadersAndWriters(t *testing.T) {
	h, _ := newRW(t, 3)
	a, b, c := h[0], h[1], h[2]
	done, cancel := context.WithCancel(bg)
	cancel()
	cancelled := func(what string, f func(context.Context) error, others ...func() error) {
		t.Helper()
		ctx, cancel := context.WithCancel(bg)
		waiting := asleep(t, func() error { return f(ctx) })
		var rest []<-chan error
		for _, o := range others {
			rest = append(rest, asleep(t, o))
		}
		cancel()
		wantErr(t, what, got(t, waiting), context.Canceled)
		for _, r := range rest {
			wantErr(t, "who came after it", got(t, r), nil)
		}
		late, cancel := context.WithTimeout(bg, time.Millisecond)
		defer cancel()
		wantErr(t, what+" with a deadline", f(late), context.DeadlineExceeded)
		wantErr(t, what+" with a context that is done", f(done), context.Canceled)
	}
	check(a.RLock(bg))
	cancelled("Lock beside a reader", b.Lock, func() error { return c.RLock(within(t)) })
	if b.Holder() != 0 || len(b.Readers()) != 2 {
		t.Errorf("held by %v, read by %v", b.Holder(), b.Readers())
	}
	check(a.RUnlock())
	check(c.RUnlock())

	check(a.Lock(bg))
	cancelled("Lock beside a writer", b.Lock)
	cancelled("RLock beside a writer", b.RLock)
	if a.Holder() != a.Segment().ID() || a.Readers() != nil {
		t.Errorf("held by %v, read by %v", a.Holder(), a.Readers())
	}
	check(a.Unlock())

	// A context that is done gets one attempt.
	wantErr(t, "RLock of a free one", b.RLock(done), nil)
	check(b.RUnlock())
	b.Asked().Store(1)
	wantErr(t, "Lock of a free one", b.Lock(done), nil)
	check(b.Unlock())
	ids := []shm.ID{b.Segment().ID(), c.Segment().ID()}
	b.Close()
	c.Close()
	for _, id := range ids {
		if !a.Segment().Gone(id) {
			t.Error("a closed handle is still there")
		}
	}
}

func TestCloseWhileWaitingRW(t *testing.T) {
	h, file := newRW(t, 3)
	a, b, c := h[0], h[1], h[2]
	id := b.Segment().ID()
	check(a.RLock(bg))
	waiting := []<-chan error{asleep(t, func() error { return b.Lock(bg) })}
	waiting = append(waiting, asleep(t, func() error { return b.Lock(bg) }))
	waiting = append(waiting, asleep(t, func() error { return b.RLock(bg) }))
	other := asleep(t, func() error { return c.RLock(within(t)) })
	check(b.Close())
	for _, w := range waiting {
		err := got(t, w)
		wantErr(t, "a call under Close", err, lock.ErrClosed)
		wantErr(t, "a call under Close", err, os.ErrClosed)
	}
	wantErr(t, "RLock behind the closed writer", got(t, other), nil)
	if a.Holder() != 0 || !a.Segment().Gone(id) {
		t.Errorf("held by %v after Close", a.Holder())
	}
	for what, err := range map[string]error{"Lock": b.Lock(bg), "RLock": b.RLock(bg)} {
		wantErr(t, what+" after Close", err, lock.ErrClosed)
	}
	tryLock(t, b, false, lock.ErrClosed)
	tryRLock(t, b, false, lock.ErrClosed)
	wantErr(t, "Unlock after Close", b.Unlock(), lock.ErrNotLocked)
	wantErr(t, "RUnlock after Close", b.RUnlock(), lock.ErrNotLocked)
	if s, want := b.String(), fmt.Sprintf("lock.RWMutex(%s, free, 2 readers)", file); s != want {
		t.Errorf("%q, want %q", s, want)
	}
	check(a.RUnlock())
	check(c.RUnlock())
}

func TestCloseWhileHeldRW(t *testing.T) {
	h, _ := newRW(t, 3)
	a, b, c := h[0], h[1], h[2]
	check(a.RLock(bg))
	check(a.Close())
	tryLock(t, c, false, nil)
	tryRLock(t, a, false, lock.ErrClosed)
	check(a.RUnlock())
	if !c.Segment().Gone(a.Segment().ID()) {
		t.Error("the reader is still there")
	}
	check(b.Lock(bg))
	check(b.Close())
	tryRLock(t, c, false, nil)
	check(b.Unlock())
	if !c.Segment().Gone(b.Segment().ID()) {
		t.Error("the writer is still there")
	}
	tryLock(t, c, true, nil)
	check(c.Unlock())
}

// Readers do not get what a dead writer left until somebody has put it right.
func TestReadersAfterADeadWriter(t *testing.T) {
	h, _ := newRW(t, 3)
	a, b, c := h[0], h[1], h[2]
	a.Word().Store(7<<32 | 9) // nobody
	tryRLock(t, a, false, lock.ErrInconsistent)
	wantErr(t, "RLock", b.RLock(bg), lock.ErrInconsistent)
	if ids := a.Readers(); ids != nil {
		t.Errorf("read by %v", ids)
	}
	wantErr(t, "Lock", b.Lock(bg), lock.ErrOwnerDied)
	tryRLock(t, a, false, nil) // it is being put right
	waiting := asleep(t, func() error { return c.RLock(within(t)) })
	check(b.MarkConsistent())
	check(b.Unlock())
	wantErr(t, "RLock that waited", got(t, waiting), nil)
	check(c.RUnlock())
	wantErr(t, "Lock", a.Lock(bg), nil)
	check(a.Unlock())

	a.Word().Store(lock.Inconsistent)
	wantErr(t, "With", a.With(bg, func() error { t.Error("called"); return nil }), lock.ErrOwnerDied)
	wantErr(t, "RWith", a.RWith(bg, func() error { t.Error("called"); return nil }), lock.ErrInconsistent)
	ok, err := a.TryLock()
	wantTry(t, "TryLock", ok, err, true, lock.ErrOwnerDied)
	waiting = asleep(t, func() error { return c.RLock(within(t)) })
	check(a.Unlock())
	wantErr(t, "RLock that waited", got(t, waiting), lock.ErrNotRecoverable)
	tryRLock(t, b, false, lock.ErrNotRecoverable)
	tryLock(t, b, false, lock.ErrNotRecoverable)
	wantErr(t, "Lock", b.Lock(bg), lock.ErrNotRecoverable)
	wantErr(t, "Unlock", b.Unlock(), lock.ErrNotLocked)
}

// A writer that died waiting for readers has changed nothing.
func TestDeadWaitingWriterIsForgotten(t *testing.T) {
	h, _ := newRW(t, 2)
	a, b := h[0], h[1]
	const nobody = 7<<32 | 9 | lock.Entering
	a.Word().Store(nobody)
	tryRLock(t, a, true, nil)
	a.Word().Store(nobody)
	wantErr(t, "RLock", b.RLock(bg), nil)
	check(a.RUnlock())
	check(b.RUnlock())
	a.Word().Store(nobody)
	tryLock(t, a, true, nil)
	check(a.Unlock())
	a.Word().Store(nobody)
	wantErr(t, "Lock", a.Lock(bg), nil)
	check(a.Unlock())

	// Unless it was to put right what another left.
	a.Word().Store(nobody | lock.Inconsistent)
	tryRLock(t, b, false, lock.ErrInconsistent)
	a.Word().Store(nobody | lock.Inconsistent)
	wantErr(t, "Lock", a.Lock(bg), lock.ErrOwnerDied)
	check(a.MarkConsistent())
	check(a.Unlock())

	// And who gives up waiting in the same state leaves it to the next one.
	a.Word().Store(lock.Inconsistent)
	a.Cell(b.Segment().ID()).Store(uint64(b.Segment().ID().Incarnation())<<32 | 1)
	late, cancel := context.WithTimeout(bg, time.Millisecond)
	defer cancel()
	wantErr(t, "Lock", a.Lock(late), context.DeadlineExceeded)
	a.Cell(b.Segment().ID()).Store(0)
	wantErr(t, "Lock", b.Lock(bg), lock.ErrOwnerDied)
}

func TestLockersOfRW(t *testing.T) {
	h, _ := newRW(t, 2)
	a, b := h[0], h[1]
	repairs := 0
	repair := func() error { repairs++; return nil }
	w, r := a.Locker(repair), b.RLocker(repair)
	w.Lock()
	tryRLock(t, b, false, nil)
	w.Unlock()
	r.Lock()
	tryLock(t, a, false, nil)
	r.Unlock()
	for i, v := range []uint64{7<<32 | 9, lock.Inconsistent, lock.Lost} {
		a.Word().Store(v)
		l := []sync.Locker{w, r}[i%2]
		l.Lock()
		l.Unlock()
		if repairs != i+1 || a.Word().Load() != 0 {
			t.Errorf("%#x: %d repairs, then %#x", v, repairs, a.Word().Load())
		}
	}
	for what, f := range map[string]func(){"Unlock": w.Unlock, "RUnlock": r.Unlock} {
		func() {
			defer func() {
				if err, _ := recover().(error); !errors.Is(err, lock.ErrNotLocked) {
					t.Errorf("%s panics with %v", what, err)
				}
			}()
			f()
		}()
	}
	sour := errors.New("sour")
	a.Word().Store(lock.Inconsistent)
	func() {
		defer func() {
			if err, _ := recover().(error); !errors.Is(err, sour) {
				t.Errorf("Lock panics with %v", err)
			}
		}()
		b.RLocker(func() error { return sour }).Lock()
	}()
	wantErr(t, "Lock after a repair that failed", a.Lock(bg), lock.ErrOwnerDied)
}

func TestWithRW(t *testing.T) {
	h, _ := newRW(t, 2)
	a, b := h[0], h[1]
	sour := errors.New("sour")
	wantErr(t, "With", a.With(bg, func() error { tryRLock(t, b, false, nil); return sour }), sour)
	wantErr(t, "RWith", a.RWith(bg, func() error {
		tryRLock(t, b, true, nil)
		tryLock(t, b, false, nil)
		check(b.RUnlock())
		return sour
	}), sour)
	for _, with := range []func(context.Context, func() error) error{a.With, a.RWith} {
		func() {
			defer func() {
				if recover() != sour {
					t.Error("the panic is lost")
				}
			}()
			with(bg, func() error { panic(sour) })
		}()
	}
	tryLock(t, b, true, nil)
	check(b.Unlock())
	wantErr(t, "RWith that unlocks", a.RWith(bg, a.RUnlock), lock.ErrNotLocked)
}

// Nothing is left of a lock that was used, waited for and closed.
func TestNothingLeftRW(t *testing.T) {
	shmtest.NoLeaks(t, fmt.Sprintf("sluice-locktest-%d-", os.Getpid()))
	t.Cleanup(runtime.GC) // the memory is there for as long as a handle may be used
	name := fresh(t)
	a := must(lock.Create[lock.RWMutex](name, nil))
	b := must(lock.Open[lock.RWMutex](name, nil))
	check(a.RLock(bg))
	writer := asleep(t, func() error { return b.Lock(bg) })
	reader := asleep(t, func() error { return b.RLock(bg) })
	check(a.Close())
	check(b.Close())
	wantErr(t, "Lock", got(t, writer), lock.ErrClosed)
	wantErr(t, "RLock", got(t, reader), lock.ErrClosed)
	check(a.RUnlock())
}

func TestNoAllocationsRW(t *testing.T) {
	if race.Enabled {
		t.Skip("missing: a build whose allocations count, the race detector makes its own")
	}
	h, _ := newRW(t, 2)
	a, f := h[0], func() error { return nil }
	check(h[1].RLock(bg))
	r := a.RLocker(nil)
	for what, call := range map[string]func(){
		"RLock":    func() { check(a.RLock(bg)); check(a.RUnlock()) },
		"TryRLock": func() { must(a.TryRLock()); check(a.RUnlock()) },
		"TryLock":  func() { must(a.TryLock()) },
		"RLocker":  func() { r.Lock(); r.Unlock() },
		"RWith":    func() { check(a.RWith(bg, f)) },
		"Holder":   func() { a.Holder(); a.Held() },
	} {
		if n := testing.AllocsPerRun(100, call); n != 0 {
			t.Errorf("%s allocates %v times", what, n)
		}
	}
	check(h[1].RUnlock())
	w := a.Locker(nil)
	for what, call := range map[string]func(){
		"Lock":    func() { check(a.Lock(bg)); check(a.Unlock()) },
		"TryLock": func() { must(a.TryLock()); check(a.Unlock()) },
		"Locker":  func() { w.Lock(); w.Unlock() },
		"With":    func() { check(a.With(bg, f)) },
	} {
		if n := testing.AllocsPerRun(100, call); n != 0 {
			t.Errorf("%s allocates %v times", what, n)
		}
	}
}

// Writers leave the lock to readers who have waited for long, but not for ever:
// they may have died.
func TestWritersGiveWay(t *testing.T) {
	h, _ := newRW(t, 2)
	a := h[0]
	for what, try := range map[string]func() error{
		"Lock": func() error { return a.Lock(bg) },
		"With": func() error { return a.With(bg, func() error { return a.Lock(soon{bg}) }) },
	} {
		a.Asked().Store(1)
		start := time.Now()
		try()
		if d := time.Since(start); d < time.Millisecond {
			t.Errorf("%s has given way for %v", what, d)
		}
		if a.Asked().Load() != 0 {
			t.Errorf("%s gives way again", what)
		}
		if a.Held() {
			check(a.Unlock())
		}
	}
	// TryLock does not wait.
	a.Asked().Store(1)
	tryLock(t, a, true, nil)

	// A reader that has missed a turn asks, and says when it has got in.
	a.Asked().Store(0)
	b := h[1]
	b.NoSpin()
	reader := asleep(t, func() error { return b.RLock(within(t)) })
	_, event := b.Events()
	shmtest.Eventually(t, func() bool {
		event.Add(4) // as a wake-up does that comes when the lock is taken again
		sys.FutexWake(mem.Raw(event), 1)
		return a.Asked().Load() == 1
	}, "it asks")
	check(a.Unlock())
	wantErr(t, "RLock", got(t, reader), nil)
	if a.Asked().Load() != 0 {
		t.Error("it goes on asking")
	}
	check(b.RUnlock())
}

// The count of read locks does not run over, into who they belong to.
func TestTooManyReadLocks(t *testing.T) {
	h, _ := newRW(t, 2)
	a, id := h[0], h[0].Segment().ID()
	full := uint64(id.Incarnation())<<32 | math.MaxUint32
	a.Cell(id).Store(full)
	var e *shm.FormatError
	if err := a.RLock(bg); !errors.As(err, &e) || e.Field != "read locks" {
		t.Errorf("RLock = %v", err)
	}
	if v := a.Cell(id).Load(); v != full {
		t.Errorf("the cell becomes %#x", v)
	}
	a.Cell(id).Store(0)
}

// Who makes true what others sleep for wakes them, and does not leave it to their
// tick; and makes no system call when nobody sleeps.
func TestUnlockersWake(t *testing.T) {
	calls := func(f func() error) uint64 {
		_, before := sys.FutexCalls()
		check(f())
		_, after := sys.FutexCalls()
		return after - before
	}
	h, _ := newRW(t, 2)
	p, _ := newSem(t, 2, 1, 0)
	a, b := h[0], h[1]
	for _, step := range []struct {
		what        string
		take        func(context.Context) error
		sleep, back func() error // who sleeps, and gives back what it got
		act         func() error
	}{
		{"Unlock, a writer", a.Lock, func() error { return b.Lock(bg) }, b.Unlock, a.Unlock},
		{"Unlock, a reader", a.Lock, func() error { return b.RLock(bg) }, b.RUnlock, a.Unlock},
		{"RUnlock, a writer", a.RLock, func() error { return b.Lock(bg) }, b.Unlock, a.RUnlock},
		{"Release", p[0].Acquire, func() error { return p[1].Acquire(bg) }, p[1].Release, p[0].Release},
		{"Release of a new one", p[0].Consume, func() error { return p[1].Acquire(bg) }, p[1].Release, p[0].Release},
	} {
		check(step.take(bg))
		waiting := asleep(t, step.sleep)
		if calls(step.act) == 0 {
			t.Errorf("%s, with one who sleeps: no call to wake it", step.what)
		}
		wantErr(t, step.what, got(t, waiting), nil)
		check(step.back())
		check(step.take(bg))
		check(step.act()) // takes down what the sleepers have left
		check(step.take(bg))
		if n := calls(step.act); n != 0 {
			t.Errorf("%s, with nobody there: %d calls", step.what, n)
		}
	}

	// A writer that gives up lets the readers in whom it kept out.
	check(a.RLock(bg))
	ctx, cancel := context.WithCancel(bg)
	writer := asleep(t, func() error { return b.Lock(ctx) })
	shmtest.Eventually(t, func() bool { return a.Holder() != 0 })
	reader := asleep(t, func() error { return a.RLock(bg) })
	_, event := a.Events()
	settled := func() bool { return a.Asked().Load() != 0 && event.Load()&1 != 0 } // it asks once, awake
	shmtest.Eventually(t, settled)
	before := event.Load()
	cancel()
	wantErr(t, "Lock", got(t, writer), context.Canceled)
	if event.Load() == before {
		t.Error("a writer that gives up does not wake readers")
	}
	wantErr(t, "RLock", got(t, reader), nil)
	check(a.RUnlock())
	check(a.RUnlock())

	// Who finds a dead writer wakes those who have not.
	check(a.Lock(bg))
	reader = asleep(t, func() error { return b.RLock(bg) })
	shmtest.Eventually(t, settled)
	before = event.Load()
	a.Word().Store(gone)
	tryRLock(t, a, false, lock.ErrInconsistent)
	if event.Load() == before {
		t.Error("who finds a dead writer does not wake readers")
	}
	wantErr(t, "RLock", got(t, reader), lock.ErrInconsistent)
}
