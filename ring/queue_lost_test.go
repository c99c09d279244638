//go:build linux

package ring_test

import (
	"errors"
	"testing"

	"github.com/sluice-ipc/sluice/internal/shmtest"
	"github.com/sluice-ipc/sluice/internal/wait"
	"github.com/sluice-ipc/sluice/ring"
	"github.com/sluice-ipc/sluice/shm"
)

// Who has lost the lock that proves it alive is dead to the others, who give its
// chunks away: it must not use them any more.
func TestLostLockEndsUseOfQueue(t *testing.T) {
	q := must(ring.AnonymousQueue[int64]("lost-queue", &ring.QueueOptions{Spin: ring.SpinNever}))
	defer q.Close()
	loan := must(q.TryLoan(8))
	before := wait.Sleeps()
	getting := blocked(func() error { _, err := q.Get(bg); return err })
	shmtest.Eventually(t, func() bool { return wait.Sleeps() > before })
	loseLock(t, "lost-queue")
	got := <-getting // the segment has noticed
	for name, err := range map[string]error{
		"Get":       got,
		"TryPut":    q.TryPut(1),
		"TryCommit": loan.TryCommit(),
	} {
		if !errors.Is(err, shm.ErrLost) {
			t.Errorf("%s = %v", name, err)
		}
	}
	if _, err := q.TryGet(); !errors.Is(err, shm.ErrLost) {
		t.Errorf("TryGet = %v", err)
	}
}
