package main

import (
	"context"

	"github.com/sluice-ipc/sluice/internal/mem"
	"github.com/sluice-ipc/sluice/ring"
)

// valuesEnd puts and gets values.
type valuesEnd[T any] struct {
	payload
	out, in *ring.Queue[T]
	mine    values[T] // to be sent
	theirs  values[T] // received
}

// values are some messages in private memory, and that memory.
type values[T any] struct {
	v []T
	b [][]byte
}

// newValues returns messages that lack their numbers only.
func newValues[T any](p *payload, n int) values[T] {
	m := values[T]{make([]T, n), make([][]byte, n)}
	for i := range m.v {
		m.b[i] = mem.BytesOf(&m.v[i])
		copy(m.b[i], p.src)
	}
	return m
}

func openValues[T any](s spec, side, batch int) (endpoint, error) {
	out, in, err := inheritQueues[T](s, side)
	if err != nil {
		return nil, err
	}
	p := newPayload(s.Size)
	e := &valuesEnd[T]{p, out, in, newValues[T](&p, batch), newValues[T](&p, batch)}
	if batch > 1 {
		return &valueBatchEnd[T]{e}, nil
	}
	return e, nil
}

func (e *valuesEnd[T]) put(ctx context.Context, i uint64) error {
	number(e.mine.b[0], i)
	return e.out.Put(ctx, e.mine.v[0])
}

func (e *valuesEnd[T]) get(ctx context.Context, i uint64) (err error) {
	if e.theirs.v[0], err = e.in.Get(ctx); err != nil {
		return err
	}
	if b := e.theirs.b[0]; !e.good(b, i) {
		return e.wrong(b, i)
	}
	return nil
}

func (e *valuesEnd[T]) ping(rec *recorder, n int) error {
	ctx := context.Background()
	rec.start()
	for i := range uint64(n) {
		if err := e.put(ctx, i); err != nil {
			return err
		}
		if err := e.get(ctx, i); err != nil {
			return err
		}
		rec.trip()
	}
	rec.stop()
	return nil
}

func (e *valuesEnd[T]) echo(n int) error {
	ctx := context.Background()
	for i := range uint64(n) {
		if err := e.get(ctx, i); err != nil {
			return err
		}
		if err := e.put(ctx, i); err != nil {
			return err
		}
	}
	return nil
}

func (e *valuesEnd[T]) send(n int) error {
	ctx := context.Background()
	for i := range uint64(n) {
		if err := e.put(ctx, i); err != nil {
			return err
		}
	}
	return nil
}

func (e *valuesEnd[T]) recv(n int) error {
	ctx := context.Background()
	for i := range uint64(n) {
		if err := e.get(ctx, i); err != nil {
			return err
		}
	}
	return nil
}

func (e *valuesEnd[T]) close() error { return firstError(e.out.Close(), e.in.Close()) }

// valueBatchEnd puts and gets many at a time.
type valueBatchEnd[T any] struct{ *valuesEnd[T] }

func (e *valueBatchEnd[T]) send(n int) error {
	ctx := context.Background()
	for i := 0; i < n; i += queueBatch {
		some := e.mine.v[:min(queueBatch, n-i)]
		for j := range some {
			number(e.mine.b[j], uint64(i+j))
		}
		if _, err := e.out.PutBatch(ctx, some); err != nil {
			return err
		}
	}
	return nil
}

func (e *valueBatchEnd[T]) recv(n int) error {
	ctx := context.Background()
	for i := 0; i < n; {
		got, err := e.in.GetBatch(ctx, e.theirs.v)
		if err != nil {
			return err
		}
		for _, b := range e.theirs.b[:got] {
			if !e.good(b, uint64(i)) {
				return e.wrong(b, uint64(i))
			}
			i++
		}
	}
	return nil
}
