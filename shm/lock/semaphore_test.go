//go:build linux

package lock_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-ipc/sluice/internal/mem"
	"github.com/sluice-ipc/sluice/internal/race"
	"github.com/sluice-ipc/sluice/internal/shmtest"
	"github.com/sluice-ipc/sluice/internal/sys"
	"github.com/sluice-ipc/sluice/shm"
	"github.com/sluice-ipc/sluice/shm/lock"
)

// newSem makes a semaphore, and as many handles on it as asked for, each a
// participant of its own. Those who attach do not say the permits.
func newSem(t testing.TB, handles, permits, most int) (all []*lock.Semaphore, name string) {
	t.Helper()
	name = fresh(t)
	o := &lock.Options{Permits: permits, Max: most, Segment: shm.Options{MaxParticipants: 8}}
	for i := range handles {
		get := lock.Create[lock.Semaphore]
		if i > 0 {
			get, o = lock.Open[lock.Semaphore], nil
		}
		s := must(get(name, o))
		t.Cleanup(func() { s.Close() })
		all = append(all, s)
	}
	return all, name
}

func tryAcquire(t testing.TB, s *lock.Semaphore, wantOK bool, want error) {
	t.Helper()
	ok, err := s.TryAcquire()
	wantTry(t, "TryAcquire", ok, err, wantOK, want)
}

func tryConsume(t testing.TB, s *lock.Semaphore, wantOK bool, want error) {
	t.Helper()
	ok, err := s.TryConsume()
	wantTry(t, "TryConsume", ok, err, wantOK, want)
}

// wantPermits fails the test unless so many are free for all handles.
func wantPermits(t testing.TB, n int, all ...*lock.Semaphore) {
	t.Helper()
	for _, s := range all {
		if v := s.Value(); v != n {
			t.Fatalf("%d permits are free, want %d: %v", v, n, s)
		}
	}
}

func TestSemaphoreOptions(t *testing.T) {
	for _, tt := range []struct {
		permits, most int
		field         string // "": they are fine
		value, max    int
	}{
		{0, 0, "", 1, 1}, {1, 0, "", 1, 1}, {5, 0, "", 5, 5}, {5, 9, "", 5, 9}, {0, 9, "", 0, 9},
		{lock.MaxPermits, 0, "", lock.MaxPermits, lock.MaxPermits},
		{0, lock.MaxPermits, "", 0, lock.MaxPermits},
		{-1, 0, "Permits", 0, 0}, {-1, 5, "Permits", 0, 0}, {6, 5, "Permits", 0, 0},
		{lock.MaxPermits + 1, 0, "Permits", 0, 0}, {1 << 31, 0, "Permits", 0, 0},
		{math.MinInt, math.MaxInt, "Max", 0, 0}, {1, -1, "Max", 0, 0},
		{1, lock.MaxPermits + 1, "Max", 0, 0}, {math.MaxInt, math.MaxInt, "Max", 0, 0},
	} {
		o := &lock.Options{Permits: tt.permits, Max: tt.most}
		size, sizeErr := lock.Size[lock.Semaphore](0, o)
		s, err := lock.Anonymous[lock.Semaphore]("options", o)
		if tt.field == "" {
			if err != nil || sizeErr != nil || s.Value() != tt.value || s.Max() != tt.max || size < int64(128+8*tt.max) {
				t.Errorf("%d, %d: %v, %v, %v, %d bytes", tt.permits, tt.most, s, err, sizeErr, size)
			}
			s.Close()
			continue
		}
		for _, err := range []error{err, sizeErr} {
			var e *lock.OptionError
			if !errors.As(err, &e) || e.Field != tt.field {
				t.Errorf("%d, %d: %v, want one about %s", tt.permits, tt.most, err, tt.field)
			}
		}
	}
}

