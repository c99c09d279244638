//go:build linux

package lock_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-ipc/sluice/internal/shmtest"
	"github.com/sluice-ipc/sluice/shm"
	"github.com/sluice-ipc/sluice/shm/lock"
)

// newBarrier makes a barrier with a name that children open.
func newBarrier(t testing.TB, parties int, action func() error) (b *lock.Barrier, file string) {
	t.Helper()
	file = fresh(t)
	o := eight()
	o.Parties, o.Action = parties, action
	b = must(lock.Create[lock.Barrier](file, o))
	b.NoSpin()
	t.Cleanup(func() { b.Close() })
	return b, file
}

// anotherBarrier opens one more handle, which is a participant of its own.
func anotherBarrier(t testing.TB, file string, action func() error) *lock.Barrier {
	t.Helper()
	b := must(lock.Open[lock.Barrier](file, &lock.Options{Action: action}))
	b.NoSpin()
	t.Cleanup(func() { b.Close() })
	return b
}

// arrive begins to wait at b, and returns when it waits.
func arrive(t testing.TB, ctx context.Context, b *lock.Barrier) <-chan error {
	t.Helper()
	return begin(t, ctx, func(ctx context.Context) error {
		_, err := b.Wait(ctx)
		return err
	})
}

// at calls Wait for the error.
func at(b *lock.Barrier) error {
	_, err := b.Wait(bg)
	return err
}

// wantBroken fails the test unless err says that the barrier is broken, and by a
// death if died says so.
func wantBroken(t testing.TB, what string, err error, died bool) {
	t.Helper()
	if !errors.Is(err, lock.ErrBarrierBroken) || errors.Is(err, lock.ErrOwnerDied) != died {
		t.Fatalf("%s: %v, want that the barrier is broken (by a death: %v)", what, err, died)
	}
}

func init() { roles["barrier-rounds"] = barrierRounds }

// crew is what goroutines of a process do at a barrier: they go through rounds,
// and see that nobody goes on before all have come, or overtakes.
func crew(b *lock.Barrier, s *shm.Segment, goroutines, rounds int) error {
	came := word(s, 2)
	parties := uint64(b.Parties())
	errs := make(chan error, goroutines)
	for range goroutines {
		go func() {
			for r := range uint64(rounds) {
				came.Add(1)
				place, err := b.Wait(bg)
				n := came.Load()
				switch {
				case err != nil:
				case n < parties*(r+1) || n >= parties*(r+2):
					err = fmt.Errorf("round %d: %d arrivals by now", r, n)
				case word(s, 3+place).Add(1) != r+1:
					err = fmt.Errorf("round %d: place %d taken %d times", r, place, word(s, 3+place).Load())
				}
				if err != nil {
					b.Abort()
					errs <- err
					return
				}
			}
			errs <- nil
		}()
	}
	var all error
	for range goroutines {
		all = errors.Join(all, <-errs)
	}
	return all
}

func barrierRounds(args []string) int {
	s := must(shm.Open(args[0], nil))
	b := must(lock.At[lock.Barrier](s, 0, nil))
	check(crew(b, s, must(strconv.Atoi(args[1])), must(strconv.Atoi(args[2]))))
	check(b.Close())
	return 0
}

// Round after round everybody waits for all others, and gets a place of its own.
// Place r is taken once in each round, before anybody begins the one after the
// next: else its count would be off.
func TestBarrierRounds(t *testing.T) {
	const processes, each = 3, 2
	const parties = (processes + 1) * each
	file := fresh(t)
	s := must(shm.Create(file, &shm.Options{Size: 128 * (3 + parties), MaxParticipants: 8}))
	defer s.Close()
	b := must(lock.At[lock.Barrier](s, 0, &lock.Options{Parties: parties}))
	rounds := shorten(2000)
	var cs []*shmtest.Child
	for range processes {
		cs = append(cs, shmtest.Start(t, "barrier-rounds", file, fmt.Sprint(each), fmt.Sprint(rounds)))
	}
	if err := crew(b, s, each, rounds); err != nil {
		t.Fatal(err)
	}
	for _, c := range cs {
		if code := c.Wait(); code != 0 {
			t.Errorf("a child ended with code %d", code)
		}
	}
	if err := b.Close(); err != nil || b.Broken() {
		t.Errorf("Close = %v; broken: %v", err, b.Broken())
	}
	t.Logf("%d rounds of %d parties in %d processes", rounds, parties, processes+1)
}

// Where there are more callers than parties, rounds follow each other while some
// who were let go have not noticed; they get nil all the same.
func TestBarrierWithMoreCallersThanParties(t *testing.T) {
	for _, scarred := range []bool{false, true} {
		b, file := newBarrier(t, 2, nil)
		if scarred {
			check(b.Abort())
			check(b.Reset())
		}
		other := anotherBarrier(t, file, nil)
		var wg sync.WaitGroup
		var failed atomic.Pointer[error]
		var calls atomic.Int64
		most := int64(shorten(8000))
		for g := range 8 {
			h := []*lock.Barrier{b, other}[g%2]
			wg.Go(func() {
				for calls.Add(1) <= most { // an even number, so that nobody is left alone
					if err := at(h); err != nil {
						failed.Store(&err)
						return
					}
				}
			})
		}
		wg.Wait()
		if err := failed.Load(); err != nil {
			t.Errorf("scarred %v: %v", scarred, *err)
		}
	}
}

