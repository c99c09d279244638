package ring

import (
	"github.com/sluice-ipc/sluice/internal/hook"
	"github.com/sluice-ipc/sluice/internal/mem"
)

// alloc returns a chunk that is LOANED to us, or noChunk when there is none.
//
// Any free chunk may be anybody's. Where to look first is only a matter of what
// lies in the cache: what this lane has freed lately, then its own part of the
// pool.
func (l *lane) alloc() uint32 {
	for l.hint != l.low {
		l.hint--
		if c := l.hints[l.hint%hintCount]; l.claim(c) {
			return c
		}
	}
	if l.since++; l.since >= goHome {
		l.since = 0
		if l.q.state(l.far).Load() == 0 {
			l.next = l.home
		}
	}
	for range l.q.geo.chunks {
		c := l.next
		if l.next++; int(l.next) == l.q.geo.chunks {
			l.next = 0
		}
		if l.claim(c) {
			l.q.chunks.prefetch(c + prefetchAhead)
			return c
		}
	}
	return noChunk
}

func (l *lane) claim(c uint32) bool {
	p := l.q.state(c)
	if p.Load() != 0 {
		return false
	}
	hook.At("queue.alloc")
	return p.CompareAndSwap(0, stateOf(kindLoaned, l.q.me, 0)) //sync:queue-free acquire: its last owner has read the payload
}

// unused gives back a chunk that was LOANED to us for a message that could not be
// put.
func (l *lane) unused(c uint32) {
	l.free(c)
	l.q.pool.WakeAll() // it may be all that another one needs
}

// free gives back a single chunk that is ours.
func (l *lane) free(c uint32) {
	hook.At("queue.free")
	l.q.store(l.q.state(c), 0) //sync:queue-free release: we have read the payload
	l.hints[l.hint%hintCount] = c
	if l.hint++; l.hint-l.low > hintCount {
		l.low = l.hint - hintCount
	}
}

// setMeta writes the meta word of a chunk that is ours.
func (q *queue) setMeta(c uint32, m uint64) {
	if p := q.meta(c); p.Load() != m { // mostly it is what it was
		hook.At("queue.meta")
		mem.StoreRelease(p, m)
	}
}

// setState changes the state of a chunk that is ours, where nobody sleeps until
// it is changed.
func (q *queue) setState(c uint32, s uint64) { mem.StoreRelease(q.state(c), s) }
