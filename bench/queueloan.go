package main

import (
	"context"

	"github.com/sluice-ipc/sluice/ring"
)

// loansEnd fills messages where they lie, and reads them there.
type loansEnd struct {
	payload
	out, in *ring.Queue[[]byte]
}

func openLoans(s spec, side, _ int) (endpoint, error) {
	out, in, err := inheritQueues[[]byte](s, side)
	if err != nil {
		return nil, err
	}
	return &loansEnd{newPayload(s.Size), out, in}, nil
}

func (e *loansEnd) put(ctx context.Context, i uint64) error {
	loan, err := e.out.Loan(ctx, e.size)
	if err != nil {
		return err
	}
	e.fill(loan.Bytes(), i)
	return loan.Commit(ctx)
}

func (e *loansEnd) get(ctx context.Context, i uint64) error {
	m, err := e.in.Take(ctx)
	if err != nil {
		return err
	}
	if b := m.Bytes(); !e.good(b, i) {
		return e.wrong(b, i)
	}
	return m.Release()
}

func (e *loansEnd) ping(rec *recorder, n int) error {
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

func (e *loansEnd) echo(n int) error {
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

func (e *loansEnd) send(n int) error {
	ctx := context.Background()
	for i := range uint64(n) {
		if err := e.put(ctx, i); err != nil {
			return err
		}
	}
	return nil
}

func (e *loansEnd) recv(n int) error {
	ctx := context.Background()
	for i := range uint64(n) {
		if err := e.get(ctx, i); err != nil {
			return err
		}
	}
	return nil
}

func (e *loansEnd) close() error { return firstError(e.out.Close(), e.in.Close()) }
