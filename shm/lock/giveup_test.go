//go:build linux

package lock_test

import (
	"context"
	"errors"
	"io/fs"
	"sync/atomic"
	"testing"

	"github.com/sluice-ipc/sluice/internal/shmtest"
	"github.com/sluice-ipc/sluice/shm"
	"github.com/sluice-ipc/sluice/shm/lock"
)

// Who asked others to wait and then gave up keeps nobody waiting.
func TestWhoGivesUpAsksNoLonger(t *testing.T) {
	writer, reader := newRWPair(t)
	all, _ := newSem(t, 2, 1, 1)
	wantErr(t, "Lock", writer.Lock(bg), nil)
	wantErr(t, "Acquire", all[0].Acquire(bg), nil)
	for what, w := range map[string]struct {
		asked *atomic.Uint32
		wait  func(context.Context) error
	}{
		"reader":   {reader.Asked(), reader.RLock},
		"acquirer": {all[1].Asked(), all[1].Acquire},
	} {
		ctx, cancel := context.WithCancel(bg)
		out := asleep(t, func() error { return w.wait(ctx) })
		shmtest.Eventually(t, func() bool { return w.asked.Load() != 0 }, what+" asks")
		cancel()
		wantErr(t, what, got(t, out), context.Canceled)
		if w.asked.Load() != 0 {
			t.Errorf("a %s that has given up still asks others to wait", what)
		}
	}
	wantErr(t, "Unlock", writer.Unlock(), nil)
	wantErr(t, "Release", all[0].Release(), nil)
}

func newRWPair(t *testing.T) (a, b *lock.RWMutex) {
	t.Helper()
	name := fresh(t)
	for _, m := range []**lock.RWMutex{&a, &b} {
		*m = must(lock.OpenOrCreate[lock.RWMutex](name, &lock.Options{Segment: shm.Options{MaxParticipants: 8}}))
		t.Cleanup(func() { (*m).Close() })
	}
	return a, b
}

// A permit whose holder is dead is there for one whose context is done already,
// who gets one attempt, although nobody has noticed the death yet.
func TestAcquireBehindADeathNobodyNoticed(t *testing.T) {
	p, file := newPool(t, 1)
	holder := shmtest.Start(t, "sem-hold", file, "3")
	holder.Next()
	holder.Kill()
	wantErr(t, "Acquire", p[0].Acquire(done()), nil)
	wantErr(t, "Release", p[0].Release(), nil)
}

// What cannot be made leaves nothing behind that would have to be removed.
func TestCreateBarrierWithoutParties(t *testing.T) {
	name := fresh(t)
	var wrong *lock.OptionError
	if b, err := lock.Create[lock.Barrier](name, eight()); !errors.As(err, &wrong) {
		t.Fatalf("Create: %v, %v", b, err)
	}
	if b, err := lock.Open[lock.Barrier](name, nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Open after a Create that failed: %v, %v", b, err)
	}
}
