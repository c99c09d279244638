//go:build linux

package value_test

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/sluice-ipc/sluice/internal/mem"
	"github.com/sluice-ipc/sluice/internal/shmtest"
	"github.com/sluice-ipc/sluice/internal/wait"
	"github.com/sluice-ipc/sluice/shm"
	"github.com/sluice-ipc/sluice/shm/lock"
	"github.com/sluice-ipc/sluice/value"
)

func init() {
	roles["record-pong"] = recordPong
	roles["record-inherit"] = recordInherit
	roles["record-pair"] = recordPair
	roles["record-hold"] = recordHold
}

// A process that stands at any instruction of Update keeps nobody from reading,
// is not taken for dead, and goes on where it was.
func TestStoppedWriterHoldsNoReaderUp(t *testing.T) {
	n := shmtest.EveryPoint(t, "update", func(t testing.TB, p *shmtest.Point) {
		if thinned(p, 3) {
			return
		}
		r, name := newTrio(t, nil)
		c := shmtest.Command(t, "record-act", "update", name)
		p.Stop(c)
		k := state(t, r)
		if k != 1 && k != 2 {
			t.Fatalf("beside a stopped writer the value is number %d", k)
		}
		for range 10 {
			r.Segment().CheckPeers()
			if got := state(t, r); got != k {
				t.Fatalf("version %d after %d, and nobody writes", got, k)
			}
		}
		if _, _, tries := value.LoadCounted(r); tries != 1 {
			t.Fatalf("it took %d tries", tries)
		}
		c.Cont()
		c.Expect("done")
		if k := state(t, r); k != 2 {
			t.Fatalf("at the end the value is number %d", k)
		}
		goOn(t, r, 2)
	})
	atLeast(t, 100, n)
}

// recordPong answers each odd version with the next one.
func recordPong(args []string) int {
	r := must(value.OpenRecord[trio](args[0], nil))
	if args[1] == "sleeping" {
		value.NeverSpin(r)
	}
	for k := uint64(0); k < uint64(2*number(args[2])); k += 2 {
		if got := must(r.Wait(bg, k)); got != k+1 {
			panic(got)
		}
		check(r.Store(bg, trioOf(k+2)))
	}
	shmtest.Say("slept %d", wait.Sleeps())
	return 0
}

// Two processes that wait for each other's versions in turn lose no wake-up. (A
// lost one is healed by the tick, after 50 ms, so they are counted.)
func TestVersionsPingPong(t *testing.T) {
	rounds := fewer(20000)
	for _, mode := range []string{"sleeping", "spinning"} {
		t.Run(mode, func(t *testing.T) {
			name := fresh(t)
			r := must(value.CreateRecord(name, trioOf(0), nil))
			defer r.Close()
			if mode == "sleeping" {
				value.NeverSpin(r)
			}
			c := shmtest.Start(t, "record-pong", name, mode, itoa(rounds))
			slow, before := 0, wait.Sleeps()
			for k := uint64(0); k < uint64(2*rounds); k += 2 {
				check(r.Store(bg, trioOf(k+1)))
				start := time.Now()
				if got, err := r.Wait(bg, k+1); got != k+2 || err != nil {
					t.Fatalf("Wait for what comes after %d = %d, %v", k+1, got, err)
				}
				if time.Since(start) > 45*time.Millisecond {
					slow++
				}
				if state(t, r) != k+2 {
					t.Fatal("another version")
				}
			}
			t.Logf("%d rounds, %d slow ones; slept %d times, and it %s", rounds, slow, wait.Sleeps()-before, c.Line())
			// A busy machine makes some of them as slow; a lost wake-up, all.
			if slow > 20+rounds/20 {
				t.Errorf("%d of %d waits ended by the tick", slow, rounds)
			}
			if mode == "sleeping" && wait.Sleeps() == before {
				t.Error("nobody slept: the test shows nothing")
			}
		})
	}
}

func recordInherit(args []string) int {
	r := must(value.InheritedRecord[trio]("the record", nil))
	must(r.Update(bg, func(v trio) trio { return trioOf(v.A + 1) }))
	b := must(value.InheritedBlackboard[trio]("the board", nil))
	v, _ := b.Load()
	w := must(b.Claim())
	check(w.Publish(trioOf(v.A + 1)))
	shmtest.Say("done")
	shmtest.Hear()
	return 0
}

