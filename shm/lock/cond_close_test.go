//go:build linux

package lock_test

import (
	"context"
	"testing"

	"github.com/sluice-ipc/sluice/shm/lock"
)

// waitAndFail begins to wait on c, and is to come back without the mutex.
func waitAndFail(t testing.TB, c *lock.Cond) <-chan error {
	t.Helper()
	return begin(t, bg, func(ctx context.Context) error {
		check(c.Mutex().Lock(bg))
		return c.Wait(ctx)
	})
}

// Close ends the waits of its handle, without the mutex, and those of no other.
func TestCondClose(t *testing.T) {
	c, file := newCond(t)
	other := anotherCond(t, file)
	mine, theirs := waitAndFail(t, c), waitOn(t, bg, other)
	check(c.Close())
	wantErr(t, "Wait", got(t, mine), lock.ErrClosed)
	wantErr(t, "Lock", c.Mutex().Lock(bg), lock.ErrClosed)
	wantErr(t, "Signal", c.Signal(), lock.ErrClosed)
	third := anotherCond(t, file)
	locked(third, func() {
		if n := third.Waiters(); n != 1 {
			t.Errorf("%d wait, want the other one", n)
		}
		check(third.Signal())
	})
	wantErr(t, "Wait of the other handle", got(t, theirs), nil)

	// Closed while it holds the mutex: Wait gives it up all the same.
	check(other.Mutex().Lock(bg))
	check(other.Close())
	wantErr(t, "Wait", other.Wait(bg), lock.ErrClosed)
	locked(third, func() {})
}

// Closing the mutex that a condition was given ends its waits, and so does
// closing the condition, after which the mutex can be had.
func TestCondCloseOfOneOfTwo(t *testing.T) {
	for _, which := range []string{"mutex", "condition"} {
		m, file := newMutex(t)
		o := eight()
		o.Mutex = m
		c := must(lock.Anonymous[lock.Cond]("given", o))
		c.NoSpin()
		waiting := waitAndFail(t, c)
		if which == "mutex" {
			check(m.Close())
		} else {
			check(c.Close())
		}
		wantErr(t, "Wait", got(t, waiting), lock.ErrClosed)
		check(another(t, file).Lock(bg))
		check(c.Close())
	}
}

// Who holds a mutex that is to be repaired cannot wait: giving it up would lose it.
func TestCondWaitBeforeRepair(t *testing.T) {
	c, _ := newCond(t)
	m := c.Mutex()
	m.Word().Store(lock.Inconsistent)
	wantErr(t, "Lock", m.Lock(bg), lock.ErrOwnerDied)
	wantErr(t, "Wait", c.Wait(bg), lock.ErrInconsistent)
	if !m.Held() {
		t.Fatal("the mutex is not held")
	}
	check(m.MarkConsistent())
	wantErr(t, "Wait", c.Wait(done()), context.Canceled)
	check(m.Unlock())
}

// Who waits when the mutex is lost is told, and does not wait for what cannot
// come any more.
func TestCondWaitWhenTheMutexIsLost(t *testing.T) {
	c, file := newCond(t)
	other := anotherCond(t, file)
	waiting := waitAndFail(t, c)
	check(other.Mutex().Lock(bg))
	w := other.Mutex().Word()
	w.Or(lock.Inconsistent) // as if it had been told of a death
	check(other.Mutex().Unlock())
	wantErr(t, "Wait", got(t, waiting), lock.ErrNotRecoverable)
}
