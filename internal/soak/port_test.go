//go:build linux

package soak_test

import (
	"context"
	"errors"

	"github.com/sluice-ipc/sluice/ring"
	"github.com/sluice-ipc/sluice/shm"
)

// A port is a queue of whatever type, as the plans use it.
type port interface {
	put(ctx context.Context, b []byte) error
	tryPut(b []byte) error
	putBatch(ctx context.Context, bs [][]byte) (int, error)
	get(ctx context.Context) ([]byte, error)
	tryGet() ([]byte, error)
	getBatch(ctx context.Context, n int) ([][]byte, error)

	Loan(ctx context.Context, n int) (ring.Loan, error)
	Take(ctx context.Context) (ring.Message, error)
	TryTake() (ring.Message, error)
	Stats() ring.QueueStats
	Segment() *shm.Segment
	CloseSend() error
	Close() error
}

// A cell is what queues of a plain type hold.
type cell [64]byte

// openPort opens the plan's queue, or makes it.
func openPort(p *plan, create bool) (port, error) {
	label := "worker"
	if create {
		label = "soak"
	}
	o := p.options(label)
	if p.Plain {
		open := ring.OpenQueue[cell]
		if create {
			open = ring.CreateQueue[cell]
		}
		q, err := open(p.Queue, o)
		return cells{q}, err
	}
	if p.Joinable {
		open := ring.OpenJoinableQueue[[]byte]
		if create {
			open = ring.CreateJoinableQueue[[]byte]
		}
		q, err := open(p.Queue, o)
		return tasks{bytesPort{q.Queue}, q}, err
	}
	open := ring.OpenQueue[[]byte]
	if create {
		open = ring.CreateQueue[[]byte]
	}
	q, err := open(p.Queue, o)
	return bytesPort{q}, err
}

type bytesPort struct{ *ring.Queue[[]byte] }

func (q bytesPort) put(ctx context.Context, b []byte) error { return q.Put(ctx, b) }
func (q bytesPort) tryPut(b []byte) error                   { return q.TryPut(b) }
func (q bytesPort) putBatch(ctx context.Context, bs [][]byte) (int, error) {
	return q.PutBatch(ctx, bs)
}
func (q bytesPort) get(ctx context.Context) ([]byte, error) { return q.Get(ctx) }
func (q bytesPort) tryGet() ([]byte, error)                 { return q.TryGet() }
func (q bytesPort) getBatch(ctx context.Context, n int) ([][]byte, error) {
	bs := make([][]byte, n)
	n, err := q.GetBatch(ctx, bs)
	return bs[:n], err
}

type tasks struct {
	bytesPort
	tasks ring.JoinableQueue[[]byte]
}

type cells struct{ *ring.Queue[cell] }

func (q cells) put(ctx context.Context, b []byte) error { return q.Put(ctx, cell(b)) }
func (q cells) tryPut(b []byte) error                   { return q.TryPut(cell(b)) }
func (q cells) putBatch(ctx context.Context, bs [][]byte) (int, error) {
	vs := make([]cell, len(bs))
	for i, b := range bs {
		vs[i] = cell(b)
	}
	return q.PutBatch(ctx, vs)
}

func (q cells) get(ctx context.Context) ([]byte, error) {
	v, err := q.Get(ctx)
	return v[:], err
}

func (q cells) tryGet() ([]byte, error) {
	v, err := q.TryGet()
	return v[:], err
}

func (q cells) getBatch(ctx context.Context, n int) ([][]byte, error) {
	vs := make([]cell, n)
	n, err := q.GetBatch(ctx, vs)
	bs := make([][]byte, n)
	for i := range bs {
		bs[i] = vs[i][:]
	}
	return bs, err
}

// noRoom and nothing say what an error means that is none.
func noRoom(err error) bool  { return errors.Is(err, ring.ErrFull) }
func nothing(err error) bool { return errors.Is(err, ring.ErrEmpty) }
