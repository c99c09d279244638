//go:build linux

package lock_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sluice-ipc/sluice/internal/wait"
	"github.com/sluice-ipc/sluice/shm"
	"github.com/sluice-ipc/sluice/shm/lock"
)

// newCond makes a condition with a name that children open.
func newCond(t testing.TB) (c *lock.Cond, file string) {
	t.Helper()
	file = fresh(t)
	c = must(lock.Create[lock.Cond](file, eight()))
	c.NoSpin()
	t.Cleanup(func() { c.Close() })
	return c, file
}

// anotherCond opens one more handle, which is a participant of its own.
func anotherCond(t testing.TB, file string) *lock.Cond {
	t.Helper()
	c := must(lock.Open[lock.Cond](file, nil))
	c.NoSpin()
	t.Cleanup(func() { c.Close() })
	return c
}

// locked calls f with the mutex of c held.
func locked(c *lock.Cond, f func()) {
	check(c.Mutex().Lock(bg))
	f()
	check(c.Mutex().Unlock())
}

// waitOn begins to wait on c once, and returns when it waits.
func waitOn(t testing.TB, ctx context.Context, c *lock.Cond) <-chan error {
	t.Helper()
	return begin(t, ctx, func(ctx context.Context) error {
		check(c.Mutex().Lock(bg))
		err := c.Wait(ctx)
		if !c.Mutex().Held() {
			return fmt.Errorf("the mutex is not held after %v", err)
		}
		check(c.Mutex().Unlock())
		return err
	})
}

// leaves waits until nobody can go on any more, and holds that left wait then.
func leaves(t testing.TB, c *lock.Cond, left uint64) {
	t.Helper()
	shortly(t, func() bool { return c.Grants() == 0 && c.Waiters() <= left }, "all but %d go on", left)
	locked(c, func() {
		if n := c.Waiters(); n != left {
			t.Fatalf("%d still wait, want %d", n, left)
		}
	})
}

func TestCondMutex(t *testing.T) {
	c, file := newCond(t)
	if c.Mutex().Segment() != c.Segment() {
		t.Fatal("a condition has no mutex of its own")
	}
	other := anotherCond(t, file)
	check(c.Mutex().Lock(bg))
	if ok, err := other.Mutex().TryLock(); ok || err != nil {
		t.Errorf("TryLock of another handle's = %v, %v", ok, err)
	}
	check(c.Mutex().Unlock())

	m, _ := newMutex(t)
	o := eight()
	o.Mutex = m
	name := fresh(t)
	given := must(lock.Create[lock.Cond](name, o))
	defer given.Close()
	if given.Mutex() != m {
		t.Error("Mutex is not the one in the options")
	}
	var wrong *shm.FormatError
	if c, err := lock.Open[lock.Cond](name, nil); !errors.As(err, &wrong) {
		t.Errorf("Open without the mutex = %v, %v", c, err)
	}
	if c, err := lock.Open[lock.Cond](file, o); !errors.As(err, &wrong) {
		t.Errorf("Open with a mutex, of one that has its own = %v, %v", c, err)
	}
	given.NoSpin()
	waiting := waitOn(t, bg, given)
	locked(given, func() { check(given.Signal()) })
	wantErr(t, "Wait with the mutex from the options", got(t, waiting), nil)
}

// What is not done with the mutex held does nothing.
func TestCondNeedsTheMutex(t *testing.T) {
	c, file := newCond(t)
	other := anotherCond(t, file)
	calls := map[string]func() error{
		"Wait":      func() error { return c.Wait(done()) },
		"WaitFor":   func() error { return c.WaitFor(done(), func() bool { return true }) },
		"Signal":    c.Signal,
		"Notify":    func() error { return c.Notify(2) },
		"Notify(0)": func() error { return c.Notify(0) },
		"Broadcast": c.Broadcast,
	}
	for what, f := range calls {
		wantErr(t, what+", free", f(), lock.ErrNotLocked)
	}
	locked(other, func() {
		for what, f := range calls {
			wantErr(t, what+", another's", f(), lock.ErrNotOwner)
		}
		if !other.Mutex().Held() {
			t.Error("the mutex is gone")
		}
	})
	o := c.Mutex().Owner()
	wantErr(t, "WaitAs of a token that holds nothing", c.WaitAs(done(), o), lock.ErrNotOwner)
	check(o.Lock(bg))
	wantErr(t, "Wait while a token holds it", c.Wait(done()), lock.ErrNotOwner)
	wantErr(t, "Signal while a token holds it", c.Signal(), nil)
	elsewhere := must(lock.Anonymous[lock.Cond]("elsewhere", eight()))
	defer elsewhere.Close()
	wantErr(t, "WaitAs of another mutex's token", elsewhere.WaitAs(done(), o), lock.ErrNotOwner)
	check(o.Unlock())
}

