//go:build linux

package lock_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/sluice-ipc/sluice/internal/mem"
	"github.com/sluice-ipc/sluice/internal/shmtest"
	"github.com/sluice-ipc/sluice/shm"
	"github.com/sluice-ipc/sluice/shm/lock"
)

// scribble writes words of all kinds over an object, its tag excepted. id is that
// of somebody who lives.
func scribble(r *rand.Rand, b []byte, id shm.ID) {
	for at := 8; at < len(b); at += 8 {
		w := mem.Uint64(b, at)
		switch r.IntN(7) {
		case 0:
			w.Store(r.Uint64())
		case 1:
			w.Store(r.Uint64N(8))
		case 2:
			w.Store(^r.Uint64N(8))
		case 3:
			w.Store(uint64(id))
		case 4:
			w.Store(uint64(id.Incarnation())<<32 | uint64(r.Uint32()))
		case 5:
			w.Store(w.Load() ^ 1<<r.IntN(64))
		}
	}
}

// garbled are objects of one segment that somebody scribbles over.
type garbled struct {
	s                      *shm.Segment
	event, cond, barrier   []byte // their memory
	atCond, atBarrier, end int64
}

func newGarbled(s *shm.Segment) *garbled {
	g := &garbled{s: s}
	g.atCond = must(lock.Size[lock.Event](8, nil))
	g.atBarrier = g.atCond + must(lock.Size[lock.Cond](8, nil))
	g.end = g.atBarrier + must(lock.Size[lock.Barrier](8, nil))
	if s != nil {
		d := s.Data()
		g.event, g.cond, g.barrier = d[:g.atCond], d[g.atCond:g.atBarrier], d[g.atBarrier:g.end]
	}
	return g
}

func (g *garbled) scribble(r *rand.Rand) {
	for _, b := range [][]byte{g.event, g.cond, g.barrier} {
		scribble(r, b, g.s.ID())
	}
	mem.Uint64(g.barrier, 8).Store(3) // else no handle can be had
	mem.Uint64(g.cond, 8).Store(1)
}

// use calls what there is to call that waits for nobody, and a few that wait for a
// moment; what it says does not matter. A wrong error ends the test.
func (g *garbled) use(t testing.TB, e *lock.Event, c *lock.Cond, b *lock.Barrier) {
	t.Helper()
	moment, cancel := context.WithTimeout(bg, 50*time.Microsecond)
	defer cancel()
	allowed := func(what string, err error) {
		t.Helper()
		for _, ok := range []error{nil, context.DeadlineExceeded, lock.ErrBarrierBroken, lock.ErrOwnerDied,
			lock.ErrNotRecoverable, lock.ErrNotLocked, lock.ErrNotOwner, lock.ErrInconsistent} {
			if errors.Is(err, ok) {
				return
			}
		}
		t.Fatalf("%s: %v", what, err)
	}
	allowed("Clear", e.Clear())
	if e.IsSet() {
		t.Fatal("it is set after Clear") // garbage or not
	}
	allowed("Event.Wait", e.Wait(moment))
	allowed("Set", e.Set())
	_, _ = e.IsSet(), e.String()

	_, err := c.Mutex().TryLock()
	allowed("TryLock", err)
	allowed("Signal", c.Signal())
	allowed("Notify", c.Notify(1<<40))
	allowed("Broadcast", c.Broadcast())
	_ = c.String()
	if c.Mutex().Held() {
		allowed("MarkConsistent", c.Mutex().MarkConsistent())
		allowed("Unlock", c.Mutex().Unlock())
	}

	_, _, _, _ = b.Parties(), b.Waiting(), b.Broken(), b.String()
	_, err = b.Wait(moment)
	allowed("Barrier.Wait", err)
	allowed("Abort", b.Abort())
	allowed("Reset", b.Reset())
}

// Whatever lies in the memory, calls come to an end, with errors or without.
func TestGarbage(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	g := newGarbled(nil)
	s := must(shm.Anonymous("garbage", &shm.Options{Size: g.end, MaxParticipants: 8}))
	defer s.Close()
	g = newGarbled(s)
	e := must(lock.At[lock.Event](s, 0, nil))
	c := must(lock.At[lock.Cond](s, g.atCond, nil))
	b := must(lock.At[lock.Barrier](s, g.atBarrier, &lock.Options{Parties: 3}))
	for range shorten(3000) {
		g.scribble(r)
		g.use(t, e, c, b)
		g.scribble(r)
		e2 := must(lock.At[lock.Event](s, 0, nil))
		b2 := must(lock.At[lock.Barrier](s, g.atBarrier, nil))
		c2, err := lock.At[lock.Cond](s, g.atCond, nil)
		var format *shm.FormatError
		if err != nil && !errors.As(err, &format) {
			t.Fatal(err)
		}
		if err != nil {
			c2 = c
		}
		g.use(t, e2, c2, b2)
		check(b2.Close())
	}
}