// Who attaches says the same as the creator, or nothing.
func TestSemaphoreShapeIsTheCreators(t *testing.T) {
	h, name := newSem(t, 1, 40, 300)
	for what, get := range map[string]func(string, *lock.Options) (*lock.Semaphore, error){
		"Open": lock.Open[lock.Semaphore], "OpenOrCreate": lock.OpenOrCreate[lock.Semaphore],
	} {
		for _, o := range []*lock.Options{nil, {}, {Permits: 40, Max: 300}} {
			s, err := get(name, o)
			if err != nil || s.Max() != 300 || s.Value() != 40 {
				t.Fatalf("%s(%+v) = %v, %v", what, o, s, err)
			}
			s.Close()
		}
		for _, o := range []*lock.Options{{Permits: 40}, {Max: 300}, {Permits: 40, Max: 301}, {Permits: 300}} {
			var e *shm.FormatError
			if s, err := get(name, o); !errors.As(err, &e) {
				t.Errorf("%s(%+v) = %v, %v", what, o, s, err)
			}
		}
	}
	f := must(h[0].Segment().File())
	defer f.Close()
	s := must(lock.FromFile[lock.Semaphore](f, nil))
	defer s.Close()
	wantPermits(t, 40, s)
}

// Who attaches at once, and does not say the shape, gets the creator's.
func TestSemaphoreShapeIsThereAtOnce(t *testing.T) {
	for range shorten(300) {
		name := fresh(t)
		var wg sync.WaitGroup
		var opened *lock.Semaphore
		wg.Go(func() {
			for opened == nil {
				opened, _ = lock.Open[lock.Semaphore](name, nil)
			}
		})
		made, err := lock.Create[lock.Semaphore](name, &lock.Options{Permits: 4, Max: 6})
		wg.Wait()
		if err != nil || opened.Max() != 6 || opened.Value() != 4 {
			t.Fatalf("%v, %v, %v", made, err, opened)
		}
		check(made.Close())
		check(opened.Close())
		check(os.Remove(name))
	}
}

// Several lie in one segment, with something between them.
func TestSemaphoreAt(t *testing.T) {
	seg := must(shm.Anonymous("several", &shm.Options{Size: 4096, Kind: shm.KindRaw}))
	defer seg.Close()
	o := &lock.Options{Permits: 2, Max: 20}
	size := must(lock.Size[lock.Semaphore](0, o))
	if size != 128+256 {
		t.Fatalf("%d bytes", size)
	}
	a := must(lock.At[lock.Semaphore](seg, 128, o))
	b := must(lock.At[lock.Semaphore](seg, 128+size, nil)) // one permit
	seg.Data()[127], seg.Data()[128+size+256] = 1, 1
	for range 2 {
		check(a.Acquire(bg))
	}
	for range 18 {
		check(must(lock.At[lock.Semaphore](seg, 128, nil)).Release()) // has none, and makes one
	}
	wantErr(t, "Release", must(lock.At[lock.Semaphore](seg, 128, o)).Release(), lock.ErrOverRelease)
	wantPermits(t, 1, b)
	check(b.Acquire(bg))
	tryAcquire(t, b, false, nil)
	wantPermits(t, 18, a)
	var e *shm.FormatError
	if _, err := lock.At[lock.Semaphore](seg, 128, &lock.Options{Permits: 3, Max: 20}); !errors.As(err, &e) {
		t.Errorf("At with other permits: %v", err)
	}
	if _, err := lock.At[lock.Semaphore](seg, 4096-128, o); !errors.As(err, &e) {
		t.Errorf("At where there is no room: %v", err)
	}
	if seg.Data()[127] != 1 || seg.Data()[128+size+256] != 1 {
		t.Error("it wrote outside its bytes")
	}
	check(b.Close())
	check(b.Release())
	check(a.Release())
	check(a.Release())
}

func TestPermitsComeAndGo(t *testing.T) {
	h, _ := newSem(t, 3, 3, 0)
	a, b, c := h[0], h[1], h[2]
	check(a.Acquire(bg))
	check(a.Acquire(bg))
	tryAcquire(t, b, true, nil)
	tryAcquire(t, c, false, nil)
	tryConsume(t, c, false, nil)
	if a.Held() != 2 || b.Held() != 1 || c.Held() != 0 {
		t.Errorf("held: %d, %d, %d", a.Held(), b.Held(), c.Held())
	}
	wantPermits(t, 0, h...)
	wantErr(t, "Release of none", c.Release(), lock.ErrOverRelease)
	check(a.Release())
	wantPermits(t, 1, h...)
	check(c.Acquire(bg))
	waiting := asleep(t, func() error { return c.Acquire(within(t)) })
	check(b.Release())
	wantErr(t, "Acquire", got(t, waiting), nil)
	if c.Held() != 2 {
		t.Errorf("held: %d", c.Held())
	}
	check(c.Release())
	check(c.Release())
	check(a.Release())
	for _, s := range h {
		wantErr(t, "Release of none", s.Release(), lock.ErrOverRelease)
	}
	wantPermits(t, 3, h...)
}