// The action runs once in each round, in the last one to arrive, before anybody
// goes on.
func TestBarrierAction(t *testing.T) {
	const parties = 3
	var ran [parties]atomic.Int64
	action := func(i int) func() error {
		return func() error { ran[i].Add(1); return nil }
	}
	total := func() (n int64) {
		for i := range ran {
			n += ran[i].Load()
		}
		return n
	}
	b, file := newBarrier(t, parties, action(0))
	hs := []*lock.Barrier{b, anotherBarrier(t, file, action(1)), anotherBarrier(t, file, action(2))}
	for r := range int64(shorten(100)) {
		last := int(r) % parties
		var waiting []<-chan error
		for i := range parties {
			if i == last {
				continue
			}
			waiting = append(waiting, begin(t, bg, func(ctx context.Context) error {
				_, err := hs[i].Wait(ctx)
				if n := total(); n != r+1 {
					return fmt.Errorf("let go after %d actions", n)
				}
				return err
			}))
		}
		before := ran[last].Load()
		place, err := hs[last].Wait(bg)
		if err != nil || place != parties-1 || ran[last].Load() != before+1 {
			t.Fatalf("round %d: place %d, %v; the last one's action ran %d times", r, place, err, ran[last].Load()-before)
		}
		for _, w := range waiting {
			wantErr(t, "Wait", got(t, w), nil)
		}
	}
}

// An action that fails or panics breaks the barrier, and the one who ran it is
// told why.
func TestBarrierActionFails(t *testing.T) {
	oops := errors.New("oops")
	fail := true
	for what, action := range map[string]func() error{
		"error": func() error { return oops },
		"panic": func() error { panic(oops) },
	} {
		b, file := newBarrier(t, 2, func() error {
			if fail {
				return action()
			}
			return nil
		})
		fail = true
		waiting := arrive(t, bg, anotherBarrier(t, file, nil))
		err, paniced := func() (err error, paniced any) {
			defer func() { paniced = recover() }()
			return at(b), nil
		}()
		if what == "panic" && paniced != oops {
			t.Errorf("panic: %v, %v", paniced, err)
		}
		if what == "error" {
			wantErr(t, "Wait with the action", err, oops)
			wantBroken(t, "Wait with the action", err, false)
		}
		err = got(t, waiting)
		wantBroken(t, "Wait of the other", err, false)
		if errors.Is(err, oops) {
			t.Errorf("the other has the action's error: %v", err)
		}
		wantBroken(t, "a later Wait", at(b), false)
		fail = false
		check(b.Reset())
		waiting = arrive(t, bg, anotherBarrier(t, file, nil))
		wantErr(t, "Wait after Reset", at(b), nil)
		wantErr(t, "Wait after Reset", got(t, waiting), nil)
	}
}

// Who comes while an action runs waits for the next round, and breaks nothing
// when it gives up; who is in the round and gives up breaks it, action or not.
func TestBarrierWhileTheActionRuns(t *testing.T) {
	for _, giveUp := range []bool{false, true} {
		running, finish := make(chan bool), make(chan bool)
		b, file := newBarrier(t, 2, func() error { running <- true; <-finish; return nil })
		other, third := anotherBarrier(t, file, nil), anotherBarrier(t, file, nil)
		ctx, cancel := context.WithCancel(bg)
		first := arrive(t, ctx, other)
		last := make(chan error, 1)
		go func() { last <- at(b) }()
		<-running
		if n := b.Waiting(); n != 2 {
			t.Errorf("%d waiting while the action runs", n)
		}
		_, err := third.Wait(done())
		if !errors.Is(err, context.Canceled) || errors.Is(err, lock.ErrBarrierBroken) {
			t.Errorf("Wait of one who gives up before the round begins: %v", err)
		}
		next := arrive(t, bg, third)
		if giveUp {
			cancel()
			wantErr(t, "Wait of who gave up", got(t, first), context.Canceled)
			wantBroken(t, "Wait of who comes next", got(t, next), false)
			close(finish)
			wantBroken(t, "Wait with the action", got(t, last), false)
		} else {
			close(finish)
			wantErr(t, "Wait", got(t, first), nil)
			wantErr(t, "Wait with the action", got(t, last), nil)
			wantErr(t, "Wait of the last in the next round", at(other), nil)
			wantErr(t, "Wait of who came early", got(t, next), nil)
		}
		cancel()
	}
}

