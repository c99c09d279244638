//go:build linux

package lock_test

import (
	"errors"
	"os"
	"testing"

	"github.com/sluice-ipc/sluice/internal/shmtest"
	"github.com/sluice-ipc/sluice/internal/wait"
	"github.com/sluice-ipc/sluice/shm"
	"github.com/sluice-ipc/sluice/shm/lock"
)

// A file cut off under goroutines that sleep on it ends all of them, those that are
// parked included, whom nobody could wake through that memory.
func TestTruncationEndsSleepers(t *testing.T) {
	shmtest.RequireFaultsInUse(t)
	mutex := func(s *shm.Segment) func() error {
		m := must(lock.At[lock.Mutex](s, 0, nil))
		check(m.Lock(bg))
		return func() error { return m.Lock(bg) }
	}
	event := func(s *shm.Segment) func() error {
		e := must(lock.At[lock.Event](s, 0, nil))
		return func() error { return e.Wait(bg) }
	}
	semaphore := func(s *shm.Segment) func() error {
		m := must(lock.At[lock.Semaphore](s, 0, &lock.Options{Permits: 1, Max: 1}))
		check(m.Acquire(bg))
		return func() error { return m.Acquire(bg) }
	}
	for name, waiting := range map[string]func(*shm.Segment) func() error{
		"Mutex": mutex, "Event": event, "Semaphore": semaphore,
	} {
		t.Run(name, func(t *testing.T) {
			file := fresh(t)
			s := must(shm.Create(file, &shm.Options{Size: 4096}))
			defer s.Close()
			sleep := waiting(s)
			const n = 60
			before := wait.Sleeps()
			ended := make(chan error, n)
			for range n {
				go func() { ended <- shm.Guard(sleep) }()
			}
			shmtest.Eventually(t, func() bool { return wait.Sleeps() > before+16 }, "some sleep")
			check(os.Truncate(file, s.DataOffset()))
			for range n {
				var fault *shm.FaultError
				if err := <-ended; !errors.As(err, &fault) {
					t.Error(err)
				}
			}
		})
	}
}
