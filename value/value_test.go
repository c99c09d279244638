//go:build linux

package value_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/sluice-ipc/sluice/internal/shmtest"
	"github.com/sluice-ipc/sluice/value"
)

type celsius float32

// Each type of number goes through shared memory as it is, alone and as an
// element of an array.
func TestEachNumber(t *testing.T) {
	shmtest.NoLeaks(t)
	integers[int8](t, math.MinInt8, math.MaxInt8)
	integers[int16](t, math.MinInt16, math.MaxInt16)
	integers[int32](t, math.MinInt32, math.MaxInt32)
	integers[int64](t, math.MinInt64, math.MaxInt64)
	integers(t, math.MinInt, math.MaxInt)
	integers[uint8](t, 0, math.MaxUint8)
	integers[uint16](t, 0, math.MaxUint16)
	integers[uint32](t, 0, math.MaxUint32)
	integers[uint64](t, 0, math.MaxUint64)
	integers[uint](t, 0, math.MaxUint)
	integers[rune](t, math.MinInt32, math.MaxInt32)
	floats[float32](t)
	floats[float64](t)
	floats[celsius](t)
}

// pairOf returns two handles on one value, of different participants.
func pairOf[T value.Number](t testing.TB, init T) (v, w *value.Value[T]) {
	t.Helper()
	v = must(value.Anonymous("number", init, nil))
	f := must(v.Segment().File())
	defer f.Close()
	w = must(value.FromFile[T](f, nil))
	t.Cleanup(func() {
		check(v.Close())
		check(w.Close())
	})
	return v, w
}

// same fails the test unless got is want, bit by bit but for NaNs.
func same[T comparable](t testing.TB, what string, got, want T) {
	t.Helper()
	if got != want && (got == got || want == want) {
		t.Errorf("%s = %v, want %v", what, got, want)
	}
}

func integers[T value.Integer](t *testing.T, least, most T) {
	t.Run(fmt.Sprintf("%T", least), func(t *testing.T) {
		basics(t, []T{least, most, 0, 1, 7, most / 3})
		v, w := pairOf(t, most)
		same(t, "most", w.Load(), most)
		same(t, "most + 1", w.Add(1), least)
		same(t, "wrapped", v.Load(), least)
		if !w.CompareAndSwap(least, 5) { // whatever was carried beyond the number
			t.Error("what wrapped around is not equal to what it is")
		}
		v.Store(least)
		same(t, "least - 1", w.Add(^T(0)), most) // ^0 is -1
		same(t, "wrapped down", v.Load(), most)
		v.Store(0b0101)
		same(t, "or", value.Or(w, 0b0011), 0b0101)
		same(t, "and", value.And(w, 0b0110), 0b0111)
		same(t, "and", v.Load(), 0b0110)
		same(t, "and ^0", value.And(v, ^T(0)), 0b0110)
		v.Store(most)
		value.Or(v, ^T(0))
		if !w.CompareAndSwap(^T(0), 1) {
			t.Error("all bits set are not all bits set")
		}
	})
}

func floats[T value.Float](t *testing.T) {
	t.Run(fmt.Sprintf("%T", T(0)), func(t *testing.T) {
		inf, huge := T(math.Inf(1)), 1e300 // which is infinite as a float32
		basics(t, []T{0, 1, -1.5, 0.1, inf, -inf, T(huge), math.SmallestNonzeroFloat32})
		v, w := pairOf(t, T(0.5))
		same(t, "sum", w.Add(0.25), 0.75)
		same(t, "sum", v.Load(), 0.75)
		v.Store(T(math.NaN()))
		same(t, "NaN", w.Load(), T(math.NaN()))
		if w.CompareAndSwap(1, 2) || !w.CompareAndSwap(T(math.NaN()), 2) {
			t.Error("a NaN is not what it is, or is something else")
		}
		v.Store(0)
		if w.CompareAndSwap(T(math.Copysign(0, -1)), 1) {
			t.Error("0 is -0")
		}
		if math.Signbit(float64(v.Swap(T(math.Copysign(0, -1))))) || !math.Signbit(float64(w.Load())) {
			t.Error("the sign of zero is lost")
		}
		same(t, "NaN", w.Add(T(math.NaN())), T(math.NaN()))
		same(t, "NaN + 1", v.Add(1), T(math.NaN()))
	})
}

