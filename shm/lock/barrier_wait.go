package lock

import (
	"context"
	"errors"
	"fmt"

	"github.com/sluice-ipc/sluice/internal/hook"
	"github.com/sluice-ipc/sluice/internal/race"
	"github.com/sluice-ipc/sluice/shm"
)

// meet is Wait for a caller that holds a Retain.
func (b *Barrier) meet(ctx context.Context) (int, error) {
	if err := b.join(); err != nil {
		return 0, err
	}
	defer b.part(func(p *party) { p.inside-- })
	race.Release(b.key)
	defer race.Acquire(b.key)
	for {
		v, err := b.entrance(ctx)
		if err != nil {
			return 0, err
		}
		n := v.arrived()
		if n == b.parties-1 {
			if done, err := b.last(v); done {
				return n, err
			}
			continue
		}
		hook.At("lock.barrier.arrive")
		if b.state.CompareAndSwap(uint64(v), uint64(v+1)) { //sync:barrier-round release: what this party did before it arrived
			return n, b.stay(ctx, v)
		}
	}
}

// entrance waits for a round that can be entered, and returns its state.
func (b *Barrier) entrance(ctx context.Context) (round, error) {
	for {
		v := round(b.state.Load())
		if err := b.check(v); err != nil {
			return v, err
		}
		if v.arrived() < b.parties {
			return v, nil
		}
		if err := b.room.wait(ctx, &gathering{b, v, true}); err != nil {
			return v, err
		}
		if !b.spot.Seg.Usable() {
			return v, b.spot.Seg.Retain() // which says why
		}
	}
}

// check returns the error of a barrier that is broken in state v, or that it
// breaks because a party is dead.
func (b *Barrier) check(v round) error {
	// The state comes before the parties: a Reset in between, which forgets the
	// dead, changes it.
	for v&broken == 0 {
		if !b.bereft() {
			return nil
		}
		b.fail(v, died)
		v = round(b.state.Load())
	}
	return v.why()
}

// last is the arrival of the last party at the round that is in state v. It
// reports whether that was it: if not, the state has changed.
func (b *Barrier) last(v round) (bool, error) {
	if b.action == nil {
		return b.complete(v), nil
	}
	acting := v + 1
	hook.At("lock.barrier.act")
	if !b.state.CompareAndSwap(uint64(v), uint64(acting)) { //sync:barrier-round acquire: what the others did before they arrived
		return false, nil
	}
	race.Acquire(b.key)
	failed := true
	defer func() {
		if failed { // or has panicked
			b.fail(acting, 0)
		}
	}()
	if err := b.action(); err != nil {
		return true, fmt.Errorf("%w: action: %w", ErrBarrierBroken, err)
	}
	failed = false
	race.Release(b.key)
	if b.complete(acting) {
		return true, nil
	}
	return true, b.ends.outcome(acting, round(b.state.Load())) // broken meanwhile
}

// complete ends the round that is in state v and lets everybody go, unless the
// state has changed.
func (b *Barrier) complete(v round) bool {
	hook.At("lock.barrier.complete")
	if !b.state.CompareAndSwap(uint64(v), uint64(v.next(true))) { //sync:barrier-round release: what all have done, and the action
		return false
	}
	hook.At("lock.barrier.wake")
	b.room.ev.WakeAll()
	return true
}

// fail breaks the barrier that is in state v, unless it is broken or the state
// has changed. why is 0 or died.
func (b *Barrier) fail(v, why round) {
	hook.At("lock.barrier.fail")
	if v&broken == 0 && b.state.CompareAndSwap(uint64(v), uint64(v&^arrivedBits|broken|why)) {
		hook.At("lock.barrier.wake")
		b.room.ev.WakeAll()
	}
}

// stay waits for the end of the round of state mine, in which we have arrived.
func (b *Barrier) stay(ctx context.Context, mine round) error {
	c := &gathering{b, mine, false}
	for {
		late := b.room.wait(ctx, c)
		if late == nil && !b.spot.Seg.Usable() {
			if late = b.spot.Seg.Retain(); errors.Is(late, shm.ErrClosed) {
				late = ErrClosed
			}
		}
		if done, err := b.settle(mine, late); done {
			return err
		}
	}
}

// settle reports whether our round has ended, and how. It breaks the barrier when
// a party is dead, and when late says why we cannot wait any more.
func (b *Barrier) settle(mine round, late error) (bool, error) {
	for {
		v := round(b.state.Load()) //sync:barrier-round acquire: what all have done before they arrived
		switch {
		case !v.same(mine) || v&broken != 0:
			err := b.ends.outcome(mine, v)
			if err != nil && late != nil {
				err = fmt.Errorf("%w: %w", err, late)
			}
			return true, err
		case b.bereft():
			b.fail(v, died)
		case late != nil:
			b.fail(v, 0)
		default:
			return false, nil
		}
	}
}

// A gathering is the condition of who waits at a barrier: for the end of the
// round of that state, or for one that can be entered.
type gathering struct {
	b     *Barrier
	mine  round
	enter bool
}

// Ready reports whether to look again.
func (g *gathering) Ready() bool {
	v := round(g.b.state.Load())
	return !v.same(g.mine) || v&broken != 0 ||
		g.enter && v.arrived() < g.b.parties ||
		g.b.bereft() || !g.b.spot.Seg.Usable()
}
