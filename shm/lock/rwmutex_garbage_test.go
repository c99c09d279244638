//go:build linux

package lock_test

import (
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-ipc/sluice/internal/mem"
	"github.com/sluice-ipc/sluice/internal/shmtest"
	"github.com/sluice-ipc/sluice/shm"
	"github.com/sluice-ipc/sluice/shm/lock"
)

// oneOf fails the test unless err is nil or one that a lock may return.
func oneOf(t testing.TB, what string, err error) {
	t.Helper()
	for _, want := range []error{
		nil, lock.ErrOwnerDied, lock.ErrInconsistent, lock.ErrNotRecoverable, lock.ErrNotLocked,
		lock.ErrNotOwner, lock.ErrOverRelease, context.DeadlineExceeded,
	} {
		if errors.Is(err, want) {
			return
		}
	}
	var e *shm.FormatError
	if !errors.As(err, &e) {
		t.Errorf("%s: %v", what, err)
	}
}

// tryAll calls everything that a lock for readers and writers has. What it takes
// it does not give back.
func tryAllRW(t testing.TB, m *lock.RWMutex) {
	ok, err := m.TryRLock()
	oneOf(t, "TryRLock", err)
	if ok && err != nil {
		t.Errorf("TryRLock = true, %v", err)
	}
	oneOf(t, "RUnlock", m.RUnlock())
	ok, err = m.TryLock()
	oneOf(t, "TryLock", err)
	if ok && err != nil && !errors.Is(err, lock.ErrOwnerDied) {
		t.Errorf("TryLock = true, %v", err)
	}
	oneOf(t, "MarkConsistent", m.MarkConsistent())
	oneOf(t, "Unlock", m.Unlock())
	_ = m.String() + m.Holder().String()
	m.Held()
	m.Readers()
	// A deadline that lies so near that nobody sleeps for long.
	ctx, cancel := context.WithTimeout(bg, 200*time.Microsecond)
	defer cancel()
	oneOf(t, "Lock", m.Lock(ctx))
	oneOf(t, "RLock", m.RLock(ctx))
	oneOf(t, "Unlock", m.Unlock())
}

func tryAllSem(t testing.TB, s *lock.Semaphore) {
	_, err := s.TryAcquire()
	oneOf(t, "TryAcquire", err)
	_, err = s.TryConsume()
	oneOf(t, "TryConsume", err)
	oneOf(t, "Release", s.Release())
	oneOf(t, "Release", s.Release())
	if n := s.Value(); n < 0 || n > s.Max() {
		t.Errorf("%d permits of %d", n, s.Max())
	}
	_ = s.String()
	ctx, cancel := context.WithTimeout(bg, 200*time.Microsecond)
	defer cancel()
	oneOf(t, "Acquire", s.Acquire(ctx))
	oneOf(t, "Consume", s.Consume(ctx))
}

// A victim is a pair of locks in memory that somebody scribbles over.
type victim struct {
	m    *lock.RWMutex
	s    *lock.Semaphore
	data []byte
}

func newVictim(t testing.TB) victim {
	t.Helper()
	o := &lock.Options{Permits: 20}
	size := must(lock.Size[lock.RWMutex](8, nil))
	seg := must(shm.Anonymous("victim", &shm.Options{Size: size + must(lock.Size[lock.Semaphore](8, o)), MaxParticipants: 8}))
	t.Cleanup(func() { seg.Close() })
	return victim{
		must(lock.At[lock.RWMutex](seg, 0, nil)), must(lock.At[lock.Semaphore](seg, size, o)), seg.Data(),
	}
}

// word returns one that a hostile peer may write: anything, or what is nearly
// right.
func (v victim) word() uint64 {
	ids := []uint64{uint64(v.m.Segment().ID()), gone, 1<<41 - 1, 0, 3<<32 | 1}
	w := ids[rand.IntN(len(ids))]
	switch rand.IntN(4) {
	case 0:
		return rand.Uint64()
	case 1:
		return w | 1<<(41+rand.IntN(23))
	case 2: // a cell
		return w<<32 | rand.Uint64N(3) | rand.Uint64()&0xffffffff*rand.Uint64N(2)
	}
	return w
}

