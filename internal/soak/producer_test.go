//go:build linux

package soak_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/sluice-ipc/sluice/ring"
)

// A producer is one goroutine that puts.
type producer struct {
	*worker
	outbox
	no    int // of the outbox
	rnd   *rand.Rand
	buf   []byte
	loans []ring.Loan
}

// produce is the role of producers.
func produce(args []string) int {
	return work(args, func(w *worker, g int, rnd *rand.Rand) {
		no := w.slot*crowd + g
		p := &producer{worker: w, outbox: w.ledger.outbox(no), no: no, rnd: rnd,
			buf: make([]byte, w.Largest)}
		for p.step() {
		}
		p.doing.Store(leaving)
		for _, l := range p.loans {
			p.abort(l)
		}
	})
}

// step does one thing, and reports whether there may be more.
func (p *producer) step() bool {
	p.doing.Store(idle)
	if p.ctx.Err() != nil {
		return false
	}
	if p.next()+crowdBatch > puts {
		<-p.ctx.Done()
		return false
	}
	ctx, cancel := p.patience()
	defer cancel()
	switch n := p.rnd.IntN(100); {
	case n < 40:
		return p.put(ctx, p.q.put)
	case n < 55:
		return p.put(ctx, func(_ context.Context, b []byte) error { return p.q.tryPut(b) })
	case n < 58:
		ctx, cancel := context.WithTimeout(p.ctx, time.Duration(p.rnd.IntN(2000))*time.Microsecond)
		defer cancel()
		return p.put(ctx, p.q.put)
	case n < 70:
		return p.batch(ctx)
	case len(p.loans) < 3:
		return p.lend(ctx)
	default:
		return p.redeem(ctx)
	}
}

// patience is how long it waits. Four who have loans and wait for more chunks
// might wait for each other.
func (p *producer) patience() (context.Context, context.CancelFunc) {
	if len(p.loans) == 0 {
		return p.ctx, func() {}
	}
	return context.WithTimeout(p.ctx, 2*time.Millisecond)
}

const crowdBatch = 16

// put puts one message.
func (p *producer) put(ctx context.Context, put func(context.Context, []byte) error) bool {
	p.doing.Store(putting)
	n, size := p.next(), p.size(p.rnd)
	b := p.buf[:size]
	fill(b, p.Epoch, p.no, n)
	p.begin(n, size)
	return p.settle(n, put(ctx, b))
}

// settle writes down how the put of message n ended.
func (p *producer) settle(n int, err error) bool {
	switch {
	case err == nil:
		p.end(n, sent)
		return true
	case noRoom(err):
		p.end(n, failed)
		return true
	case errors.Is(err, ring.ErrClosed) && p.CloseEnd:
		p.end(n, failed)
		return false
	}
	fail("put: %v", err)
	return false
}

// batch puts several small messages at once.
func (p *producer) batch(ctx context.Context) bool {
	p.doing.Store(putting)
	first := p.next()
	var all [][]byte
	for n := first; n < first+1+p.rnd.IntN(crowdBatch); n++ {
		size := min(p.size(p.rnd), 200)
		b := make([]byte, size)
		fill(b, p.Epoch, p.no, n)
		p.begin(n, size)
		all = append(all, b)
	}
	k, err := p.q.putBatch(ctx, all)
	if err == nil && k < len(all) {
		fail("a batch of %d put %d and says nothing", len(all), k)
	}
	more := true
	for i := range all {
		if i < k {
			p.end(first+i, sent)
		} else {
			more = p.settle(first+i, err)
		}
	}
	return more
}

// lend takes a loan for later.
func (p *producer) lend(ctx context.Context) bool {
	p.doing.Store(lending)
	l, err := p.q.Loan(ctx, p.size(p.rnd))
	switch {
	case err == nil:
		p.loans = append(p.loans, l)
	case noRoom(err):
	case errors.Is(err, ring.ErrClosed) && p.CloseEnd:
		return false
	default:
		fail("Loan: %v", err)
	}
	return true
}

// redeem commits or aborts one of the loans.
func (p *producer) redeem(ctx context.Context) bool {
	i := p.rnd.IntN(len(p.loans))
	l := p.loans[i]
	p.loans[i] = p.loans[len(p.loans)-1]
	p.loans = p.loans[:len(p.loans)-1]
	if p.rnd.IntN(5) == 0 {
		p.abort(l)
		return true
	}
	p.doing.Store(committing)
	n := p.next()
	b := p.buf[:l.Len()]
	fill(b, p.Epoch, p.no, n)
	for piece := range l.Pieces() {
		b = b[copy(piece, b):]
	}
	p.begin(n, l.Len())
	err := l.Commit(ctx)
	if p.rnd.IntN(3) == 0 && noRoom(err) {
		err = l.TryCommit()
	}
	if err != nil {
		p.abort(l)
	}
	return p.settle(n, err)
}

func (p *producer) abort(l ring.Loan) {
	p.doing.Store(aborting)
	if err := l.Abort(); err != nil {
		fail("Abort: %v", err)
	}
}
