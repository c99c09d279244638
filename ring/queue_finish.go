package ring

import (
	"github.com/sluice-ipc/sluice/internal/hook"
	"github.com/sluice-ipc/sluice/internal/mem"
)

// release ends a message that we hold: its chunks are free again. In a joinable
// queue that finishes the task.
func (l *lane) release(m taken) {
	q := l.q
	switch {
	case q.joinable():
		l.finishTask(m)
	case m.n > q.chunkSize:
		l.freeChain(m.c)
	default:
		l.free(m.c)
	}
}

// finishTask counts a task and frees it. The chunk says first what the lane's
// count is about to be, so that who repairs can tell whether it was counted.
func (l *lane) finishTask(m taken) {
	q := l.q
	n := l.pub.done.Load() + 1
	hook.At("queue.done")
	q.setState(m.c, doneOf(q.me, l.no, n))
	hook.At("queue.done.count")
	mem.StoreRelease(&l.pub.done, n)
	if m.n > q.chunkSize {
		l.freeParts(m.c)
	}
	l.free(m.c)
}

// requeue makes an orphan of a message that we hold, for any consumer to adopt.
func (q *queue) requeue(m taken) {
	hook.At("queue.requeue")
	q.setState(m.c, stateOf(kindOrphan, putBack, m.pos))
	q.ctl.count.requeued.Add(1)
	q.bump()
}

// finished is how many tasks have been finished since the queue was made.
func (q *queue) finished() (n uint64) {
	for i := range q.table {
		n += q.table[i].done.Load()
	}
	return n
}

// unfinished is how many tasks have been put and not finished. When it is zero
// there was an instant, during the call, at which that was so. While very many are
// put and finished it may not be known, and is one.
func (q *queue) unfinished() int {
	for range 16 {
		t := q.findTail()
		n := (q.finished() + q.ctl.start.Load()) % q.size.positions()
		left := signedDiff(q.size.pos(t), n, q.size.positions())
		if left > 0 || left == 0 && q.findTail() == t {
			return int(left)
		}
		if left < 0 && q.findTail() == t {
			return 0 // somebody writes nonsense
		}
	}
	return 1
}