// The end of one waiter's context breaks the barrier for all in that round.
func TestBarrierTimeout(t *testing.T) {
	b, file := newBarrier(t, 3, nil)
	other := anotherBarrier(t, file, nil)
	past, cancel := context.WithDeadline(bg, time.Unix(0, 0))
	defer cancel()
	moment, cancel := context.WithTimeout(bg, time.Millisecond)
	defer cancel()
	for want, ctxs := range map[error][]context.Context{
		context.Canceled: {done()}, context.DeadlineExceeded: {past, moment},
	} {
		for _, ctx := range ctxs {
			waiting := arrive(t, bg, other)
			err := got(t, arrive(t, ctx, b))
			wantErr(t, "Wait", err, want)
			wantBroken(t, "Wait", err, false)
			err = got(t, waiting)
			wantBroken(t, "Wait of the other", err, false)
			if errors.Is(err, want) {
				t.Errorf("the other has the context's error: %v", err)
			}
			if !b.Broken() || b.Waiting() != 0 {
				t.Errorf("broken %v, %d waiting", b.Broken(), b.Waiting())
			}
			check(b.Reset())
		}
	}
	// A context that is done is no matter for the last one to arrive.
	waiting := []<-chan error{arrive(t, bg, b), arrive(t, bg, other)}
	place, err := b.Wait(done())
	if place != 2 || err != nil {
		t.Errorf("Wait of the last one = %d, %v", place, err)
	}
	for _, w := range waiting {
		wantErr(t, "Wait", got(t, w), nil)
	}
}

// Abort breaks the barrier until Reset; Reset sends away who waits.
func TestBarrierAbortAndReset(t *testing.T) {
	b, file := newBarrier(t, 2, nil)
	other := anotherBarrier(t, file, nil)
	waiting := arrive(t, bg, other)
	check(b.Abort())
	wantBroken(t, "Wait, aborted", got(t, waiting), false)
	check(b.Abort())
	for range 3 {
		wantBroken(t, "Wait while it is broken", at(b), false)
		if _, err := other.Wait(done()); !errors.Is(err, lock.ErrBarrierBroken) {
			t.Errorf("Wait while it is broken: %v", err)
		}
	}
	check(other.Reset())
	if b.Broken() || b.Waiting() != 0 {
		t.Errorf("after Reset: broken %v, %d waiting", b.Broken(), b.Waiting())
	}
	waiting = arrive(t, bg, other)
	if b.Waiting() != 1 {
		t.Errorf("%d waiting, want 1", b.Waiting())
	}
	check(b.Reset())
	wantBroken(t, "Wait, reset", got(t, waiting), false)
	waiting = arrive(t, bg, other)
	wantErr(t, "Wait after Reset", at(b), nil)
	wantErr(t, "Wait after Reset", got(t, waiting), nil)
}

func TestBarrierParties(t *testing.T) {
	var wrong *lock.OptionError
	for _, n := range []int{-1, 0, lock.MaxParties + 1} {
		o := eight()
		o.Parties = n
		if b, err := lock.Anonymous[lock.Barrier]("bad", o); !errors.As(err, &wrong) || !strings.Contains(err.Error(), fmt.Sprint(n)) {
			t.Errorf("%d parties: %v, %v", n, b, err)
		}
	}
	one, _ := newBarrier(t, 1, nil)
	for range 3 {
		if place, err := one.Wait(done()); place != 0 || err != nil {
			t.Errorf("Wait of a single party = %d, %v", place, err)
		}
	}
	b, file := newBarrier(t, 5, nil)
	if b.Parties() != 5 || anotherBarrier(t, file, nil).Parties() != 5 || b.Waiting() != 0 || b.Broken() {
		t.Errorf("%d parties, %d waiting, broken %v", b.Parties(), b.Waiting(), b.Broken())
	}
	var format *shm.FormatError
	if b, err := lock.Open[lock.Barrier](file, &lock.Options{Parties: 4}); !errors.As(err, &format) {
		t.Errorf("Open with another number: %v, %v", b, err)
	}
	most, _ := newBarrier(t, lock.MaxParties, nil)
	waiting := arrive(t, bg, most)
	check(most.Abort())
	wantBroken(t, "Wait", got(t, waiting), false)
	states := []string{b.String()}
	waiting = arrive(t, bg, b)
	states = append(states, b.String())
	check(b.Abort())
	wantBroken(t, "Wait", got(t, waiting), false)
	states = append(states, b.String())
	for i, want := range []string{"0 of 5 waiting", "1 of 5 waiting", "broken"} {
		if states[i] != fmt.Sprintf("lock.Barrier(%s, %s)", file, want) {
			t.Errorf("String = %q, want %s", states[i], want)
		}
	}
}

// Who opens a barrier at the moment it is made finds how many parties it has.
func TestBarrierPartiesAreThereAtOnce(t *testing.T) {
	for range shorten(300) {
		name := fresh(t)
		result := make(chan error)
		go func() {
			for {
				b, err := lock.Open[lock.Barrier](name, nil)
				if errors.Is(err, fs.ErrNotExist) {
					continue
				}
				if err == nil {
					err = b.Close()
				}
				result <- err
				return
			}
		}()
		made, err := lock.Create[lock.Barrier](name, &lock.Options{Parties: 3})
		if err := errors.Join(err, <-result, made.Close()); err != nil {
			t.Fatal(err)
		}
		check(os.Remove(name))
	}
}
