package value

import (
	"context"
	"fmt"
	"iter"
	"reflect"
	"runtime"

	"github.com/sluice-ipc/sluice/internal/hook"
	"github.com/sluice-ipc/sluice/internal/mem"
	"github.com/sluice-ipc/sluice/internal/place"
	"github.com/sluice-ipc/sluice/internal/race"
	"github.com/sluice-ipc/sluice/shm"
	"github.com/sluice-ipc/sluice/shm/lock"
)

// Array is a row of numbers in shared memory. Its length never changes.
//
// There are three ways to its elements, which know nothing of each other:
//
//   - one at a time, atomically and without a lock ([Array.At], [Array.Set],
//     [Array.AddAt] and their like);
//   - many at a time under a lock that excludes the other processes' calls of
//     this kind ([Array.Snapshot], [Array.CopyIn], [Array.CopyOut],
//     [Array.With]): At may see some elements as they were before a CopyIn and
//     some as they are after it, but none in between, and what an AddAt adds
//     meanwhile may be written over;
//   - the memory itself ([Array.View]), for who sees to the rest.
//
// When somebody dies, or leaves, in the middle of the second kind of call, some
// elements may be changed and others not. The next call of that kind, whoever
// makes it, does nothing and returns [lock.ErrOwnerDied], once; after that all
// goes on. With a lock of Options, which guards other objects too, all calls
// return [lock.ErrInconsistent] until somebody has locked it, put things right and
// marked it consistent.
//
// The calls that cannot fail work for as long as the handle is reachable, also
// after Close. An index that is out of range panics, as that of a slice. An array
// of structs is a [Record] whose type is a Go array.
type Array[T Number] struct {
	items []T // in shared memory
	g     guard
	spot  place.Spot
}

// Len returns how many elements the array has.
func (a *Array[T]) Len() int { return len(a.items) }

// At returns element i.
func (a *Array[T]) At(i int) T {
	n := mem.LoadNumber(&a.items[i]) //sync:item acquire: what was done before it was changed
	a.seen(i)
	runtime.KeepAlive(a)
	return n
}

// Set changes element i to n.
func (a *Array[T]) Set(i int, n T) { a.SwapAt(i, n) }

// SwapAt changes element i to n and returns what it was.
func (a *Array[T]) SwapAt(i int, n T) (old T) {
	p := &a.items[i]
	a.publish(i)
	old = mem.SwapNumber(p, n) //sync:item release: what we did before
	a.seen(i)
	runtime.KeepAlive(a)
	return old
}

// CompareAndSwapAt changes element i to n if it is old, and reports whether it
// did. It compares bits: a NaN is equal to itself, and 0 is not -0.
func (a *Array[T]) CompareAndSwapAt(i int, old, n T) bool {
	p := &a.items[i]
	a.publish(i)
	ok := mem.CompareAndSwapNumber(p, old, n) //sync:item release: what we did before
	a.seen(i)
	runtime.KeepAlive(a)
	return ok
}

// AddAt adds delta to element i and returns the sum. Integers wrap around.
func (a *Array[T]) AddAt(i int, delta T) T {
	p := &a.items[i]
	if isFloat[T]() || itemSize[T]() < 4 {
		return a.UpdateAt(i, func(n T) T { return n + delta })
	}
	a.publish(i)
	n := mem.AddNumber(p, delta) //sync:item release: what we did before
	a.seen(i)
	runtime.KeepAlive(a)
	return n
}

// UpdateAt changes element i to what f makes of it, which it returns. When
// somebody else changes it meanwhile, f is called again, with the new number; it
// must do nothing but compute.
func (a *Array[T]) UpdateAt(i int, f func(T) T) T {
	for {
		old := a.At(i)
		if n := f(old); a.CompareAndSwapAt(i, old, n) {
			return n
		}
	}
}

// publish and seen tell the race detector what an element orders.
func (a *Array[T]) publish(i int) {
	if race.Enabled {
		race.Release(a.spot.Key() + uint64(i))
	}
}

func (a *Array[T]) seen(i int) {
	if race.Enabled {
		race.Acquire(a.spot.Key() + uint64(i))
	}
}

// All iterates over indices and elements. Each element is read when its turn
// comes: see [Array.Snapshot] for all at one time.
func (a *Array[T]) All() iter.Seq2[int, T] {
	return func(yield func(int, T) bool) {
		for i := range a.Len() {
			if !yield(i, a.At(i)) {
				return
			}
		}
	}
}

