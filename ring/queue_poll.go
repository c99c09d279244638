package ring

import (
	"context"
	"errors"
)

// Poll waits until a Get would find something, and takes nothing: a message, or
// the end, or that CloseSend was called, after which Get may still have to wait
// for a Put that is under way. Others may be faster than the Get that follows.
// When the context's deadline passes first Poll returns false and no error; when
// the context is cancelled, its error.
func (q *Queue[T]) Poll(ctx context.Context) (bool, error) {
	return guardedIf(q.q, func() (bool, error) { return q.q.poll(ctx, true) })
}

// TryPoll is Poll without waiting.
func (q *Queue[T]) TryPoll() (bool, error) {
	return guardedIf(q.q, func() (bool, error) { return q.q.poll(context.Background(), false) })
}

func guardedIf(q *queue, f func() (bool, error)) (bool, error) {
	if q.opts.Guard {
		return guarded(q, f)
	}
	return f()
}

// presence is the condition that there is something for Get.
type presence queue

// Ready implements wait.Cond.
func (p *presence) Ready() bool {
	q := (*queue)(p)
	return q.closed.Load() || q.poisoned() != nil || q.ctl.closing.Load() != 0 ||
		q.depth() > 0 || q.orphans() > 0 || q.opts.EndAlone && q.alone()
}

func (q *queue) poll(ctx context.Context, block bool) (bool, error) {
	if err := q.retain(); err != nil {
		return false, q.wrap("poll", err)
	}
	defer q.release()
	if p := (*presence)(q); !p.Ready() {
		if !block {
			return false, nil
		}
		spin := q.spinner
		err := q.items.Wait(ctx, p, &spin)
		if errors.Is(err, context.DeadlineExceeded) {
			return false, nil
		}
		if err != nil {
			return false, q.waited("poll", ErrEmpty, err)
		}
		// The wake-up was perhaps meant for somebody who is in Get.
		q.items.Wake()
	}
	if q.closed.Load() {
		return false, q.wrap("poll", ErrClosed)
	}
	return true, q.poisoned()
}
