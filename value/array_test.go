//go:build linux

package value_test

import (
	"context"
	"errors"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-ipc/sluice/shm/lock"
	"github.com/sluice-ipc/sluice/value"
)

// arrays returns two handles on one array that is a copy of from, of different
// participants.
func arrays[T value.Number](t testing.TB, from []T) (a, b *value.Array[T]) {
	t.Helper()
	a = must(value.AnonymousArrayFrom("row", from, nil))
	f := must(a.Segment().File())
	defer f.Close()
	b = must(value.ArrayFromFile[T](f, nil))
	t.Cleanup(func() {
		check(a.Close())
		check(b.Close())
	})
	return a, b
}

func TestArrayBegins(t *testing.T) {
	name := fresh(t)
	a := must(value.CreateArray[int32](name, 1000, nil))
	if a.Len() != 1000 || slices.ContainsFunc(slices.Collect(a.Values()), func(n int32) bool { return n != 0 }) {
		t.Error("a new array is not zeroed")
	}
	check(a.CopyIn(bg, 0, slices.Repeat([]int32{-1}, 1000)))
	check(a.Close())
	// Replaced by a new one, of other memory.
	a = must(value.CreateArray[int32](name, 900, nil))
	if got := must(a.Snapshot(bg, 0, 900)); slices.Max(got) != 0 || slices.Min(got) != 0 {
		t.Error("memory came back with what was in it")
	}
	check(a.Close())
	from := []float64{1, 2.5, -3}
	for _, d := range []*value.Array[float64]{
		must(value.CreateArrayFrom(name, from, nil)), must(value.AnonymousArrayFrom("from", from, nil)),
	} {
		from[0] = 1
		if got := must(d.Snapshot(bg, 0, 3)); !slices.Equal(got, from) || d.Len() != 3 {
			t.Errorf("made from %v: %v", from, got)
		}
		from[0] = 9
		if d.At(0) != 1 {
			t.Error("it is not a copy")
		}
		check(d.Close())
	}
}

func TestLengthZero(t *testing.T) {
	for name, a := range map[string]*value.Array[uint16]{
		"length": must(value.AnonymousArray[uint16]("none", 0, nil)),
		"nil":    must(value.AnonymousArrayFrom[uint16]("none", nil, nil)),
	} {
		f := must(a.Segment().File())
		b := must(value.ArrayFromFile[uint16](f, nil))
		check(f.Close())
		got, err := b.Snapshot(bg, 0, 0)
		if b.Len() != 0 || len(got) != 0 || err != nil || a.CopyIn(bg, 0, nil) != nil {
			t.Errorf("%s: %d elements, snapshot %v, %v", name, b.Len(), got, err)
		}
		for range b.All() {
			t.Error("an element")
		}
		v := must(b.View())
		if len(v.Slice()) != 0 {
			t.Error("a view of something")
		}
		v.Release()
		panics(t, "index out of range [0] with length 0", func() { b.At(0) })
		check(a.Close())
		check(b.Close())
	}
}