// A permit is a message where it is consumed: any number of them, up to Max.
func TestSignals(t *testing.T) {
	h, _ := newSem(t, 2, 0, 5)
	from, to := h[0], h[1]
	tryConsume(t, to, false, nil)
	for range 5 {
		check(from.Release())
	}
	wantErr(t, "Release of a sixth", from.Release(), lock.ErrOverRelease)
	for range 4 {
		check(to.Consume(bg))
	}
	tryConsume(t, to, true, nil)
	tryConsume(t, to, false, nil)
	tryAcquire(t, from, false, nil)
	waiting := asleep(t, func() error { return to.Consume(within(t)) })
	check(from.Release())
	wantErr(t, "Consume", got(t, waiting), nil)
	wantPermits(t, 0, h...)

	// Who holds one gives that back instead.
	check(to.Release())
	check(from.Acquire(bg))
	check(from.Release())
	wantPermits(t, 1, h...)
	if from.Held() != 0 {
		t.Errorf("held: %d", from.Held())
	}
}

func TestDeadlinesOfSemaphores(t *testing.T) {
	h, _ := newSem(t, 2, 1, 0)
	a, b := h[0], h[1]
	check(a.Acquire(bg))
	for what, f := range map[string]func(context.Context) error{"Acquire": b.Acquire, "Consume": b.Consume} {
		start := time.Now()
		late, cancel := context.WithTimeout(bg, 5*time.Millisecond)
		wantErr(t, what+" with a deadline", f(late), context.DeadlineExceeded)
		if time.Since(start) < 5*time.Millisecond {
			t.Error("the deadline came early")
		}
		wantErr(t, what+" with a deadline that has passed", f(late), context.DeadlineExceeded)
		cancel()
		ctx, cancel := context.WithCancel(bg)
		waiting := asleep(t, func() error { return f(ctx) })
		cancel()
		wantErr(t, what+" that is cancelled", got(t, waiting), context.Canceled)
		check(a.Release())
		wantErr(t, what+" with a context that is done", f(ctx), nil)
		if what == "Acquire" {
			check(b.Release())
		} else {
			check(b.Release()) // one more
		}
		b.Asked().Store(1)
		wantErr(t, what+" of what somebody is to have first", f(ctx), nil)
		check(b.Release())
		check(a.Acquire(bg))
	}
	if b.Held() != 0 {
		t.Errorf("held: %d", b.Held())
	}
	id := b.Segment().ID()
	b.Close()
	if !a.Segment().Gone(id) {
		t.Error("a closed handle is still there")
	}
}

func TestCloseOfSemaphores(t *testing.T) {
	h, file := newSem(t, 3, 2, 0)
	a, b, c := h[0], h[1], h[2]
	check(a.Acquire(bg))
	check(b.Acquire(bg))
	waiting := []<-chan error{
		asleep(t, func() error { return b.Acquire(bg) }),
		asleep(t, func() error { return b.Consume(bg) }),
	}
	check(b.Close())
	for _, w := range waiting {
		err := got(t, w)
		wantErr(t, "a call under Close", err, lock.ErrClosed)
		wantErr(t, "a call under Close", err, os.ErrClosed)
	}
	wantErr(t, "Acquire after Close", b.Acquire(bg), lock.ErrClosed)
	wantErr(t, "Consume after Close", b.Consume(bg), lock.ErrClosed)
	tryAcquire(t, b, false, lock.ErrClosed)
	tryConsume(t, b, false, lock.ErrClosed)
	tryAcquire(t, c, false, nil) // it is still held
	check(b.Release())
	wantErr(t, "Release after Close", b.Release(), lock.ErrClosed)
	wantPermits(t, 1, h...)
	if !a.Segment().Gone(b.Segment().ID()) {
		t.Error("a closed handle is still there")
	}
	if s, want := c.String(), fmt.Sprintf("lock.Semaphore(%s, 1 permits free, 1 held, of 2)", file); s != want {
		t.Errorf("%q, want %q", s, want)
	}
	check(a.Release())
}

