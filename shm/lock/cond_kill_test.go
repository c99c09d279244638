//go:build linux

package lock_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/sluice-ipc/sluice/internal/shmtest"
	"github.com/sluice-ipc/sluice/shm"
	"github.com/sluice-ipc/sluice/shm/lock"
)

func init() {
	roles["kill-cond-wait"] = killCondWait
	roles["kill-cond-notify"] = killCondNotify
	killings = append(killings,
		killing{"cond, wait", 300, killedInCondWait},
		killing{"cond, signal", 200, killedInNotify("1")},
		killing{"cond, broadcast", 200, killedInNotify("100")},
		killing{"cond, stopped in wait", 300, stoppedInCondWait},
	)
}

// A crowd is a condition beside a word that counts tokens, and who is about it.
// All its handles are participants of their own.
type crowd struct {
	file   string
	s      *shm.Segment
	c      *lock.Cond
	tokens *atomic.Uint64
	told   atomic.Int32 // how often somebody was told that an owner died
}

func newCrowd(t testing.TB) *crowd {
	file := fresh(t)
	n := must(lock.Size[lock.Cond](8, nil))
	s := must(shm.Create(file, &shm.Options{Size: n + 128, MaxParticipants: 8}))
	t.Cleanup(func() { s.Close() })
	k := &crowd{file: file, s: s}
	k.c, k.tokens = condIn(s)
	return k
}

// condIn returns what a crowd is about.
func condIn(s *shm.Segment) (*lock.Cond, *atomic.Uint64) {
	c := must(lock.At[lock.Cond](s, 0, nil))
	c.NoSpin()
	c.Mutex().NoSpin()
	return c, word(s, int(must(lock.Size[lock.Cond](8, nil))/128))
}

// open attaches once more.
func (k *crowd) open(t testing.TB) *lock.Cond {
	s := must(shm.Open(k.file, nil))
	t.Cleanup(func() { s.Close() })
	c, _ := condIn(s)
	return c
}

// lock takes the mutex, whoever died with it.
func (k *crowd) lock(c *lock.Cond) { k.mend(c, c.Mutex().Lock(bg)) }

// mend puts right what a dead one left of the tokens, if err says that there is
// one: it gives the token that would be lost.
func (k *crowd) mend(c *lock.Cond, err error) {
	if err == nil {
		return
	}
	if !errors.Is(err, lock.ErrOwnerDied) {
		panic(err)
	}
	k.told.Add(1)
	k.tokens.Store(1)
	check(c.Mutex().MarkConsistent())
	check(c.Broadcast())
}

// give gives a token and wakes one.
func (k *crowd) give(c *lock.Cond) {
	k.lock(c)
	k.tokens.Add(1)
	check(c.Signal())
	check(c.Mutex().Unlock())
}

// take waits for a token.
func (k *crowd) take(t testing.TB, c *lock.Cond) <-chan error {
	return begin(t, bg, func(ctx context.Context) error {
		k.lock(c)
		for k.tokens.Load() == 0 {
			k.mend(c, c.Wait(ctx))
		}
		k.tokens.Add(^uint64(0))
		check(c.Mutex().Unlock())
		return nil
	})
}

// inOrder holds that the condition works, that nobody is thought to wait, and
// that a death was told at most once.
func (k *crowd) inOrder(t testing.TB) {
	t.Helper()
	k.lock(k.c)
	k.tokens.Store(0)
	check(k.c.Mutex().Unlock())
	if n := k.told.Load(); n > 1 {
		t.Fatalf("one death was told %d times", n)
	}
	k.s.CheckPeers()
	if n := k.c.Waiters(); n != 0 {
		t.Fatalf("%d are thought to wait", n)
	}
	waiting := waitOn(t, bg, k.c)
	locked(k.c, func() { check(k.c.Signal()) })
	wantErr(t, "Wait afterwards", got(t, waiting), nil)
}

func killCondWait(args []string) int {
	c, _ := condIn(must(shm.Open(args[0], nil)))
	check(c.Mutex().Lock(bg))
	return traced(func() { check(c.Wait(bg)) })
}