func TestLengthsThatMakeNoSense(t *testing.T) {
	seg := rawSegment(t, 4096)
	for what, err := range map[string]error{
		"CreateArray":       second(value.CreateArray[int64](fresh(t), -1, nil)),
		"AnonymousArray":    second(value.AnonymousArray[int64]("x", -1, nil)),
		"OpenOrCreateArray": second(value.OpenOrCreateArray[int64](fresh(t), -1, nil)),
		"ArrayAt":           second(value.ArrayAt[int64](seg, 0, -1, nil)),
		"ArraySize":         second(value.ArraySize[int64](-1)),
		"too long":          second(value.ArraySize[int64](1 << 61)),
		"too long at":       second(value.ArrayAt[int64](seg, 0, 1<<61, nil)),
	} {
		var o *value.OptionError
		if !errors.As(err, &o) || !strings.Contains(err.Error(), "length of an array is ") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if n := must(value.ArraySize[int64](0)); n != 256 {
		t.Errorf("an empty array takes %d bytes", n)
	}
	if n := must(value.ArraySize[uint8](129)); n != 512 {
		t.Errorf("129 bytes take %d bytes", n)
	}
}

func second[T any](_ T, err error) error { return err }

// What lies outside the array panics as it does with a slice, element by element;
// many at a time it is an error, and changes nothing.
func TestOutOfRange(t *testing.T) {
	a, b := arrays(t, []int16{1, 2, 3})
	for i, text := range map[int]string{3: "[3] with length 3", -1: "[-1]", 1 << 40: "[1099511627776] with length 3"} {
		for _, f := range []func(){
			func() { a.At(i) }, func() { a.Set(i, 1) }, func() { a.AddAt(i, 1) }, func() { a.SwapAt(i, 1) },
			func() { a.CompareAndSwapAt(i, 1, 2) }, func() { a.UpdateAt(i, func(n int16) int16 { return n }) },
		} {
			panics(t, "index out of range "+text, f)
		}
	}
	for _, r := range []struct{ from, to int }{
		{-1, 0}, {0, 4}, {3, 4}, {2, 1}, {4, 4}, {1 << 62, 1<<62 + 1}, {1 << 62, 1 << 61},
	} {
		_, err := a.Snapshot(bg, r.from, r.to)
		wrongRange(t, err, r.from, r.to)
		if r.to < r.from {
			continue
		}
		n := min(r.to-r.from, 9)
		wrongRange(t, a.CopyIn(bg, r.from, make([]int16, n)), r.from, r.to)
		wrongRange(t, a.CopyOut(bg, r.from, make([]int16, n)), r.from, r.to)
	}
	wrongRange(t, a.CopyIn(bg, 0, []int16{9, 9, 9, 9}), 0, 4)
	if got := must(b.Snapshot(bg, 0, 3)); !slices.Equal(got, []int16{1, 2, 3}) {
		t.Errorf("calls that failed made it %v", got)
	}
}

func wrongRange(t *testing.T, err error, from, to int) {
	t.Helper()
	var r *value.RangeError
	if !errors.As(err, &r) || r.From != from || r.To != to || r.Len != 3 || r.Array != "memfd:row" {
		t.Errorf("[%d:%d]: %v", from, to, err)
	}
}

// panics holds that f panics with an error of the runtime that has that text.
func panics(t testing.TB, text string, f func()) {
	t.Helper()
	defer func() {
		t.Helper()
		p := recover()
		if err, ok := p.(runtime.Error); !ok || !strings.HasSuffix(err.Error(), text) {
			t.Errorf("panic %v, want one of the runtime: %s", p, text)
		}
	}()
	f()
}

func TestCopies(t *testing.T) {
	a, b := arrays(t, []int32{0, 1, 2, 3, 4, 5, 6, 7, 8, 9})
	check(a.CopyIn(bg, 4, []int32{44, 55, 66}))
	out := []int32{-1, -1}
	check(b.CopyOut(bg, 5, out))
	got := must(b.Snapshot(bg, 3, 8))
	if !slices.Equal(got, []int32{3, 44, 55, 66, 7}) || !slices.Equal(out, []int32{55, 66}) {
		t.Errorf("snapshot %v, copy %v", got, out)
	}
	got[0] = 99 // a copy, not the memory
	if b.At(3) != 3 || len(must(b.Snapshot(bg, 10, 10))) != 0 {
		t.Error("a snapshot is the memory, or an empty one is not")
	}
	sum := int32(0)
	for i, n := range b.All() {
		if sum += n; i == 4 {
			break
		}
	}
	for n := range b.Values() {
		if sum += 100 * n; n == 2 {
			break
		}
	}
	if sum != 0+1+2+3+44+300 {
		t.Errorf("the iterators came to %d", sum)
	}
}

func TestWithHoldsTheLock(t *testing.T) {
	a, b := arrays(t, []int64{1, 2, 3})
	done, cancel := context.WithCancel(bg)
	cancel()
	oops := errors.New("oops")
	err := a.With(bg, func(items []int64) error {
		items[1] = 20
		if err := b.CopyIn(done, 0, []int64{7}); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "value: copy into memfd:row") {
			t.Errorf("CopyIn beside With: %v", err)
		}
		if b.At(1) != 20 {
			t.Error("what With changed is not in memory")
		}
		if cap(items) != 3 {
			t.Error("there is more behind the elements")
		}
		return oops
	})
	if err != oops { // as it is: it is the caller's own
		t.Errorf("With = %v", err)
	}
	func() {
		defer func() { recover() }()
		a.With(bg, func([]int64) error { panic("oops") })
	}()
	if err := b.CopyIn(done, 0, []int64{7}); err != nil { // one attempt there is
		t.Errorf("after a panic: %v", err)
	}
	if err := a.With(bg, func([]int64) error { return os.ErrClosed }); err != os.ErrClosed {
		t.Errorf("an error of the caller's became %v", err)
	}
}

