package lock

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-ipc/sluice/internal/wait"
)

// An asker is the condition of one who waits for what others keep taking, and
// has to be told when it is time to ask them to wait: woken up again and again,
// it may come too late each time.
type asker struct {
	c     wait.Cond
	asked *atomic.Uint32 // shared: somebody has asked
	since time.Time
	did   bool // we asked; only its owner looks at that
}

var askers = sync.Pool{New: func() any { return new(asker) }}

func newAsker(c wait.Cond, asked *atomic.Uint32) *asker {
	a := askers.Get().(*asker)
	*a = asker{c: c, asked: asked, since: time.Now()}
	return a
}

// free gives a back, which nobody waits with any more. We need not go first any
// more, whether we were served or gave up; others who have asked ask again.
func (a *asker) free() {
	if a.did {
		a.asked.Store(0)
	}
	*a = asker{}
	askers.Put(a)
}

// late reports whether it has waited for long.
func (a *asker) late() bool { return time.Since(a.since) > patience }

// Ready reports whether to try again, or to ask.
func (a *asker) Ready() bool {
	return a.c.Ready() || a.asked.Load() == 0 && a.late()
}

// ask asks the others to let us go first.
func (a *asker) ask() {
	a.did = true
	a.asked.Store(1)
}
