//go:build linux

package lock_test

import (
	"context"
	"errors"
	"testing"

	"github.com/sluice-ipc/sluice/internal/shmtest"
	"github.com/sluice-ipc/sluice/internal/wait"
	"github.com/sluice-ipc/sluice/shm"
	"github.com/sluice-ipc/sluice/shm/lock"
)

// newMutex makes a mutex with a name that children open.
func newMutex(t testing.TB) (m *lock.Mutex, name string) {
	t.Helper()
	name = fresh(t)
	m = must(lock.Create[lock.Mutex](name, &lock.Options{Segment: shm.Options{MaxParticipants: 8}}))
	t.Cleanup(func() { m.Close() })
	return m, name
}

// another opens one more handle, which is a participant of its own.
func another(t testing.TB, name string) *lock.Mutex {
	t.Helper()
	m := must(lock.Open[lock.Mutex](name, nil))
	t.Cleanup(func() { m.Close() })
	return m
}

// within ends with the watchdog: a call that should not wait for long fails the
// test rather than hang it.
func within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(bg, shmtest.Watchdog())
	t.Cleanup(cancel)
	return ctx
}

// wantErr fails the test unless err is want, which may be nil.
func wantErr(t testing.TB, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("%s: %v, want %v", what, err, want)
	}
}

// asleep calls f in a goroutine, and returns when that sleeps on something, or
// has ended. What f returns comes through the channel.
func asleep(t testing.TB, f func() error) <-chan error {
	t.Helper()
	before := wait.Sleeps()
	out, ended := make(chan error, 1), make(chan struct{})
	go func() {
		out <- f()
		close(ended)
	}()
	shmtest.Eventually(t, func() bool {
		select {
		case <-ended:
			return true
		default:
			return wait.Sleeps() > before
		}
	}, "it sleeps")
	return out
}

// got waits for what comes through a channel of asleep.
func got(t testing.TB, c <-chan error) error {
	t.Helper()
	select {
	case err := <-c:
		return err
	case <-within(t).Done():
		t.Fatal("it hangs")
		return nil
	}
}

// errs are the errors that children report, by a word each.
var errs = []struct {
	word string
	err  error
}{
	{"died", lock.ErrOwnerDied}, {"unrecoverable", lock.ErrNotRecoverable},
	{"notlocked", lock.ErrNotLocked}, {"notowner", lock.ErrNotOwner},
	{"closed", lock.ErrClosed}, {"deadline", context.DeadlineExceeded},
}

// name returns the word for an error.
func name(err error) string {
	if err == nil {
		return "ok"
	}
	for _, e := range errs {
		if errors.Is(err, e.err) {
			return e.word
		}
	}
	return err.Error()
}
