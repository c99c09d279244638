package value

import (
	"context"
	"fmt"
	"reflect"
	"runtime"
	"structs"
	"sync/atomic"

	"github.com/sluice-ipc/sluice/internal/hook"
	"github.com/sluice-ipc/sluice/internal/mem"
	"github.com/sluice-ipc/sluice/internal/place"
	"github.com/sluice-ipc/sluice/internal/race"
	"github.com/sluice-ipc/sluice/internal/wait"
	"github.com/sluice-ipc/sluice/shm"
)

// Integer is the integers of fixed width, and int and uint, which are shared as
// 64 bits.
type Integer interface {
	~int8 | ~int16 | ~int32 | ~int64 | ~int | ~uint8 | ~uint16 | ~uint32 | ~uint64 | ~uint
}

// Float is the floating-point numbers.
type Float interface{ ~float32 | ~float64 }

// Number is what a [Value] or an [Array] can hold.
type Number interface{ Integer | Float }

// Value is a number in shared memory that all processes read and change
// atomically and without locks: who dies or stops in the middle of a call has
// changed it or not, and is in nobody's way. All calls are in one order, the same
// for everybody, and order the memory around them as those of sync/atomic do.
//
// The calls that cannot fail work for as long as the handle is reachable, also
// after Close, when they act for somebody who has left.
type Value[T Number] struct{ word }

// A word is a value whose type does not matter.
type word struct {
	c     *cell
	watch watch
	spot  place.Spot
}

// A cell is a value in shared memory, at a multiple of 128. The words share a
// line: who changes the number looks at the event next.
type cell struct {
	_ structs.HostLayout

	tag   atomic.Uint64
	bits  atomic.Uint64 // the number, in the lower bits; the others are anything
	event atomic.Uint32 // where those sleep who wait for it to change
	_     [Size - 20]byte
}

// Size is how many bytes a [Value] takes in a segment of the caller's.
const Size = mem.FalseShare

// Load returns the number.
func (v *Value[T]) Load() T {
	w := v.c.bits.Load() //sync:value acquire: what was done before it was changed
	v.seen()
	runtime.KeepAlive(v)
	return mem.FromBits[T](w)
}

// Store changes the number to n.
func (v *Value[T]) Store(n T) {
	v.publish()
	v.c.bits.Store(mem.ToBits(n)) //sync:value release: what we did before
	if v.watched() {
		v.wake()
	}
}

// Swap changes the number to n and returns what it was.
func (v *Value[T]) Swap(n T) (old T) {
	v.publish()
	w := v.c.bits.Swap(mem.ToBits(n)) //sync:value release: what we did before
	if v.watched() {
		v.wake()
	}
	return mem.FromBits[T](w)
}

// CompareAndSwap changes the number to n if it is old, and reports whether it
// did. It compares bits: a NaN is equal to itself, and 0 is not -0.
func (v *Value[T]) CompareAndSwap(old, n T) bool {
	for {
		w := v.c.bits.Load()
		if mem.ToBits(mem.FromBits[T](w)) != mem.ToBits(old) {
			runtime.KeepAlive(v)
			return false
		}
		if v.swap(w, n) {
			return true
		}
	}
}

// swap changes the number to n if its word is still w.
func (v *Value[T]) swap(w uint64, n T) bool {
	v.publish()
	hook.At("value.swap")
	if !v.c.bits.CompareAndSwap(w, mem.ToBits(n)) { //sync:value release: what we did before
		return false
	}
	if v.watched() {
		v.wake()
	}
	return true
}

// Add adds delta and returns the sum. Integers wrap around; to subtract one from
// an unsigned number, add ^T(0).
func (v *Value[T]) Add(delta T) T {
	if isFloat[T]() {
		return v.addFloat(delta)
	}
	v.publish()
	w := v.c.bits.Add(mem.ToBits(delta)) //sync:value release: what we did before
	if v.watched() {
		v.wake()
	}
	return mem.FromBits[T](w)
}

func (v *Value[T]) addFloat(delta T) T { return v.Update(func(n T) T { return n + delta }) }