// A condition whose waiter finds garbage when it comes back gives it up, or goes
// on.
func TestCondWaitInGarbage(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for range shorten(300) {
		c, _ := newCond(t)
		waiting := begin(t, bg, func(ctx context.Context) error {
			check(c.Mutex().Lock(bg))
			return c.Wait(ctx)
		})
		d := c.Segment().Data()
		scribble(r, d[256:], c.Segment().ID())
		for _, at := range []int{16, 24, 32} {
			mem.Uint64(d, at).Store(r.Uint64())
		}
		check(c.Mutex().Lock(bg))
		check(c.Broadcast())
		check(c.Mutex().Unlock())
		// The ticket is anywhere: it need not come back, but can be closed.
		check(c.Close())
		if err := got(t, waiting); err != nil {
			wantErr(t, "Wait", err, lock.ErrClosed)
		}
	}
}

// Words that say what kind of object it is, and of what shape, are not believed.
func TestWrongShapes(t *testing.T) {
	var format *shm.FormatError
	var option *lock.OptionError
	s := must(shm.Anonymous("shapes", &shm.Options{Size: 4096, MaxParticipants: 8}))
	defer s.Close()
	if _, err := lock.At[lock.Barrier](s, 0, nil); !errors.As(err, &option) {
		t.Errorf("At of a fresh barrier without parties: %v", err)
	}
	for _, n := range []uint64{lock.MaxParties + 1, 1 << 32, ^uint64(0)} {
		mem.Uint64(s.Data(), 8).Store(n)
		if _, err := lock.At[lock.Barrier](s, 0, nil); !errors.As(err, &format) {
			t.Errorf("At of a barrier of %d: %v", n, err)
		}
	}
	if _, err := lock.At[lock.Event](s, 0, nil); !errors.As(err, &format) {
		t.Errorf("At of an event, at a barrier: %v", err)
	}
	must(lock.At[lock.Cond](s, 1024, nil))
	for _, n := range []uint64{2, 3, ^uint64(0)} {
		mem.Uint64(s.Data(), 1024+8).Store(n)
		if _, err := lock.At[lock.Cond](s, 1024, nil); !errors.As(err, &format) {
			t.Errorf("At of a condition whose mutex is %d: %v", n, err)
		}
	}
	mem.Uint64(s.Data(), 1024+128).Store(1)
	mem.Uint64(s.Data(), 1024+8).Store(1)
	if _, err := lock.At[lock.Cond](s, 1024, nil); !errors.As(err, &format) {
		t.Errorf("At of a condition whose mutex is something else: %v", err)
	}
}

func init() { roles["scribble-locks"] = scribbleLocks }

func scribbleLocks(args []string) int {
	s := must(shm.Open(args[0], nil))
	g := newGarbled(s)
	r := rand.New(rand.NewPCG(7, uint64(os.Getpid())))
	shmtest.Say("ready")
	for {
		g.scribble(r)
	}
}

// A peer that writes garbage all the time keeps no call from ending but those
// that wait for a lock which it says is held.
func TestGarbageAllTheTime(t *testing.T) {
	file := fresh(t)
	g := newGarbled(nil)
	s := must(shm.Create(file, &shm.Options{Size: g.end, MaxParticipants: 8}))
	defer s.Close()
	g = newGarbled(s)
	e := must(lock.At[lock.Event](s, 0, nil))
	c := must(lock.At[lock.Cond](s, g.atCond, nil))
	b := must(lock.At[lock.Barrier](s, g.atBarrier, &lock.Options{Parties: 3}))
	k := shmtest.Start(t, "scribble-locks", file)
	k.Expect("ready")
	moment := func() context.Context {
		ctx, cancel := context.WithTimeout(bg, 50*time.Microsecond)
		t.Cleanup(cancel)
		return ctx
	}
	for range shorten(2000) {
		e.Set()
		e.Wait(moment())
		e.Clear()
		c.Mutex().TryLock()
		c.Notify(1 << 40)
		c.Broadcast()
		c.Mutex().MarkConsistent()
		c.Mutex().Unlock()
		b.Wait(moment())
		b.Abort()
		b.Reset()
		_, _, _ = e.String(), c.String(), b.String()
	}
	k.Kill()
}
