package ring

import (
	"context"

	"github.com/sluice-ipc/sluice/internal/mem"
)

// PutBatch puts the messages of vs in order, as Put would one by one, at less
// cost. It returns how many it has put; the others are not in the queue.
func (q *Queue[T]) PutBatch(ctx context.Context, vs []T) (n int, err error) {
	for n < len(vs) {
		if k := q.putSome(ctx, vs[n:]); k > 0 {
			n += k
			continue
		}
		if err := q.Put(ctx, vs[n]); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// TryPutBatch is PutBatch without waiting: it puts as many as there is room for,
// and returns ErrFull if that is none.
func (q *Queue[T]) TryPutBatch(vs []T) (n int, err error) {
	for n < len(vs) {
		if k := q.putSome(context.Background(), vs[n:]); k > 0 {
			n += k
			continue
		}
		if err := q.TryPut(vs[n]); err != nil {
			if n > 0 && err == ErrFull {
				return n, nil
			}
			return n, err
		}
		n++
	}
	return n, nil
}

// putSome puts as many plain messages as it can without waiting.
func (q *Queue[T]) putSome(ctx context.Context, vs []T) (n int) {
	if q.form != formPlain || q.plain.Size > q.q.chunkSize {
		return 0
	}
	l, err := q.q.borrow(ctx)
	if err != nil {
		return 0
	}
	for n < len(vs) && l.put(mem.BytesOf(&vs[n])) == done {
		n++
	}
	for range min(n, maxWakes) {
		q.q.items.Wake()
	}
	l.leave()
	return n
}

// maxWakes is the most sleepers that are woken for a batch; each that finds
// more work than its own leaves the rest to be found.
const maxWakes = 16

// GetBatch takes up to len(vs) messages into vs and returns how many: it waits
// for the first one only. The errors are those of Get; when n is not zero, err is
// nil.
func (q *Queue[T]) GetBatch(ctx context.Context, vs []T) (n int, err error) {
	if len(vs) == 0 {
		return 0, nil
	}
	if n = q.getSome(ctx, vs); n > 0 {
		return n, nil
	}
	if vs[0], err = q.Get(ctx); err != nil {
		return 0, err
	}
	return 1 + q.getSome(ctx, vs[1:]), nil
}

// TryGetBatch is GetBatch without waiting, with the errors of TryGet.
func (q *Queue[T]) TryGetBatch(vs []T) (n int, err error) {
	if len(vs) == 0 {
		return 0, nil
	}
	if n = q.getSome(context.Background(), vs); n > 0 {
		return n, nil
	}
	if vs[0], err = q.TryGet(); err != nil {
		return 0, err
	}
	return 1 + q.getSome(context.Background(), vs[1:]), nil
}

// getSome takes as many plain messages as are there. What is not simple it puts
// back, for Get to see to.
func (q *Queue[T]) getSome(ctx context.Context, vs []T) (n int) {
	if q.form != formPlain || q.plain.Size > q.q.chunkSize || q.q.joinable() {
		return 0
	}
	l, err := q.q.borrow(ctx)
	if err != nil {
		return 0
	}
	for n < len(vs) && l.q.ctl.epoch.Load() == l.seen {
		m, st := l.take()
		if st != done {
			break
		}
		if m.tries > 0 || m.n != q.plain.Size {
			q.q.requeue(m)
			break
		}
		mem.Load(q.plain, q.q.bytesOf(m.c, m.n), &vs[n])
		l.release(m)
		n++
	}
	for range min(n, maxWakes) {
		q.q.space.Wake()
	}
	if n > 0 {
		q.q.wakeSpace()
	}
	l.leave()
	return n
}
