package value

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"

	"github.com/sluice-ipc/sluice/internal/hook"
	"github.com/sluice-ipc/sluice/internal/mem"
	"github.com/sluice-ipc/sluice/internal/place"
	"github.com/sluice-ipc/sluice/internal/race"
	"github.com/sluice-ipc/sluice/shm"
)

// ErrBusy means that a blackboard has a writer, who is alive.
var ErrBusy = errors.New("there is a writer already")

// Blackboard is a value of any plain type T, as of a [Record], that one writer at
// a time publishes and any number of readers look at: always the latest, whole.
//
// Neither waits for the other, except that a reader which the writer has been
// overtaking for hundreds of tries may make it pause once, for a millisecond or
// so. When the writer dies, its last value stays, and somebody else can be the
// writer.
type Blackboard[T any] struct {
	spot   place.Spot
	plain  *mem.Plain
	c      *cells
	writer *atomic.Uint64 // the participant's ID, 0: nobody
	me     uint64
}

// Load returns the latest value and which version it is. The first value is
// version 0, and each that is published has the next.
func (b *Blackboard[T]) Load() (T, uint64) {
	var v T
	raw := mem.BytesOf(&v)
	k, _ := b.c.read(raw)
	b.plain.Settle(raw)
	runtime.KeepAlive(b)
	return v, k
}

// Version returns which version is the latest. (It wraps at 2^63.)
func (b *Blackboard[T]) Version() uint64 {
	k := b.c.version()
	runtime.KeepAlive(b)
	return k
}

// Wait waits until the version is no longer old, and returns what it is then. The
// error is the context's or [ErrClosed]; a context that is done already gets one
// look. The death of the writer ends no wait.
func (b *Blackboard[T]) Wait(ctx context.Context, old uint64) (uint64, error) {
	k, err := b.c.wait(ctx, old)
	runtime.KeepAlive(b)
	return k, wrap("wait for", b.spot.Name(), err)
}

// claimTries bounds how often Claim tries to succeed one who is gone: each time
// somebody else was faster.
const claimTries = 100

// Claim makes this handle's participant the writer. [ErrBusy]: somebody is, and
// neither has closed its Writer nor died. One that is merely stopped is not dead.
//
// From then on until [Writer.Close], Close takes no effect; a Writer that is
// forgotten without it keeps others out for as long as its process lives.
func (b *Blackboard[T]) Claim() (*Writer[T], error) {
	if err := b.spot.Seg.Retain(); err != nil {
		return nil, wrap("claim", b.spot.Name(), err)
	}
	for range claimTries {
		old := b.writer.Load()
		if id := shm.ID(old); old != 0 && (old == b.me || !over(b.spot.Seg, id) && !b.spot.Seg.Gone(id)) {
			break
		}
		hook.At("value.board.claim")
		if b.writer.CompareAndSwap(old, b.me) { //sync:board-writer acquire: what the last writer published
			race.Acquire(b.c.key)
			return &Writer[T]{b: b}, nil
		}
	}
	b.spot.Seg.Release()
	return nil, wrap("claim", b.spot.Name(), ErrBusy)
}

// String names the blackboard and its version.
func (b *Blackboard[T]) String() string {
	return fmt.Sprintf("value.Blackboard[%s](%s, version %d)", b.plain.Name, b.spot.Name(), b.Version())
}

// Segment returns the segment in which the blackboard lies.
func (b *Blackboard[T]) Segment() *shm.Segment { return b.spot.Seg }

// Close gives up this handle. Waiting calls return [ErrClosed]; Load and Version
// go on to work. Closing a handle that came from BlackboardAt does nothing.
func (b *Blackboard[T]) Close() error { return b.spot.Close() }

// Handover implements shm.Handle: the child gets a handle of its own, with
// [InheritedBlackboard], and is not the writer.
func (b *Blackboard[T]) Handover() (shm.Handover, error) { return b.spot.Handover() }

// Inherit implements shm.Inheritor.
func (*Blackboard[T]) Inherit(name string) (any, error) { return InheritedBlackboard[T](name, nil) }

// Writer is who publishes values on a [Blackboard].
// It must not be used by more than one goroutine at a time.
type Writer[T any] struct {
	b      *Blackboard[T]
	closed bool
}

// Publish makes v the latest value and wakes who waits for it. It fails only with
// [ErrClosed], and when the segment has failed.
func (w *Writer[T]) Publish(v T) error {
	c, s := w.b.c, w.b.spot.Seg
	if w.closed || !s.Usable() {
		return w.refuse("publish")
	}
	c.write(mem.BytesOf(&v))
	c.wake()
	runtime.KeepAlive(w)
	return nil
}

func (w *Writer[T]) refuse(verb string) error {
	err := error(ErrClosed)
	if !w.closed {
		err = unusable(w.b.spot.Seg)
	}
	return wrap(verb, w.b.spot.Name(), err)
}

// Close lets somebody else be the writer. It may be called twice.
func (w *Writer[T]) Close() error {
	if w.closed {
		return nil
	}
	w.closed = true
	hook.At("value.board.leave")
	race.Release(w.b.c.key)
	w.b.writer.CompareAndSwap(w.b.me, 0) //sync:board-writer release: what we published
	w.b.spot.Seg.Release()
	return nil
}
