package ring

import (
	"github.com/sluice-ipc/sluice/internal/hook"
	"github.com/sluice-ipc/sluice/internal/mem"
)

// The quick way is what Put and Get do nearly always: a plain message of one
// chunk, a lane that nobody uses, a ring that is neither full nor empty, nothing
// to be repaired. It does the same as the long way in fewer calls, and leaves
// everything as it was where it does not apply.

// quickPut reports whether it has put *v.
func (q *Queue[T]) quickPut(v *T) bool {
	l := &q.q.lanes[0]
	if !q.quick || q.q.seg.Err() != nil || !l.gate.Quick() {
		return false
	}
	if l.q.ctl.closing.Load() != 0 { //sync:queue-closing acquire: nobody may put any more
		l.gate.Leave()
		return false
	}
	c := l.alloc()
	if c == noChunk {
		l.gate.Leave()
		return false
	}
	hook.At("queue.put.fill")
	mem.Store(q.plain, l.q.chunks.bytes(c, q.plain.Size), v)
	l.q.setMeta(c, metaOf(q.plain.Size, 0, 0))
	st := l.publish(c)
	if st == done {
		if l.q.ctl.items.Load()&1 != 0 { //sync:asleep acquire: as in Wake
			l.q.items.Wake()
		}
		l.step(l.t, wordEmpty)
	} else {
		l.unused(c)
	}
	l.leave()
	return st == done
}

// quickGet reports whether it has got a message into *v. When the error is not nil
// one was lost, because a peer has written nonsense.
func (q *Queue[T]) quickGet(v *T) (bool, error) {
	l := &q.q.lanes[0]
	if !q.quick || q.q.seg.Err() != nil || !l.gate.Quick() {
		return false, nil
	}
	w := l.q.words[l.h.idx].Load()
	if w&^chkMask != wordOf(l.h.lap, wordFull, 0) || l.q.ctl.epoch.Load() != l.seen ||
		int(chunkOfWord(w)) >= l.q.geo.chunks {
		l.gate.Leave()
		return false, nil
	}
	m, st := l.takeFrom(w)
	switch {
	case st == corrupt:
		err := l.corrupt()
		l.leave()
		return false, err
	case st != done:
		l.gate.Leave()
		return false, nil
	case m.n != q.plain.Size || m.tries != 0:
		hook.At("queue.take.strange")
		l.q.requeue(m)
		l.gate.Leave()
		return false, nil
	}
	hook.At("queue.take.copy")
	mem.Load(q.plain, l.q.chunks.bytes(m.c, m.n), v)
	l.free(m.c)
	l.q.wakeSpace()
	l.leave()
	return true, nil
}