// Values iterates over the elements, as [Array.All] does.
func (a *Array[T]) Values() iter.Seq[T] {
	return func(yield func(T) bool) {
		for _, n := range a.All() {
			if !yield(n) {
				return
			}
		}
	}
}

// Snapshot returns a copy of elements i to j-1, made under the lock.
//
// The errors of this call and of those below, none of which has then done
// anything: [RangeError], [lock.ErrOwnerDied] and [lock.ErrInconsistent] as above,
// [lock.ErrNotRecoverable], an error of the context, and [ErrClosed].
func (a *Array[T]) Snapshot(ctx context.Context, i, j int) ([]T, error) {
	if err := a.within(i, j); err != nil {
		return nil, err
	}
	dst := make([]T, j-i)
	if err := a.copyOut(ctx, "snapshot", i, dst); err != nil {
		return nil, err
	}
	return dst, nil
}

// CopyIn copies all of src over the elements from off on, under the lock.
func (a *Array[T]) CopyIn(ctx context.Context, off int, src []T) error {
	if err := a.holds(off, len(src)); err != nil {
		return err
	}
	return a.locked(ctx, "copy into", func(items []T) error {
		hook.At("value.array.copy")
		copy(items[off:], src)
		hook.At("value.array.copied")
		return nil
	})
}

// CopyOut fills dst with the elements from off on, under the lock.
func (a *Array[T]) CopyOut(ctx context.Context, off int, dst []T) error {
	if err := a.holds(off, len(dst)); err != nil {
		return err
	}
	return a.copyOut(ctx, "copy from", off, dst)
}

func (a *Array[T]) copyOut(ctx context.Context, verb string, off int, dst []T) error {
	return a.locked(ctx, verb, func(items []T) error {
		copy(dst, items[off:])
		return nil
	})
}

// With calls f with the memory of all elements, under the lock, and returns its
// error. What f has changed stays so, also when it returns an error or panics. It
// must not keep the slice, nor make locking calls on the array: see [Array.Apply]
// for several objects at a time.
func (a *Array[T]) With(ctx context.Context, f func(items []T) error) error {
	return a.locked(ctx, "lock", f)
}

// Apply is With for who has locked [Array.Mutex] already, or the lock in Options,
// through that handle: [lock.ErrNotLocked] otherwise.
func (a *Array[T]) Apply(f func(items []T) error) error {
	var own error
	err := a.g.apply(func() { own = f(a.items) })
	return both(own, wrap("change", a.spot.Name(), err))
}

// locked calls f under the lock.
func (a *Array[T]) locked(ctx context.Context, verb string, f func(items []T) error) error {
	var own error
	err := a.g.do(ctx, func() { own = f(a.items) })
	return both(own, wrap(verb, a.spot.Name(), err))
}

// within says whether there are elements i to j-1.
func (a *Array[T]) within(i, j int) error {
	if i < 0 || j < i || j > len(a.items) {
		return &RangeError{Array: a.spot.Name(), From: i, To: j, Len: len(a.items)}
	}
	return nil
}

// holds says whether there are n elements from off on.
func (a *Array[T]) holds(off, n int) error {
	if off < 0 || off > len(a.items) || n > len(a.items)-off {
		return &RangeError{Array: a.spot.Name(), From: off, To: off + n, Len: len(a.items)}
	}
	return nil
}

// Mutex returns the lock of the locking calls: that of Options, or the array's
// own, which may be used for as long as the array is not closed.
func (a *Array[T]) Mutex() *lock.Mutex { return a.g.m }

// String names the array and says how long it is.
func (a *Array[T]) String() string {
	return fmt.Sprintf("value.Array[%v](%s, %d elements)", reflect.TypeFor[T](), a.spot.Name(), a.Len())
}

// Segment returns the segment in which the array lies.
func (a *Array[T]) Segment() *shm.Segment { return a.spot.Seg }

// Close gives up this handle. Waiting calls return [ErrClosed]; calls that have
// the lock, and views, keep the memory and the place among the participants until
// they end. Closing a handle that came from [ArrayAt] does nothing.
func (a *Array[T]) Close() error { return a.spot.Close() }

// Handover implements shm.Handle: the child gets a handle of its own, with
// [InheritedArray].
func (a *Array[T]) Handover() (shm.Handover, error) { return a.spot.Handover() }

// Inherit implements shm.Inheritor, for package shm/proc.
func (*Array[T]) Inherit(name string) (any, error) { return InheritedArray[T](name, nil) }
