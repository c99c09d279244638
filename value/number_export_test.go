package value

import (
	"sync/atomic"

	"github.com/sluice-ipc/sluice/internal/wait"
)

// SleepAtOnce makes waiters of a handle sleep without spinning.
func SleepAtOnce[T Number](v *Value[T]) { v.watch.spin = wait.NewSpinner(wait.Never) }

// Sleepers is the word on which those sleep who wait for a value.
func Sleepers[T Number](v *Value[T]) *atomic.Uint32 { return &v.c.event }

// Unhealed takes from a handle's waiters what wakes them when nobody did: a
// wake-up that is lost stays lost.
func Unhealed[T Number](v *Value[T]) { v.watch.ev = wait.NewEvent(&v.c.event, nil) }
