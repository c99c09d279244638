//go:build linux

package lock_test

import (
	"errors"
	"os"
	"testing"

	"github.com/sluice-ipc/sluice/shm/lock"
)

// A token holds the mutex as often as it locks it, beside nobody.
func TestOwnerHoldsAsOftenAsItLocks(t *testing.T) {
	m, file := newMutex(t)
	o, rival, other := m.Owner(), m.Owner(), another(t, file)
	deep := func(want int) {
		t.Helper()
		if o.Depth() != want || rival.Depth() != 0 || m.Held() != (want > 0) {
			t.Fatalf("depth %d (the other's %d), held: %v; want depth %d", o.Depth(), rival.Depth(), m.Held(), want)
		}
		for what, try := range map[string]func() (bool, error){
			"the mutex": m.TryLock, "another token": rival.TryLock, "another handle": other.TryLock,
		} {
			if ok, err := try(); want > 0 && (ok || err != nil) {
				t.Fatalf("TryLock of %s at depth %d = %v, %v", what, want, ok, err)
			} else if ok {
				check(map[string]func() error{"the mutex": m.Unlock, "another token": rival.Unlock, "another handle": other.Unlock}[what]())
			}
		}
	}
	deep(0)
	check(o.Lock(bg))
	deep(1)
	if ok, err := o.TryLock(); !ok || err != nil {
		t.Fatalf("TryLock of what it holds = %v, %v", ok, err)
	}
	deep(2)
	check(o.Lock(bg))
	deep(3)
	for depth := 2; depth >= 0; depth-- {
		check(o.Unlock())
		deep(depth)
	}
	if ok, err := o.TryLock(); !ok || err != nil {
		t.Fatalf("TryLock of a free one = %v, %v", ok, err)
	}
	deep(1)
	check(o.Unlock())
}

// What a token does not hold it cannot give up, and nobody gives up what a token
// holds.
func TestUnlockByWhoIsNotTheOwner(t *testing.T) {
	m, file := newMutex(t)
	o, rival, other := m.Owner(), m.Owner(), another(t, file)
	wantErr(t, "Unlock by a token that holds nothing", o.Unlock(), lock.ErrNotOwner)
	wantErr(t, "MarkConsistent by it", o.MarkConsistent(), lock.ErrNotOwner)
	check(m.Lock(bg))
	wantErr(t, "Unlock by a token, held without", o.Unlock(), lock.ErrNotOwner)
	check(m.Unlock())

	check(o.Lock(bg))
	check(o.Lock(bg))
	wantErr(t, "Unlock by another token", rival.Unlock(), lock.ErrNotOwner)
	wantErr(t, "Unlock without a token", m.Unlock(), lock.ErrNotOwner)
	wantErr(t, "MarkConsistent without a token", m.MarkConsistent(), lock.ErrNotOwner)
	wantErr(t, "Unlock through another handle", other.Unlock(), lock.ErrNotOwner)
	wantErr(t, "Unlock by a token of another handle", other.Owner().Unlock(), lock.ErrNotOwner)
	if o.Depth() != 2 || !m.Held() {
		t.Errorf("depth %d, held: %v", o.Depth(), m.Held())
	}
	check(o.Unlock())
	check(o.Unlock())
	wantErr(t, "Unlock once too often", o.Unlock(), lock.ErrNotOwner)
	check(m.Lock(bg))
	wantErr(t, "Unlock without a token, once it has given up", m.Unlock(), nil)
}

// A token is told of a death once, however often it locks.
func TestOwnerIsTold(t *testing.T) {
	m, _ := newMutex(t)
	for what, lockIt := range map[string]func(o *lock.Owner) error{
		"Lock":    func(o *lock.Owner) error { return o.Lock(bg) },
		"TryLock": func(o *lock.Owner) error { _, err := o.TryLock(); return err },
	} {
		m.Word().Store(lock.Inconsistent)
		o := m.Owner()
		wantErr(t, what, lockIt(o), lock.ErrOwnerDied)
		wantErr(t, what+" once more", lockIt(o), nil)
		check(o.Unlock())
		wantErr(t, "MarkConsistent", o.MarkConsistent(), nil)
		check(o.Unlock())
		wantErr(t, what+" after that", lockIt(o), nil)
		check(o.Unlock())
	}
	m.Word().Store(lock.Inconsistent)
	o := m.Owner()
	wantErr(t, "Lock", o.Lock(bg), lock.ErrOwnerDied)
	check(o.Unlock())
	wantErr(t, "Lock of a lost one", o.Lock(bg), lock.ErrNotRecoverable)
	if ok, err := o.TryLock(); ok || !errors.Is(err, lock.ErrNotRecoverable) || o.Depth() != 0 {
		t.Errorf("TryLock = %v, %v at depth %d", ok, err, o.Depth())
	}
}

// What a Locker panics with, nil if it does not.
func panicked(f func()) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = p.(error)
		}
	}()
	f()
	return nil
}

func TestLockerRepairs(t *testing.T) {
	m, _ := newMutex(t)
	sour, repaired := errors.New("sour"), 0
	mend := m.Locker(func() error {
		repaired++
		if !m.Held() {
			t.Error("repair without the lock")
		}
		return nil
	})
	for state, want := range map[uint64]int{0: 0, lock.Inconsistent: 1, lock.Lost: 1} {
		m.Word().Store(state)
		repaired = 0
		mend.Lock()
		if m.Word().Load() != uint64(m.Segment().ID()) || repaired != want {
			t.Errorf("%#x: repaired %d times, want %d; the word is %#x", state, repaired, want, m.Word().Load())
		}
		mend.Unlock()

		m.Word().Store(state)
		m.Locker(nil).Lock()
		if v := m.Word().Load(); v != uint64(m.Segment().ID()) {
			t.Errorf("%#x: without repair the word is %#x", state, v)
		}
		m.Locker(nil).Unlock()
	}

	// Who cannot repair leaves it to the next one.
	for what, repair := range map[string]func() error{
		"an error": func() error { return sour },
		"a panic":  func() error { panic(sour) },
	} {
		m.Word().Store(lock.Inconsistent)
		for range 2 {
			wantErr(t, what, panicked(m.Locker(repair).Lock), sour)
			if m.Holder() != 0 {
				t.Fatalf("%s: held by %v", what, m.Holder())
			}
		}
		wantErr(t, "Lock after "+what, m.Lock(bg), lock.ErrOwnerDied)
		check(m.MarkConsistent())
		check(m.Unlock())
	}
	wantErr(t, "Unlock of a free one", panicked(m.Locker(nil).Unlock), lock.ErrNotLocked)
	m.Close()
	wantErr(t, "Lock after Close", panicked(m.Locker(nil).Lock), os.ErrClosed)
}