func TestCondWaitTimes(t *testing.T) {
	c, file := newCond(t)
	other := anotherCond(t, file)
	past, cancel := context.WithDeadline(bg, time.Unix(0, 0))
	defer cancel()
	moment, cancel := context.WithTimeout(bg, time.Millisecond)
	defer cancel()
	for want, ctxs := range map[error][]context.Context{
		context.Canceled: {done()}, context.DeadlineExceeded: {past, moment},
	} {
		for _, ctx := range ctxs {
			check(c.Mutex().Lock(bg))
			wantErr(t, "Wait", c.Wait(ctx), want)
			if !c.Mutex().Held() {
				t.Error("the mutex is not held afterwards")
			}
			check(c.Mutex().Unlock())
		}
	}
	notified := waitOn(t, bg, c)
	locked(other, func() { check(other.Signal()) })
	wantErr(t, "Wait, notified", got(t, notified), nil)
	ctx, cancel := context.WithCancel(bg)
	cancelled := waitOn(t, ctx, c)
	cancel()
	wantErr(t, "Wait, cancelled", got(t, cancelled), context.Canceled)
}

// A token gives up all its levels while it waits, and has them back afterwards.
func TestCondWaitAs(t *testing.T) {
	c, file := newCond(t)
	other := anotherCond(t, file)
	for want, end := range map[error]func(context.CancelFunc){
		nil:              func(context.CancelFunc) { locked(other, func() { check(other.Signal()) }) },
		context.Canceled: func(cancel context.CancelFunc) { cancel() },
	} {
		o := c.Mutex().Owner()
		ctx, cancel := context.WithCancel(bg)
		depth := make(chan int, 1)
		waiting := begin(t, ctx, func(ctx context.Context) error {
			for range 3 {
				check(o.Lock(bg))
			}
			err := c.WaitAs(ctx, o)
			depth <- o.Depth()
			for range 3 {
				check(o.Unlock())
			}
			return err
		})
		locked(other, func() {}) // it can be had
		end(cancel)
		wantErr(t, "WaitAs", got(t, waiting), want)
		cancel()
		if d := <-depth; d != 3 {
			t.Errorf("the depth is %d afterwards, want 3", d)
		}
	}
	if c.Mutex().Holder() != 0 {
		t.Error("the mutex is still held")
	}
}

// Taking the mutex again is not cut short by the context.
func TestCondLocksAgainHoweverLate(t *testing.T) {
	c, file := newCond(t)
	c.Mutex().NoSpin()
	other := anotherCond(t, file)
	ctx, cancel := context.WithCancel(bg)
	waiting := waitOn(t, ctx, c)
	check(other.Mutex().Lock(bg))
	before := wait.Sleeps()
	cancel()
	shortly(t, func() bool { return wait.Sleeps() > before }, "it waits for the mutex")
	select {
	case err := <-waiting:
		t.Fatalf("Wait ended without the mutex: %v", err)
	default:
	}
	check(other.Mutex().Unlock())
	wantErr(t, "Wait", got(t, waiting), context.Canceled)
}