// Whatever lies in the memory of a lock, no call panics, none but those that wait
// for it hangs, and the errors are those that the documentation names.
func TestGarbageInLocks(t *testing.T) {
	v := newVictim(t)
	for range shorten(400) {
		for i := 0; i < len(v.data); i += 8 {
			if rand.IntN(3) == 0 {
				mem.At[atomic.Uint64](v.data, i).Store(v.word())
			}
		}
		tryAllRW(t, v.m)
		tryAllSem(t, v.s)
	}
	clear(v.data)
	tryLock(t, v.m, true, nil)
	check(v.m.Unlock())
	for v.s.Held() > 0 { // what it still believes to hold
		oneOf(t, "Release", v.s.Release())
	}
	for v.s.Value() < v.s.Max() {
		check(v.s.Release())
	}
	wantErr(t, "Release", v.s.Release(), lock.ErrOverRelease)
}

// The same beside somebody who goes on scribbling.
func TestScribblerBesideLocks(t *testing.T) {
	v := newVictim(t)
	var stop atomic.Bool
	var wg sync.WaitGroup
	wg.Go(func() {
		for !stop.Load() {
			for range 50 {
				i := rand.IntN(len(v.data)/8) * 8
				if rand.IntN(2) == 0 {
					i = rand.IntN(5) * 8 // where most of it is
				}
				mem.At[atomic.Uint64](v.data, i).Store(v.word())
			}
			time.Sleep(20 * time.Microsecond)
		}
	})
	defer wg.Wait()
	defer stop.Store(true)
	for range shorten(300) {
		tryAllRW(t, v.m)
		tryAllSem(t, v.s)
	}
}

// A semaphore whose shape is nonsense cannot be opened.
func TestGarbageShape(t *testing.T) {
	h, name := newSem(t, 1, 3, 5)
	shape := mem.At[atomic.Uint64](h[0].Bytes(), 8)
	good := shape.Load()
	for _, bad := range []uint64{1, 5<<32 | 6, 4097<<32 | 1, 1<<63 | 1, 4096 << 32, ^uint64(0), 17 << 32} {
		shape.Store(bad)
		var e *shm.FormatError
		if s, err := lock.Open[lock.Semaphore](name, nil); !errors.As(err, &e) {
			t.Errorf("%#x: %v, %v", bad, s, err)
		}
	}
	shape.Store(good)
	check(must(lock.Open[lock.Semaphore](name, nil)).Close())
}

func FuzzLockMemory(f *testing.F) {
	f.Add([]byte{}, uint64(1))
	f.Add(binary.LittleEndian.AppendUint64(make([]byte, 8), gone), uint64(3))
	f.Fuzz(func(t *testing.T, b []byte, at uint64) {
		v := newVictim(t)
		copy(v.data[at%uint64(len(v.data))&^7:], b)
		tryAllRW(t, v.m)
		tryAllSem(t, v.s)
	})
}

// A file that is cut off is an error of who guards against it.
func TestTruncationUnderGuardRW(t *testing.T) {
	shmtest.RequireFaults(t)
	h, file := newRW(t, 1)
	p, other := newSem(t, 1, 1, 0)
	check(os.Truncate(file, h[0].Segment().DataOffset()))
	check(os.Truncate(other, p[0].Segment().DataOffset()))
	for what, f := range map[string]func() error{
		"Lock":    func() error { return h[0].Lock(bg) },
		"RLock":   func() error { return h[0].RLock(bg) },
		"Acquire": func() error { return p[0].Acquire(bg) },
		"Consume": func() error { return p[0].Consume(bg) },
	} {
		var fault *shm.FaultError
		if err := shm.Guard(f); !errors.As(err, &fault) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// Who waits beside somebody that takes down at once what it asks for gives up
// all the same.
func TestAskingInVain(t *testing.T) {
	v := newVictim(t)
	check(v.m.Lock(bg))
	for range v.s.Max() {
		check(v.s.Acquire(bg))
	}
	m, file := newMutex(t)
	holder := another(t, file)
	check(holder.Lock(bg))
	var stop atomic.Bool
	var wg sync.WaitGroup
	wg.Go(func() {
		for !stop.Load() {
			v.m.Asked().Store(0)
			v.s.Asked().Store(0)
			m.Word().And(^uint64(lock.Starving))
		}
	})
	defer wg.Wait()
	defer stop.Store(true)
	for what, f := range map[string]func(context.Context) error{
		"RLock": v.m.RLock, "Acquire": v.s.Acquire, "Consume": v.s.Consume, "Lock": m.Lock,
	} {
		ctx, cancel := context.WithTimeout(bg, 5*time.Millisecond)
		wantErr(t, what, f(ctx), context.DeadlineExceeded)
		cancel()
	}
	check(v.m.Unlock())
	for v.s.Held() > 0 {
		check(v.s.Release())
	}
}
