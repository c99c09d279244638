package wait

import (
	"sync"
	"sync/atomic"

	"github.com/sluice-ipc/sluice/internal/mem"
	"github.com/sluice-ipc/sluice/internal/sys"
)

// The two sides of a wait each store and then load: the waker publishes and
// looks for a sleeper, the sleeper shows itself and looks at what is published.
// Both need a fence between store and load, or both may miss each other. Wakers
// are in a hurry and sleepers are not, so the sleeper pays for both: it makes
// every processor that runs one of the registered processes pass a fence
// (membarrier, GLOBAL_EXPEDITED), and wakers do without.

// light is true once this process has registered for membarrier: it passes the
// fences of sleepers in other processes and of its own.
var light atomic.Bool

var register = sync.OnceFunc(func() {
	if mem.PlainRelease && sys.MembarrierRegister() == nil && sys.Membarrier() == nil {
		light.Store(true)
	}
})

// Light reports whether this process may publish with plain release stores
// where all who sleep can call Fence, and does what it takes on first use. A
// process for which it is false where mem.PlainRelease is true must tell its
// peers to publish with full fences, since its sleeps have none.
func Light() bool {
	register()
	return light.Load()
}

// fence makes everything that any registered process, this one included, has
// stored visible, and its later loads see what we stored before.
func fence() {
	if light.Load() && sys.Membarrier() != nil {
		// Forbidden since we registered, by a sandbox set up later. Our
		// own gates change to full fences; for wake-ups from other
		// processes there remains the host's tick.
		light.Store(false)
	}
}
