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

// putSome puts as many plain messages as it can without waiting, up to a batch.
func (q *Queue[T]) putSome(ctx context.Context, vs []T) (n int) {
	if !q.batches() {
		return 0
	}
	l, err := q.q.borrow()
	if err != nil {
		return 0
	}
	if l.no != batchLane {
		vs = vs[:1]
	}
	b := &l.batch
	n = l.allocBatch(b[:min(len(vs), batchSize)])
	for i, c := range b[:n] {
		mem.Store(q.plain, q.q.bytesOf(c, q.plain.Size), &vs[i])
		q.q.setMeta(c, metaOf(q.plain.Size, 0, 0))
	}
	n = l.publishBatch(b[:n])
	l.leave()
	return n
}

// batches reports whether messages are such that several at a time are quicker.
func (q *Queue[T]) batches() bool {
	return q.direct && q.plain.Size <= q.q.chunkSize && q.q.geo.batch() > 1
}

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

// getSome takes as many plain messages as are there, up to a batch, if nothing
// about them is unusual.
func (q *Queue[T]) getSome(ctx context.Context, vs []T) (n int) {
	if !q.batches() || q.q.joinable() || len(vs) == 0 {
		return 0
	}
	l, err := q.q.borrow()
	if err != nil {
		return 0
	}
	if l.no != batchLane {
		vs = vs[:1]
	}
	b := &l.batch
	n = l.takeBatch(b[:min(len(vs), batchSize)], q.plain.Size)
	for i, c := range b[:n] {
		mem.Load(q.plain, q.q.bytesOf(c, q.plain.Size), &vs[i])
	}
	for _, c := range b[:n] {
		l.free(c)
	}
	for range n {
		q.q.wakeSpace()
	}
	l.leave()
	return n
}
