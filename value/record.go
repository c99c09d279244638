package value

import (
	"context"
	"fmt"
	"runtime"

	"github.com/sluice-ipc/sluice/internal/mem"
	"github.com/sluice-ipc/sluice/internal/place"
	"github.com/sluice-ipc/sluice/shm"
	"github.com/sluice-ipc/sluice/shm/lock"
)

// Record is a value of any plain type T, in shared memory: a number, a bool, an
// array or a struct of those, without pointers. Python's counterpart is a
// Value(Structure); an array of structs is a Record of an array type.
//
// Load returns a value that somebody stored, whole, and never waits: not for a
// writer that is in the middle of it, be it running, stopped or dead. Writers
// exclude each other by a lock. When one dies, the record keeps the last value
// that was complete, and the next to change it is told by [lock.ErrOwnerDied].
//
// Each change gives the record a new version, by which a reader can wait for the
// next one. Values are copied in and out, several times when they are large: of a
// large array of numbers, [Array] gives the memory itself.
type Record[T any] struct {
	spot  place.Spot
	plain *mem.Plain
	c     *cells
	g     guard
}

// Load returns the latest value.
//
// If other processes change it all the time, faster than it can be copied, they
// are asked to pause after a few tries, and do so for a millisecond or so: it is
// had then.
func (r *Record[T]) Load() T {
	v, _ := r.LoadVersion()
	return v
}

// LoadVersion returns the latest value and which version it is, as Version and
// Wait count them.
func (r *Record[T]) LoadVersion() (T, uint64) {
	var v T
	b := mem.BytesOf(&v)
	k, _ := r.c.read(b)
	r.plain.Settle(b)
	runtime.KeepAlive(r)
	return v, k
}

// Version returns how often the record has been changed. (It wraps at 2^63.)
func (r *Record[T]) Version() uint64 {
	k := r.c.version()
	runtime.KeepAlive(r)
	return k
}

// Wait waits until the version is no longer old, and returns what it is then. The
// error is the context's or [ErrClosed]; a context that is done already gets one
// look. The death of a writer ends no wait.
func (r *Record[T]) Wait(ctx context.Context, old uint64) (uint64, error) {
	k, err := r.c.wait(ctx, old)
	runtime.KeepAlive(r)
	return k, wrap("wait for", r.spot.Name(), err)
}

// Store makes v the value.
//
// The errors of Store, Update and With, none of which has then changed anything:
// [lock.ErrOwnerDied] when a writer has died or left in the middle since the last
// call, and of that call alone; the value is the one before the dead one's change,
// or after it, and the call may be repeated. With a lock in [Options] it is
// [lock.ErrInconsistent] instead, until somebody has called Lock and
// MarkConsistent of that, and [lock.ErrNotRecoverable] if somebody will not.
// [ErrClosed], and an error of the context. A context that is done already gets
// one attempt. (If the function of Update or With has given up the lock of the
// record, the change is made and the error is that of the second Unlock.)
func (r *Record[T]) Store(ctx context.Context, v T) error {
	return r.change("store", ctx, func() { r.c.write(mem.BytesOf(&v)) })
}

// Update makes f of the value the value, and returns it. Nobody else changes the
// record while f runs, so f must not either, nor take long. If f panics, nothing
// is changed, and the record can be used.
func (r *Record[T]) Update(ctx context.Context, f func(T) T) (T, error) {
	var v T
	err := r.change("update", ctx, func() {
		old := r.locked()
		v = f(old)
		r.c.write(mem.BytesOf(&v))
	})
	return v, err
}

// With calls f with a copy of the value, and makes the copy the value when f
// returns nil. When f returns an error, which With returns, or panics, nothing is
// changed. Nobody else changes the record while f runs, so f must not either, nor
// take long; what it does to the copy later has no effect.
func (r *Record[T]) With(ctx context.Context, f func(v *T) error) error {
	var own error
	err := r.change("change", ctx, func() { own = r.apply(f) })
	return both(own, err)
}

// Apply is [Record.With] for who holds the [Record.Mutex] through the same handle,
// as to change several objects that share one. [lock.ErrNotLocked]: it is not held.
func (r *Record[T]) Apply(f func(v *T) error) error {
	var own error
	err := r.g.apply(func() { own = r.apply(f) })
	if err == nil {
		r.c.wake()
	}
	runtime.KeepAlive(r)
	return both(own, wrap("change", r.spot.Name(), err))
}

// apply is With under the lock.
func (r *Record[T]) apply(f func(*T) error) error {
	v := r.locked()
	if err := f(&v); err != nil {
		return err
	}
	r.c.write(mem.BytesOf(&v))
	return nil
}

// locked returns the value, for who holds the lock.
func (r *Record[T]) locked() T {
	var v T
	b := mem.BytesOf(&v)
	r.c.latest(b)
	r.plain.Settle(b)
	return v
}

// change calls f under the lock and wakes those who wait for a change.
func (r *Record[T]) change(verb string, ctx context.Context, f func()) error {
	called := false
	err := r.g.do(ctx, func() { f(); called = true })
	if called { // even if f has unlocked the lock, and do cannot
		r.c.wake()
	}
	runtime.KeepAlive(r)
	return wrap(verb, r.spot.Name(), err)
}

// Mutex returns the lock under which the record changes: its own, or that of
// [Options]. It is for changes of several objects, see [Record.Apply]; while it is
// held, the other calls that change the record wait.
func (r *Record[T]) Mutex() *lock.Mutex { return r.g.m }

// String names the record and its version.
func (r *Record[T]) String() string {
	return fmt.Sprintf("value.Record[%s](%s, version %d)", r.plain.Name, r.spot.Name(), r.Version())
}

// Segment returns the segment in which the record lies.
func (r *Record[T]) Segment() *shm.Segment { return r.spot.Seg }

// Close gives up this handle. Waiting calls return [ErrClosed]; a change that is
// being made is finished. Load and Version go on to work. Closing a handle that
// came from RecordAt does nothing.
func (r *Record[T]) Close() error { return r.spot.Close() }

// Handover implements shm.Handle: the child gets a handle of its own, with
// [InheritedRecord].
func (r *Record[T]) Handover() (shm.Handover, error) { return r.spot.Handover() }

// Inherit implements shm.Inheritor.
func (*Record[T]) Inherit(name string) (any, error) { return InheritedRecord[T](name, nil) }