// basics does with a value, and with an array around it, what works for all
// numbers.
func basics[T value.Number](t *testing.T, samples []T) {
	v, w := pairOf(t, samples[1])
	same(t, "initial", w.Load(), samples[1])
	a, b := arrays(t, samples)
	for i, n := range samples {
		v.Store(n)
		same(t, "stored", w.Load(), n)
		other := samples[(i+1)%len(samples)]
		same(t, "swap", w.Swap(other), n)
		if v.CompareAndSwap(n, 0) != (n == other) {
			t.Errorf("%v was taken for %v", other, n)
		}
		if !v.CompareAndSwap(other, n) || w.Load() != n {
			t.Errorf("%v was not swapped for %v", other, n)
		}
		same(t, "update", v.Update(func(T) T { return other }), other)
		same(t, "updated", w.Load(), other)
		same(t, "element", b.At(i), n)
		same(t, "element swapped", b.SwapAt(i, other), n)
		if a.CompareAndSwapAt(i, other, n) != true || b.CompareAndSwapAt(i, 3, 4) {
			t.Errorf("element %d is not %v", i, n)
		}
		same(t, "element updated", a.UpdateAt(i, func(T) T { return 2 }), 2)
		same(t, "element and sum", b.AddAt(i, 3), 5)
		b.Set(i, n)
		for j, m := range samples {
			same(t, fmt.Sprintf("element %d beside %d", j, i), a.At(j), m)
		}
	}
	if zero := must(value.Anonymous[T]("zero", 0, nil)); zero.Load() != 0 {
		t.Error("not zero")
	} else {
		check(zero.Close())
	}
}

// An update is made to the number that there is, whoever changed it meanwhile.
func TestUpdatesLoseNothing(t *testing.T) {
	v, w := pairOf(t, 1)
	a, b := arrays(t, []byte{1, 2, 3, 4})
	x, y := arrays(t, []float64{1, 2})
	calls := 0
	first := func(f func()) {
		if calls++; calls%2 == 1 {
			f()
		}
	}
	n := v.Update(func(n int) int { first(func() { w.Add(10) }); return n + 100 })
	c := a.UpdateAt(1, func(n byte) byte {
		first(func() { b.AddAt(1, 10); b.AddAt(2, 10) })
		return n + 100
	})
	d := x.UpdateAt(1, func(n float64) float64 { first(func() { y.AddAt(1, 10) }); return n + 100 })
	if n != 111 || c != 112 || d != 112 || calls != 6 {
		t.Errorf("%d, %d and %v after %d calls", n, c, d, calls)
	}
	// A byte that another one changes next to is still the same byte.
	e := a.UpdateAt(1, func(n byte) byte { calls++; b.AddAt(2, 10); return n + 1 })
	if got := string(must(value.Bytes(bg, a))); e != 113 || calls != 7 || got != "\x01\x71\x17\x04" {
		t.Errorf("%d after %d calls, %q", e, calls, got)
	}
}

func TestStringsOfObjects(t *testing.T) {
	v := must(value.Anonymous("pi", 3.1415927, nil))
	defer v.Close()
	a := must(value.AnonymousArray[int32]("row", 3, nil))
	defer a.Close()
	for got, want := range map[string]string{
		fmt.Sprint(v): "value.Value[float64](memfd:pi, 3.1415927)",
		fmt.Sprint(a): "value.Array[int32](memfd:row, 3 elements)",
	} {
		if got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	if v.Close() != nil || !strings.Contains(v.String(), "3.1415927") {
		t.Errorf("after Close: %v", v)
	}
}

// Counting up in a value, or in a byte of an array, allocates nothing.
func TestNumbersDoNotAllocate(t *testing.T) {
	v := must(value.Anonymous("n", 0, nil))
	defer v.Close()
	d := must(value.Anonymous("d", 0.5, nil))
	defer d.Close()
	a := must(value.AnonymousArray[byte]("a", 8, nil))
	defer a.Close()
	buf := make([]byte, 8)
	if n := testing.AllocsPerRun(100, func() {
		v.Add(int(d.Add(1)))
		v.Store(v.Load())
		v.CompareAndSwap(v.Swap(3), 4)
		v.Update(func(n int) int { return n + 1 })
		a.AddAt(3, a.At(4))
		a.Set(5, 6)
		check(a.CopyIn(bg, 0, buf))
		check(a.CopyOut(bg, 0, buf))
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