// Several arrays that share a lock are changed together; who holds it uses Apply.
func TestSharedLock(t *testing.T) {
	m := must(lock.Anonymous[lock.Mutex]("both", nil))
	defer m.Close()
	o := &value.Options{Lock: m}
	a := must(value.AnonymousArray[int64]("a", 2, o))
	defer a.Close()
	b := must(value.AnonymousArray[int32]("b", 2, o))
	defer b.Close()
	if a.Mutex() != m || b.Mutex() != m {
		t.Error("Mutex is another lock")
	}
	inc := func(items []int64) error { items[0]++; return nil }
	if err := a.Apply(inc); !errors.Is(err, lock.ErrNotLocked) || a.At(0) != 0 {
		t.Errorf("Apply without the lock = %v", err)
	}
	check(m.Lock(bg))
	check(a.Apply(inc))
	check(b.Apply(func(items []int32) error { items[0] = int32(a.At(0)); return nil }))
	done, cancel := context.WithCancel(bg)
	cancel()
	if err := b.CopyIn(done, 0, []int32{5}); !errors.Is(err, context.Canceled) {
		t.Errorf("CopyIn while another object's user holds the lock = %v", err)
	}
	check(m.Unlock())
	if b.At(0) != 1 {
		t.Errorf("b is %d", b.At(0))
	}
	check(a.With(bg, inc))
}

func TestCStrings(t *testing.T) {
	a := must(value.AnonymousArray[byte]("text", 10, nil))
	defer a.Close()
	want := func(s, raw string) {
		t.Helper()
		if got, all := must(value.CString(bg, a)), must(value.Bytes(bg, a)); got != s || string(all) != raw {
			t.Errorf("%q in %q, want %q in %q", got, all, s, raw)
		}
	}
	want("", strings.Repeat("\x00", 10))
	check(value.SetCString(bg, a, "hello"))
	want("hello", "hello\x00\x00\x00\x00\x00")
	check(value.SetCString(bg, a, "hi"))
	want("hi", "hi\x00lo\x00\x00\x00\x00\x00") // the tail stays
	check(value.SetCString(bg, a, "0123456789"))
	want("0123456789", "0123456789") // no room for a NUL
	var r *value.RangeError
	if err := value.SetCString(bg, a, "0123456789x"); !errors.As(err, &r) || r.To != 11 || r.Len != 10 {
		t.Errorf("too long: %v", err)
	}
	want("0123456789", "0123456789")
	check(value.SetCString(bg, a, "a\x00b"))
	want("a", "a\x00b\x00456789")
	check(a.CopyIn(bg, 0, []byte("XY"))) // raw
	want("XYb", "XYb\x00456789")
	check(value.SetCString(bg, a, ""))
	want("", "\x00Yb\x00456789")
	five := must(value.AnonymousArrayFrom("five", []byte("hello"), nil))
	defer five.Close()
	if s := must(value.CString(bg, five)); s != "hello" || five.Len() != 5 {
		t.Errorf("made from bytes: %q, %d long", s, five.Len())
	}
	check(five.Close())
	if s, err := value.CString(bg, five); s != "" || !errors.Is(err, value.ErrClosed) {
		t.Errorf("closed: %q, %v", s, err)
	}
}
