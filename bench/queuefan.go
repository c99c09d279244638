package main

import (
	"context"

	"github.com/sluice-ipc/sluice/internal/mem"
)

func (e *valuesEnd[T]) produce(who, n int) error {
	ctx := context.Background()
	for i := 1; i <= n; i++ {
		if err := e.put(ctx, numberOf(who, i)); err != nil {
			return err
		}
	}
	return nil
}

func (e *valuesEnd[T]) dismiss(consumers int) error {
	for range consumers {
		if err := e.put(context.Background(), farewell); err != nil {
			return err
		}
	}
	return nil
}

func (e *valuesEnd[T]) consume(t *tally) (err error) {
	ctx := context.Background()
	for {
		if e.theirs.v[0], err = e.in.Get(ctx); err != nil {
			return err
		}
		b := e.theirs.b[0]
		w := numberIn(b)
		if w == farewell {
			return nil
		}
		if err := e.accept(t, b, w); err != nil {
			return err
		}
	}
}

func (e *valueBatchEnd[T]) produce(who, n int) error {
	ctx := context.Background()
	for i := 1; i <= n; i += queueBatch {
		some := e.mine.v[:min(queueBatch, n-i+1)]
		for j := range some {
			number(e.mine.b[j], numberOf(who, i+j))
		}
		if _, err := e.out.PutBatch(ctx, some); err != nil {
			return err
		}
	}
	return nil
}

func (e *valueBatchEnd[T]) consume(t *tally) error {
	ctx := context.Background()
	for {
		got, err := e.in.GetBatch(ctx, e.theirs.v)
		if err != nil {
			return err
		}
		for j, b := range e.theirs.b[:got] {
			w := numberIn(b)
			if w == farewell {
				// Those behind it are farewells too, and for others.
				return e.dismiss(got - j - 1)
			}
			if err := e.accept(t, b, w); err != nil {
				return err
			}
		}
	}
}

// produceKept goes on where the ledger ends, until message n.
func (e *valuesEnd[T]) produceKept(l producerLedger, who, n int) error {
	ctx := context.Background()
	for i := int(l.begun.Load()) + 1; i <= n; i++ {
		mem.StoreRelease(l.begun, uint64(i))
		if err := e.put(ctx, numberOf(who, i)); err != nil {
			return err
		}
		mem.StoreRelease(l.done, uint64(i))
	}
	return nil
}

// consumeKept takes messages and gives each back when the ledger has it: one
// that is lost with its consumer would be somebody's fault.
func (e *valuesEnd[T]) consumeKept(l *consumerLedger) error {
	ctx := context.Background()
	var t tally
	for {
		m, err := e.in.Take(ctx)
		if err != nil {
			return err
		}
		b := m.Bytes()
		w := numberIn(b)
		if w == farewell {
			return m.Release()
		}
		l.open(w)
		if !e.good(b, w) {
			return e.wrong(b, w)
		}
		if m.Deliveries() == 0 && !t.note(w) {
			return disorder(w)
		}
		if err := l.note(w); err != nil {
			return err
		}
		if err := m.Release(); err != nil {
			return err
		}
		l.close()
	}
}
