//go:build linux

package value_test

import (
	"errors"
	"os"
	"testing"

	"github.com/sluice-ipc/sluice/internal/shmtest"
	"github.com/sluice-ipc/sluice/internal/wait"
	"github.com/sluice-ipc/sluice/shm"
	"github.com/sluice-ipc/sluice/value"
)

// A file cut off under goroutines that wait for a value to change ends all of them.
func TestTruncationEndsSleepers(t *testing.T) {
	shmtest.RequireFaultsInUse(t)
	file := fresh(t)
	v := must(value.Create(file, int64(1), nil))
	defer v.Close()
	const n = 60
	before := wait.Sleeps()
	ended := make(chan error, n)
	for range n {
		go func() {
			ended <- shm.Guard(func() error { _, err := v.Wait(bg, 1); return err })
		}()
	}
	shmtest.Eventually(t, func() bool { return wait.Sleeps() > before+16 }, "some sleep")
	if err := os.Truncate(file, v.Segment().DataOffset()); err != nil {
		t.Fatal(err)
	}
	for range n {
		var fault *shm.FaultError
		if err := <-ended; !errors.As(err, &fault) {
			t.Error(err)
		}
	}
}