// isFloat is known when the function that calls it is compiled.
func isFloat[T Number]() bool { return T(1)/T(2) != 0 }

// Update changes the number to what f makes of it, which it returns. When
// somebody else changes it meanwhile, f is called again, with the new number; it
// must do nothing but compute.
func (v *Value[T]) Update(f func(T) T) T {
	for {
		w := v.c.bits.Load() //sync:value acquire: what was done before it was changed
		v.seen()
		if n := f(mem.FromBits[T](w)); v.swap(w, n) {
			return n
		}
	}
}

// Or sets the bits of mask, and returns what the number was.
func Or[T Integer](v *Value[T], mask T) (old T) {
	v.publish()
	w := v.c.bits.Or(mem.ToBits(mask)) //sync:value release: what we did before
	if v.watched() {
		v.wake()
	}
	return mem.FromBits[T](w)
}

// And keeps the bits of mask only, and returns what the number was.
func And[T Integer](v *Value[T], mask T) (old T) {
	v.publish()
	w := v.c.bits.And(mem.ToBits(mask)) //sync:value release: what we did before
	if v.watched() {
		v.wake()
	}
	return mem.FromBits[T](w)
}

// publish and seen tell the race detector what the number orders, and seen is
// called by whoever has looked at it.
func (v *word) publish() {
	if race.Enabled {
		race.Release(v.spot.Key())
	}
}

func (v *word) seen() {
	if race.Enabled {
		race.Acquire(v.spot.Key())
	}
}

// watched reports, after the number has changed, whether to wake those who wait
// for that.
func (v *word) watched() bool {
	hook.At("value.look")
	some := wait.Asleep(&v.c.event)
	v.seen()
	runtime.KeepAlive(v)
	return some
}

func (v *word) wake() {
	hook.At("value.wake")
	v.watch.wake()
	runtime.KeepAlive(v)
}

// Wait waits until the number is no longer old, and returns what it then is. A
// number that is another already is returned at once. It compares bits, as
// CompareAndSwap does. A number that changes, and changes back before anybody
// looks, may be seen as unchanged; one that only grows never is.
//
// With an error of the context, or [ErrClosed], the number is old, or became
// another just then.
func (v *Value[T]) Wait(ctx context.Context, old T) (T, error) {
	if err := v.spot.Seg.Retain(); err != nil {
		return v.Load(), wrap("wait for", v.spot.Name(), err)
	}
	defer v.spot.Seg.Release()
	c := &differs[T]{v, mem.ToBits(old)}
	for {
		n := v.Load()
		if mem.ToBits(n) != c.old {
			return n, nil
		}
		err := v.watch.wait(ctx, c)
		if err == nil && mem.ToBits(v.Load()) == c.old {
			err = ctx.Err() // it changes back again and again
		}
		if err != nil {
			return v.Load(), wrap("wait for", v.spot.Name(), err)
		}
	}
}

// differs is the condition of who waits for a value to be another.
type differs[T Number] struct {
	v   *Value[T]
	old uint64
}

// Ready implements wait.Cond.
func (d *differs[T]) Ready() bool {
	return mem.ToBits(d.v.Load()) != d.old || !d.v.spot.Seg.Usable()
}

// String names the value and says what it is.
func (v *Value[T]) String() string {
	return fmt.Sprintf("value.Value[%v](%s, %v)", reflect.TypeFor[T](), v.spot.Name(), v.Load())
}

// Segment returns the segment in which the value lies.
func (v *Value[T]) Segment() *shm.Segment { return v.spot.Seg }

// Close gives up this handle. Waiting calls return [ErrClosed]. Closing a handle
// that came from [At] does nothing.
func (v *Value[T]) Close() error { return v.spot.Close() }

// Handover implements shm.Handle: the child gets a handle of its own, with
// [Inherited].
func (v *Value[T]) Handover() (shm.Handover, error) { return v.spot.Handover() }

// Inherit implements shm.Inheritor, for package shm/proc.
func (*Value[T]) Inherit(name string) (any, error) { return Inherited[T](name, nil) }