// Notify wakes that many, Signal one and Broadcast all; with nobody waiting it is
// forgotten.
func TestCondNotify(t *testing.T) {
	for _, n := range []int{-1, 0, 1, 2, 3, 4, 100} {
		c, file := newCond(t)
		other := anotherCond(t, file)
		locked(c, func() { check(c.Notify(max(n, 0))); check(c.Broadcast()) }) // nobody is there
		var waiting []<-chan error
		for i := range 4 {
			waiting = append(waiting, waitOn(t, bg, []*lock.Cond{c, other}[i%2]))
		}
		locked(c, func() { check(c.Notify(n)) })
		leaves(t, c, uint64(4-min(max(n, 0), 4)))
		locked(other, func() { check(other.Broadcast()) })
		for _, w := range waiting {
			wantErr(t, "Wait", got(t, w), nil)
		}
	}
	c, _ := newCond(t)
	var waiting []<-chan error
	for range 3 {
		waiting = append(waiting, waitOn(t, bg, c))
	}
	for left := uint64(2); len(waiting) > 0; left-- {
		locked(c, func() { check(c.Signal()) })
		leaves(t, c, left)
		waiting = waiting[1:]
	}
}

// Who begins to wait after a notification is not affected by it, also when those
// it was meant for have not gone on yet.
func TestCondLaterWaiters(t *testing.T) {
	c, file := newCond(t)
	other := anotherCond(t, file)
	for range shorten(50) {
		early := []<-chan error{waitOn(t, bg, c), waitOn(t, bg, other)}
		// With the mutex held all the time, so that nobody can go on before
		// the later one waits.
		check(c.Mutex().Lock(bg))
		check(c.Broadcast())
		moment, cancel := context.WithTimeout(bg, time.Millisecond)
		wantErr(t, "the later Wait", c.Wait(moment), context.DeadlineExceeded)
		cancel()
		check(c.Mutex().Unlock())
		for _, w := range early {
			wantErr(t, "Wait", got(t, w), nil)
		}
	}
}

// Who gives up, before or after others are notified, swallows nothing.
func TestCondTimeoutsSwallowNothing(t *testing.T) {
	c, file := newCond(t)
	other := anotherCond(t, file)
	for range shorten(500) {
		ctx, cancel := context.WithCancel(bg)
		gives, stays := waitOn(t, ctx, c), waitOn(t, bg, other)
		locked(c, func() {
			cancel() // at the same time as one is notified
			check(c.Signal())
		})
		switch err := got(t, gives); {
		case err == nil: // it was the one
			locked(c, func() { check(c.Signal()) })
		case !errors.Is(err, context.Canceled):
			t.Fatal(err)
		}
		wantErr(t, "Wait of the one that stays", got(t, stays), nil)
	}
	if n := c.Waiters(); n != 0 {
		t.Errorf("%d are thought to wait", n)
	}
}

// The predicate is asked before the first wait, after each, and once more when
// the context ends.
func TestCondWaitFor(t *testing.T) {
	c, file := newCond(t)
	other := anotherCond(t, file)
	locked(c, func() {
		wantErr(t, "WaitFor what holds", c.WaitFor(done(), func() bool { return true }), nil)
		asked := 0
		wantErr(t, "WaitFor in vain", c.WaitFor(done(), func() bool { asked++; return false }), context.Canceled)
		wantErr(t, "WaitFor what holds at last", c.WaitFor(done(), func() bool { asked++; return asked == 4 }), nil)
		if asked != 4 {
			t.Errorf("asked %d times", asked)
		}
	})
	n := 0
	waiting := begin(t, bg, func(ctx context.Context) error {
		check(c.Mutex().Lock(bg))
		err := c.WaitFor(ctx, func() bool { return n >= 3 })
		check(c.Mutex().Unlock())
		return err
	})
	for range 3 {
		locked(other, func() { n++; check(other.Broadcast()) })
	}
	wantErr(t, "WaitFor", got(t, waiting), nil)
}

func TestCondString(t *testing.T) {
	c, file := newCond(t)
	want := fmt.Sprintf("lock.Cond(%s, 0 waiting, free)", file)
	if s := c.String(); s != want {
		t.Errorf("String = %q, want %q", s, want)
	}
	waiting := waitOn(t, bg, c)
	locked(c, func() {
		if s := c.String(); !strings.Contains(s, fmt.Sprint("1 waiting, held by process ", os.Getpid())) {
			t.Errorf("String = %q", s)
		}
		check(c.Broadcast())
	})
	wantErr(t, "Wait", got(t, waiting), nil)
}