func TestRecordIsPassed(t *testing.T) {
	r := newRecord(t, trioOf(0))
	b := must(value.AnonymousBlackboard("test", trioOf(5), nil))
	defer b.Close()
	c := shmtest.Command(t, "record-inherit")
	check(shm.Pass(c.Cmd, "the record", r))
	check(shm.Pass(c.Cmd, "the board", b))
	c.Launch = shm.Start
	c.Start()
	c.Expect("done")
	if state(t, r) != 1 {
		t.Error("the child changed another record")
	}
	if v, k := b.Load(); v != trioOf(6) || k != 1 {
		t.Errorf("the blackboard is %v, version %d", v, k)
	}
	f := must(r.Segment().File())
	same := must(value.RecordFromFile[trio](f, nil))
	defer same.Close()
	f.Close()
	check(same.Store(bg, trioOf(2)))
	if state(t, r) != 2 {
		t.Error("a file led to another record")
	}
}

// recordPair moves something from one record to another, again and again, under
// the lock that they share.
func recordPair(args []string) int {
	m := must(lock.Open[lock.Mutex](args[0], nil))
	a, b := pairAt(must(shm.Open(args[1], nil)), m)
	shmtest.Say("ready")
	mended := 0
	for range number(args[2]) {
		mended += lockOrMend(m, a, b)
		check(a.Apply(func(v *trio) error { *v = trioOf(v.A - 1); return nil }))
		check(b.Apply(func(v *trio) error { *v = trioOf(v.A + 1); return nil }))
		check(m.Unlock())
	}
	shmtest.Say("%d", mended)
	shmtest.Hear()
	return 0
}

const stock = 1 << 40

func pairAt(s *shm.Segment, m *lock.Mutex) (a, b *value.Record[trio]) {
	o := &value.Options{Lock: m}
	size := must(value.RecordSize[trio]())
	return must(value.RecordAt[trio](s, 0, o)), must(value.RecordAt[trio](s, size, o))
}

// lockOrMend takes the lock. If its owner died, between the two or elsewhere, what
// is missing in b is put there.
func lockOrMend(m *lock.Mutex, a, b *value.Record[trio]) (mended int) {
	err := m.Lock(bg)
	if !errors.Is(err, lock.ErrOwnerDied) {
		check(err)
		return 0
	}
	check(b.Apply(func(v *trio) error { *v = trioOf(stock - a.Load().A); return nil }))
	check(m.MarkConsistent())
	return 1
}

// Several records under one lock are changed together: who holds the lock sees
// them agree, also when others were killed between them.
func TestRecordsShareALock(t *testing.T) {
	moves, kills := fewer(20000), 30
	if testing.Short() {
		kills = 10
	}
	lockName, name := fresh(t), fresh(t)
	m := must(lock.Create[lock.Mutex](lockName, nil))
	defer m.Close()
	s := must(shm.Create(name, &shm.Options{Size: 2 * must(value.RecordSize[trio]())}))
	defer s.Close()
	a, b := pairAt(s, m)
	check(a.Store(bg, trioOf(stock)))
	check(b.Store(bg, trioOf(0)))
	mended := 0
	agree := func() {
		mended += lockOrMend(m, a, b)
		if x, y := a.Load().num(t), b.Load().num(t); x+y != stock {
			t.Fatalf("%d and %d are not %d", x, y, stock)
		}
		check(m.Unlock())
	}
	var children []*shmtest.Child
	for range 2 {
		c := shmtest.Start(t, "record-pair", lockName, name, itoa(moves))
		c.Expect("ready")
		children = append(children, c)
	}
	for range kills {
		c := shmtest.Start(t, "record-pair", lockName, name, itoa(math.MaxInt))
		c.Expect("ready")
		for k := b.Version(); b.Version() < k+100; {
			agree()
		}
		c.Kill()
		agree()
	}
	for _, c := range children {
		mended += number(c.Line())
	}
	agree()
	got := b.Load().num(t)
	t.Logf("%d moves, %d of them by the two that lived; %d kills, %d mended", got, 2*moves, kills, mended)
	if got < uint64(2*moves) || mended > kills {
		t.Errorf("%d moves, %d mended", got, mended)
	}
	if mended == 0 {
		t.Error("nobody died with the lock: the test shows nothing")
	}
}

// recordHold stays in the middle of Update.
func recordHold(args []string) int {
	r := must(value.OpenRecord[trio](args[0], nil))
	r.Update(bg, func(v trio) trio {
		shmtest.Say("holding")
		shmtest.Hear()
		return trioOf(v.A + 1)
	})
	shmtest.Say("done")
	shmtest.Hear()
	return 0
}