// A waiter that is killed is not waited for, and takes no notification with it:
// one that was for it or another one comes to the other one.
func killedInCondWait(t testing.TB, p *shmtest.Point) {
	if thinned(p, 4) { // of some 1,700
		return
	}
	k := newCrowd(t)
	notifier, other := k.open(t), k.open(t)
	// Exactly one notification, for the child or the other one, and only
	// when that has come back are there more for the child.
	waiting := func() <-chan error {
		out := make(chan error, 1)
		go func() {
			k.lock(other)
			err := other.Wait(bg)
			k.mend(other, err)
			check(other.Mutex().Unlock())
			out <- err
		}()
		shmtest.Eventually(t, func() bool { return cellOf(k.c, other) > 0 })
		k.lock(notifier)
		check(notifier.Signal())
		check(notifier.Mutex().Unlock())
		return out
	}
	stop, answer := make(chan struct{}), make(chan (<-chan error), 1)
	go func() {
		if !until(stop, func() bool { return k.c.Waiters() == 1 && k.c.Mutex().Holder() == 0 }) {
			answer <- nil
			return
		}
		out := waiting()
		until(stop, func() bool { return len(out) > 0 })
		until(stop, func() bool {
			k.lock(notifier)
			check(notifier.Broadcast())
			check(notifier.Mutex().Unlock())
			return false
		})
		answer <- out
	}()
	p.Kill(shmtest.Command(t, "kill-cond-wait", k.file))
	close(stop)
	out := <-answer
	if out == nil {
		out = waiting()
	}
	if err := got(t, out); err != nil && !errors.Is(err, lock.ErrOwnerDied) {
		t.Fatalf("Wait beside a dead one: %v", err)
	}
	k.inOrder(t)
}

// cellOf returns how many wait through another handle.
func cellOf(c, other *lock.Cond) uint32 {
	return uint32(c.Cells()[other.Segment().ID().Slot()].Load())
}

func killCondNotify(args []string) int {
	c, tokens := condIn(must(shm.Open(args[0], nil)))
	n := must(strconv.Atoi(args[1]))
	return traced(func() {
		check(c.Mutex().Lock(bg))
		tokens.Store(1)
		check(c.Notify(n))
		check(c.Mutex().Unlock())
	})
}

// Who is killed in notifying has notified, or has died with the mutex, and one of
// the waiters is told: the token is never left lying about.
func killedInNotify(n string) func(testing.TB, *shmtest.Point) {
	return func(t testing.TB, p *shmtest.Point) {
		if n != "1" && thinned(p, 3) {
			return
		}
		k := newCrowd(t)
		a, b := k.open(t), k.open(t)
		takes := []<-chan error{k.take(t, a), k.take(t, b)}
		p.Kill(shmtest.Command(t, "kill-cond-notify", k.file, n))
		if k.tokens.Load() == 0 && k.c.Mutex().Holder() == 0 && k.told.Load() == 0 && len(takes[0])+len(takes[1]) == 0 {
			// It did not come to it, as a lock that nobody holds shows.
			if p.K < 0 {
				t.Fatal("the child was never there")
			}
			k.give(k.c)
		}
		shortly(t, func() bool { return len(takes[0])+len(takes[1]) > 0 }, "one of the waiters has the token")
		k.give(k.c)
		for _, w := range takes {
			wantErr(t, "take", got(t, w), nil)
		}
		k.inOrder(t)
	}
}

// A waiter that is stopped is not taken for dead, and in nobody's way unless it
// has the mutex.
func stoppedInCondWait(t testing.TB, p *shmtest.Point) {
	if thinned(p, 20) {
		return
	}
	k := newCrowd(t)
	other := k.open(t)
	stop := nudge(func() {
		if ok, err := k.c.Mutex().TryLock(); err != nil {
			panic(fmt.Sprintf("a stopped one is taken for dead: %v", err))
		} else if ok {
			check(k.c.Broadcast())
			check(k.c.Mutex().Unlock())
		}
	})
	c := shmtest.Command(t, "kill-cond-wait", k.file)
	p.Stop(c)
	stop()
	wantAllAlive(t, k.s, 3)
	if k.c.Mutex().Holder() == 0 {
		takes := k.take(t, other)
		k.give(k.c)
		wantErr(t, "take beside a stopped one", got(t, takes), nil)
	} else if ok, err := other.Mutex().TryLock(); ok || err != nil {
		t.Fatalf("TryLock beside a stopped owner: %v, %v", ok, err)
	}
	stop = nudge(func() {
		if ok, _ := k.c.Mutex().TryLock(); ok {
			check(k.c.Broadcast())
			check(k.c.Mutex().Unlock())
		}
	})
	c.Cont()
	c.Send("done")
	c.Wait()
	stop()
	if n := k.told.Load(); n != 0 {
		t.Fatalf("%d deaths were told", n)
	}
}