func TestNothingLeftOfSemaphores(t *testing.T) {
	shmtest.NoLeaks(t, fmt.Sprintf("sluice-locktest-%d-", os.Getpid()))
	t.Cleanup(runtime.GC) // the memory is there for as long as a handle may be used
	name := fresh(t)
	a := must(lock.Create[lock.Semaphore](name, nil))
	b := must(lock.Open[lock.Semaphore](name, nil))
	check(a.Acquire(bg))
	waiting := asleep(t, func() error { return b.Acquire(bg) })
	check(a.Close())
	check(b.Close())
	wantErr(t, "Acquire", got(t, waiting), lock.ErrClosed)
	check(a.Release())
}

func TestWithPermit(t *testing.T) {
	h, _ := newSem(t, 1, 1, 0)
	s, sour := h[0], errors.New("sour")
	wantErr(t, "With", s.With(bg, func() error { tryAcquire(t, s, false, nil); return sour }), sour)
	func() {
		defer func() {
			if recover() != sour {
				t.Error("the panic is lost")
			}
		}()
		s.With(bg, func() error { panic(sour) })
	}()
	wantPermits(t, 1, s)
}

// What dead ones held is free, for who waits and for who tries; a permit that was
// consumed stays gone.
func TestPermitsOfTheDead(t *testing.T) {
	h, _ := newSem(t, 2, 3, 0)
	a, b := h[0], h[1]
	const nobody = 7<<32 | 9
	for i := range 3 {
		a.Cell(i).Store(nobody)
	}
	wantPermits(t, 3, a, b)
	check(a.Acquire(bg))
	tryAcquire(t, b, true, nil)
	tryConsume(t, b, true, nil)
	tryAcquire(t, b, false, nil)
	check(a.Release())
	check(b.Release())
	check(b.Release())
	wantErr(t, "Release", b.Release(), lock.ErrOverRelease)
	wantPermits(t, 3, a, b)
}

// There are never more permits than Max, however many release at once, and none
// gets lost.
func TestBoundIsExact(t *testing.T) {
	h, _ := newSem(t, 3, 3, 7)
	for round := range shorten(3000) {
		var wg sync.WaitGroup
		var made, taken atomic.Int64
		for i := range 9 {
			s := h[i%3]
			wg.Go(func() {
				if s.Release() == nil {
					made.Add(1)
				}
				if i%2 == 0 && must(s.TryConsume()) {
					taken.Add(1)
				}
			})
		}
		wg.Wait()
		free := 3 + made.Load() - taken.Load()
		if int64(h[0].Value()) != free || free > 7 {
			t.Fatalf("round %d: %d made, %d taken: %v", round, made.Load(), taken.Load(), h[0])
		}
		for ; free > 3; free-- {
			tryConsume(t, h[0], true, nil)
		}
		for ; free < 3; free++ {
			check(h[0].Release())
		}
	}
}

// An attempt fails only if there was no permit, though the free one wanders.
func TestTryAcquireMissesNothing(t *testing.T) {
	const n = 1024
	h, _ := newSem(t, 2, n, 0)
	mover, s := h[0], h[1]
	for range n - 2 {
		check(mover.Acquire(bg))
	}
	var stop atomic.Bool
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop.Store(true)
	wg.Go(func() { // one permit is free for s at least, at any time
		for i := 0; !stop.Load(); i++ {
			mover.LookFrom(i * 311 % n)
			check(mover.Acquire(bg))
			mover.LookFrom(i * 733 % n)
			check(mover.Release())
		}
	})
	for i := range shorten(20_000) {
		s.LookFrom(i * 97 % n)
		if !s.LookOnce() {
			t.Fatalf("attempt %d finds none: %v", i, s)
		}
		check(s.Release())
	}
}

// So many are inside at most, of goroutines with several handles.
func TestPermitsLimit(t *testing.T) {
	const most = 3
	h, _ := newSem(t, 3, most, 0)
	var wg sync.WaitGroup
	var inside, worst atomic.Int64
	turns := shorten(20_000)
	for i := range 9 {
		s := h[i%3]
		wg.Go(func() {
			for k := range turns {
				if k%16 == i {
					for !must(s.TryAcquire()) {
						runtime.Gosched()
					}
				} else {
					check(s.Acquire(bg))
				}
				n := inside.Add(1)
				for w := worst.Load(); n > w && !worst.CompareAndSwap(w, n); w = worst.Load() {
				}
				if k%32 == 0 {
					runtime.Gosched()
				}
				inside.Add(-1)
				check(s.Release())
			}
		})
	}
	wg.Wait()
	if worst.Load() != most {
		t.Errorf("%d were inside at once, want %d", worst.Load(), most)
	}
	wantPermits(t, most, h...)
}