// Calls that wait for a lock, or for a version, end when the handle is closed, when
// the context does, and when who holds the lock is killed: that is told once.
func TestWaitingCallsEnd(t *testing.T) {
	r, name := newTrio(t, nil)
	c := shmtest.Start(t, "record-hold", name)
	c.Expect("holding")
	ctx, cancel := context.WithTimeout(bg, 20*time.Millisecond)
	defer cancel()
	if err := r.Store(ctx, trioOf(2)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Store beside one that holds the lock = %v", err)
	}
	if _, err := r.Wait(ctx, 1); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Wait = %v", err)
	}
	closed := must(value.OpenRecord[trio](name, nil))
	results := make(chan error)
	go func() { results <- closed.Store(bg, trioOf(9)) }()
	go func() { _, err := closed.Wait(bg, 1); results <- err }()
	asleep(t, closed, value.EventWord, value.HeadSize+16)
	check(closed.Close())
	for range 2 {
		if err := <-results; !errors.Is(err, value.ErrClosed) {
			t.Errorf("under Close: %v", err)
		}
	}
	told := make(chan error, 3)
	for range cap(told) {
		go func() { told <- errOf(r.Update(bg, func(v trio) trio { return trioOf(v.A + 1) })) }()
	}
	asleep(t, r, value.HeadSize+16)
	c.Kill()
	n := 0
	for range cap(told) {
		err := <-told
		if errors.Is(err, lock.ErrOwnerDied) {
			n++
		} else if err != nil {
			t.Errorf("Update = %v", err)
		}
	}
	if n != 1 || state(t, r) != 3 {
		t.Errorf("told %d times; version %d", n, r.Version())
	}
}

// asleep waits until somebody sleeps on each of the events at these bytes.
func asleep(t *testing.T, r *value.Record[trio], events ...int) {
	t.Helper()
	for _, at := range events {
		shmtest.Eventually(t, func() bool { return mem.Uint32(r.Segment().Data(), at).Load()&1 != 0 },
			"somebody sleeps at %d", at)
	}
}

// A request of a reader that is no more is heeded once, and by then its time is up.
func TestWriterPausesOnce(t *testing.T) {
	r := newRecord(t, trioOf(0))
	for k := uint64(1); k < 4; k++ {
		hungry(r).Store(rand.Uint64() | 1)
		start := time.Now()
		check(r.Store(bg, trioOf(k)))
		if took := time.Since(start); took < time.Millisecond {
			t.Errorf("a writer that was asked to pause stores in %v", took)
		}
		if hungry(r).Load() != 0 {
			t.Error("the request still stands")
		}
		if state(t, r) != k {
			t.Error("not stored")
		}
	}
	// A request that is taken back ends the pause: the whole of it is not
	// always needed, or this would take hours.
	for k := uint64(4); k < 1000; k++ {
		if _, whole := value.Ask(r); !whole {
			t.Fatal("a try beside nobody fails")
		}
		if hungry(r).Load() != 0 {
			t.Fatal("a request that was met still stands")
		}
		check(r.Store(bg, trioOf(k)))
	}
}

// Who waits for a change sees it, even if the one who made it gave up the lock
// itself.
func TestUnlockInsideWith(t *testing.T) {
	r := newRecord(t, trioOf(1))
	own := errors.New("own")
	before := wait.Sleeps()
	out := make(chan error, 1)
	go func() {
		_, err := r.Wait(context.Background(), 0)
		out <- err
	}()
	shmtest.Eventually(t, func() bool { return wait.Sleeps() > before })
	err := r.With(context.Background(), func(v *trio) error {
		*v = trioOf(2)
		return r.Mutex().Unlock()
	})
	if !errors.Is(err, lock.ErrNotLocked) {
		t.Errorf("With = %v, want ErrNotLocked", err)
	}
	if err := <-out; err != nil || r.Load().num(t) != 2 {
		t.Errorf("%v, value %v", err, r.Load())
	}
	err = r.With(context.Background(), func(*trio) error { return errors.Join(own, r.Mutex().Unlock()) })
	if !errors.Is(err, own) || !errors.Is(err, lock.ErrNotLocked) || r.Version() != 1 {
		t.Errorf("With = %v, version %d", err, r.Version())
	}
	if err := r.With(context.Background(), func(*trio) error { return own }); err != own {
		t.Errorf("With = %v, want the error as it is", err)
	}
}
