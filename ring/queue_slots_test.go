//go:build linux

package ring_test

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/sluice-ipc/sluice/ring"
	"github.com/sluice-ipc/sluice/shm"
)

// A queue that was laid out for another number of participants than its segment
// has is refused, before anything looks for those: also by who would have to
// repair it first.
func TestQueueOfOtherSlotsIsRefused(t *testing.T) {
	for _, slots := range []int{1, 3, 512} {
		for _, dead := range []bool{true, false} {
			name := queueName(t)
			must0(must(ring.CreateQueue[[]byte](name, &ring.QueueOptions{Segment: shm.Options{MaxParticipants: 2}})).Close())
			q := must(ring.OpenQueue[[]byte](name, nil)) // whose descriptor bears the name
			ring.ForgeSlots(q, slots)
			if dead {
				loseLock(t, filepath.Base(name))
			}
			other, err := ring.OpenQueue[[]byte](name, nil)
			var format *ring.FormatError
			if !errors.As(err, &format) || format.Field != "slots" || format.Ring != name ||
				format.Got != uint64(slots) || format.Want != 2 {
				t.Errorf("%d slots: %v", slots, err)
			}
			if err == nil {
				other.Stats()
				other.Close()
			}
			q.Close()
		}
	}
}