// Waiters that give up now and then take no permit and no wake-up with them.
func TestCancelledWaitersLoseNoPermit(t *testing.T) {
	h, _ := newSem(t, 2, 2, 0)
	var wg sync.WaitGroup
	turns := shorten(2000)
	for i := range 6 {
		s := h[i%2]
		wg.Go(func() {
			for k := 0; k < turns; {
				ctx, cancel := context.WithTimeout(bg, time.Duration(k%50)*time.Microsecond)
				err := s.Acquire(ctx)
				cancel()
				if errors.Is(err, context.DeadlineExceeded) {
					if k%3 > 0 {
						continue
					}
					err = s.Acquire(bg)
				}
				check(err)
				k++
				check(s.Release())
			}
		})
	}
	wg.Wait()
	wantPermits(t, 2, h...)
}

// Who comes later leaves a permit to who has waited for long, but not for ever: it
// may have died.
func TestLatecomersLeavePermits(t *testing.T) {
	h, _ := newSem(t, 2, 2, 0)
	a, b := h[0], h[1]
	for what, f := range map[string]func(context.Context) error{"Acquire": a.Acquire, "Consume": a.Consume} {
		a.Asked().Store(1)
		start := time.Now()
		check(f(bg))
		if d := time.Since(start); d < time.Millisecond || a.Asked().Load() != 0 {
			t.Errorf("%s has given way for %v, asked: %d", what, d, a.Asked().Load())
		}
	}
	check(a.Release())
	a.Asked().Store(1)
	tryAcquire(t, a, true, nil) // which does not wait
	a.Asked().Store(0)

	// One that has come too late for a permit asks, and says when it has got one.
	b.NoSpin()
	waiting := asleep(t, func() error { return b.Acquire(within(t)) })
	shmtest.Eventually(t, func() bool {
		b.Event().Add(4) // as a wake-up does that comes when the permit is taken again
		sys.FutexWake(mem.Raw(b.Event()), 1)
		return a.Asked().Load() == 1
	}, "it asks")
	check(a.Release())
	wantErr(t, "Acquire", got(t, waiting), nil)
	if a.Asked().Load() != 0 {
		t.Error("it goes on asking")
	}
	check(b.Release())
}

// A permit orders what its holders do, also in the eyes of the race detector.
func TestPermitGuardsHeap(t *testing.T) {
	h, _ := newSem(t, 2, 1, 0)
	r, _ := newRW(t, 2)
	n, m := 0, 0
	var wg sync.WaitGroup
	turns := shorten(5000)
	for i := range 4 {
		wg.Go(func() {
			for range turns {
				check(h[i%2].Acquire(bg))
				n++
				check(h[i%2].Release())
				check(r[i%2].Lock(bg))
				m++
				check(r[i%2].Unlock())
				check(r[i%2].RLock(bg))
				if m == 0 {
					t.Error("nothing is seen")
				}
				check(r[i%2].RUnlock())
			}
		})
	}
	wg.Wait()
	if n != 4*turns || m != 4*turns {
		t.Errorf("counted to %d and %d, want %d", n, m, 4*turns)
	}
}

func TestNoAllocationsOfSemaphores(t *testing.T) {
	if race.Enabled {
		t.Skip("missing: a build whose allocations count, the race detector makes its own")
	}
	h, _ := newSem(t, 1, 3, 9)
	s, f := h[0], func() error { return nil }
	for what, call := range map[string]func(){
		"Acquire":    func() { check(s.Acquire(bg)); check(s.Release()) },
		"several":    func() { check(s.Acquire(bg)); check(s.Acquire(bg)); check(s.Release()); check(s.Release()) },
		"TryAcquire": func() { must(s.TryAcquire()); check(s.Release()) },
		"Consume":    func() { check(s.Consume(bg)); check(s.Release()) },
		"With":       func() { check(s.With(bg, f)) },
		"Value":      func() { s.Value(); s.Held() },
	} {
		if n := testing.AllocsPerRun(100, call); n != 0 {
			t.Errorf("%s allocates %v times", what, n)
		}
	}
}
