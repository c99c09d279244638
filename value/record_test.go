package value_test

import (
	"context"
	"errors"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/sluice-ipc/sluice/shm"
	"github.com/sluice-ipc/sluice/shm/lock"
	"github.com/sluice-ipc/sluice/value"
)

// A trio is a value that says which one it is in each word.
type trio struct {
	A, B, C uint64
	Odd     bool
}

func trioOf(n uint64) trio { return trio{n, 3 * n, ^n, n%2 == 1} }

// num returns which one v is, which has to be whole.
func (v trio) num(t testing.TB) uint64 {
	t.Helper()
	if v != trioOf(v.A) {
		t.Fatalf("torn: %v", v)
	}
	return v.A
}

// newRecord makes a record without a name.
func newRecord[T any](t testing.TB, v T) *value.Record[T] {
	t.Helper()
	r, err := value.AnonymousRecord("test", v, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

func TestRecordOfWhatCannotBeShared(t *testing.T) {
	type Config struct {
		Port int32
		Name string
	}
	type Node struct{ Next [2]struct{ P *int } }
	for _, tt := range []struct {
		err  error
		want string
	}{
		{errOf(value.AnonymousRecord("x", Config{}, nil)), "value: Config.Name is a string and cannot be shared"},
		{errOf(value.CreateRecord("x", Config{}, nil)), "value: Config.Name is a string and cannot be shared"},
		{errOf(value.OpenRecord[Config]("x", nil)), "value: Config.Name is a string and cannot be shared"},
		{errOf(value.RecordSize[Config]()), "value: Config.Name is a string and cannot be shared"},
		{errOf(value.AnonymousBlackboard("x", Config{}, nil)), "value: Config.Name is a string and cannot be shared"},
		{errOf(value.BlackboardSize[Config]()), "value: Config.Name is a string and cannot be shared"},
		{errOf(value.AnonymousRecord("x", Node{}, nil)), "value: Node.Next[…].P is a ptr and cannot be shared"},
		{errOf(value.AnonymousRecord("x", map[int]int{}, nil)), "value: map[int]int is a map and cannot be shared"},
		{errOf(value.AnonymousRecord("x", uintptr(0), nil)), "value: uintptr is a uintptr and cannot be shared"},
	} {
		if tt.err == nil || tt.err.Error() != tt.want {
			t.Errorf("%v, want %q", tt.err, tt.want)
		}
	}
}

func errOf[T any](_ T, err error) error { return err }

func TestRecordChanges(t *testing.T) {
	r := newRecord(t, trioOf(1))
	if v, k := r.LoadVersion(); v != trioOf(1) || k != 0 {
		t.Fatalf("a new one is %v, version %d", v, k)
	}
	check(r.Store(bg, trioOf(2)))
	if v := r.Load(); v != trioOf(2) || r.Version() != 1 {
		t.Fatalf("stored: %v, version %d", v, r.Version())
	}
	if v, err := r.Update(bg, func(v trio) trio { return trioOf(v.A + 1) }); v != trioOf(3) || err != nil {
		t.Fatalf("Update = %v, %v", v, err)
	}
	if err := r.With(bg, func(v *trio) error { *v = trioOf(v.A + 1); return nil }); err != nil || r.Load() != trioOf(4) {
		t.Fatalf("With = %v: %v", err, r.Load())
	}
	if r.Version() != 3 {
		t.Errorf("version %d after three changes", r.Version())
	}
	if s := r.String(); !strings.Contains(s, "trio") || !strings.Contains(s, "version 3") {
		t.Errorf("String() = %q", s)
	}
}

// f has a copy: what it does to it is seen when it has returned nil, and not later.
func TestWithHasACopy(t *testing.T) {
	r := newRecord(t, trioOf(1))
	var kept *trio
	check(r.With(bg, func(v *trio) error {
		kept = v
		*v = trioOf(2)
		if r.Load() != trioOf(1) {
			t.Error("a change is seen before it is made")
		}
		return nil
	}))
	*kept = trioOf(3)
	if r.Load() != trioOf(2) {
		t.Errorf("the value is %v", r.Load())
	}
	mine := errors.New("mine")
	if err := r.With(bg, func(v *trio) error { *v = trioOf(4); return mine }); err != mine {
		t.Errorf("With = %v, want what f returned", err)
	}
	// An error of f's own is not taken for one of the lock.
	if err := r.With(bg, func(v *trio) error { return lock.ErrOwnerDied }); err != lock.ErrOwnerDied {
		t.Errorf("With = %v, want what f returned", err)
	}
	if v, k := r.LoadVersion(); v != trioOf(2) || k != 1 {
		t.Errorf("after errors: %v, version %d", v, k)
	}
}

func TestPanicChangesNothing(t *testing.T) {
	m, err := lock.Anonymous[lock.Mutex]("test", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	shared := must(value.AnonymousRecord("shared", trioOf(1), &value.Options{Lock: m}))
	defer shared.Close()
	for name, r := range map[string]*value.Record[trio]{"own": newRecord(t, trioOf(1)), "shared": shared} {
		for call, f := range map[string]func(){
			"Update": func() { r.Update(bg, func(trio) trio { panic("mine") }) },
			"With":   func() { r.With(bg, func(v *trio) error { *v = trioOf(2); panic("mine") }) },
			"Apply": func() {
				check(r.Mutex().Lock(bg))
				defer r.Mutex().Unlock()
				r.Apply(func(v *trio) error { *v = trioOf(2); panic("mine") })
			},
		} {
			t.Run(name+"/"+call, func(t *testing.T) {
				func() {
					defer func() {
						if p := recover(); p != "mine" {
							t.Errorf("it panics with %v", p)
						}
					}()
					f()
				}()
				if v, k := r.LoadVersion(); v != trioOf(1) || k != 0 {
					t.Errorf("after a panic: %v, version %d", v, k)
				}
				if r.Mutex().Held() {
					t.Error("still locked")
				}
			})
		}
		check(r.Store(bg, trioOf(1)))
	}
}

func TestRecordOfOddSizes(t *testing.T) {
	odd(t, [0]int64{}, [0]int64{})
	odd(t, struct{}{}, struct{}{})
	odd(t, true, false)
	odd(t, int8(-1), int8(7))
	odd(t, [3]byte{1, 2, 3}, [3]byte{4, 5, 6})
	odd(t, [9]byte{1, 2, 3, 8: 9}, [9]byte{4, 5, 6, 8: 7})
	odd(t, [127]byte{1, 126: 3}, [127]byte{4, 126: 5})
	odd(t, [129]byte{1, 128: 3}, [129]byte{4, 128: 5})
	odd(t, complex(1, 2), complex(3, 4))
	odd(t, struct {
		A int8
		B float64
		C [3]struct{ X, Y int16 }
		D bool
	}{B: 3, D: true}, struct {
		A int8
		B float64
		C [3]struct{ X, Y int16 }
		D bool
	}{A: 7})
}

func odd[T comparable](t *testing.T, a, b T) {
	t.Helper()
	r := newRecord(t, a)
	if r.Load() != a {
		t.Errorf("%T: made with %v, is %v", a, a, r.Load())
	}
	for range 3 {
		check(r.Store(bg, b))
		if r.Load() != b {
			t.Errorf("%T: %v, want %v", a, r.Load(), b)
		}
		check(r.Store(bg, a))
		if r.Load() != a {
			t.Errorf("%T: %v, want %v", a, r.Load(), a)
		}
	}
	bb := must(value.AnonymousBlackboard("test", a, nil))
	defer bb.Close()
	w := must(bb.Claim())
	defer w.Close()
	for i := range 9 {
		if v, k := bb.Load(); v != a && i == 0 || v != b && i > 0 || k != uint64(i) {
			t.Errorf("%T: %v, version %d", a, v, k)
		}
		check(w.Publish(b))
	}
}

// A value of 8 MiB is no special case.
func TestLargeRecord(t *testing.T) {
	type large [1 << 20]uint64
	r := newRecord(t, large{1: 7})
	check(r.With(bg, func(v *large) error { v[1<<20-1] = v[1] + 1; return nil }))
	v := r.Load()
	if v[1] != 7 || v[1<<20-1] != 8 {
		t.Errorf("%d, %d", v[1], v[1<<20-1])
	}
}

func TestRecordAllocatesNothing(t *testing.T) {
	r := newRecord(t, trioOf(1))
	bb := must(value.AnonymousBlackboard("test", trioOf(1), nil))
	defer bb.Close()
	w := must(bb.Claim())
	defer w.Close()
	next := func(v trio) trio { return trioOf(v.A + 1) }
	for name, f := range map[string]func(){
		"Load":    func() { r.Load() },
		"Store":   func() { r.Store(bg, trioOf(2)) },
		"Update":  func() { r.Update(bg, next) },
		"Publish": func() { w.Publish(trioOf(3)) },
		"look":    func() { bb.Load() },
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func TestRecordsBesideOtherObjects(t *testing.T) {
	size := must(value.RecordSize[trio]())
	board := must(value.BlackboardSize[trio]())
	if size%128 != 0 || board%128 != 0 || size < 2*32 {
		t.Fatalf("sizes %d, %d", size, board)
	}
	s := must(shm.Anonymous("test", &shm.Options{Size: 128 + 3*size + board + 128}))
	defer s.Close()
	m := must(lock.At[lock.Mutex](s, 0, nil))
	var rs []*value.Record[trio]
	for i := range 3 {
		o := &value.Options{Lock: m}
		if i == 2 {
			o = nil
		}
		rs = append(rs, must(value.RecordAt[trio](s, 128+int64(i)*size, o)))
	}
	bb := must(value.BlackboardAt[trio](s, 128+3*size, nil))
	if (rs[0].Load() != trio{}) {
		t.Error("a new one at a place is not zero")
	}
	check(m.Lock(bg))
	for i, r := range rs[:2] {
		check(r.Apply(func(v *trio) error { *v = trioOf(uint64(i + 10)); return nil }))
	}
	if err := rs[2].Apply(func(*trio) error { return nil }); !errors.Is(err, lock.ErrNotLocked) {
		t.Errorf("Apply under another lock = %v", err)
	}
	check(rs[2].Store(bg, trioOf(12)))
	check(m.Unlock())
	if err := rs[0].Apply(func(*trio) error { return nil }); !errors.Is(err, lock.ErrNotLocked) {
		t.Errorf("Apply without the lock = %v", err)
	}
	w := must(bb.Claim())
	check(w.Publish(trioOf(13)))
	check(w.Close())
	for i, r := range rs {
		if r.Load() != trioOf(uint64(10+i)) {
			t.Errorf("record %d is %v", i, r.Load())
		}
		check(r.Close()) // does nothing
		check(r.Store(bg, trioOf(uint64(10+i))))
	}
	if v, _ := bb.Load(); v != trioOf(13) {
		t.Errorf("the blackboard is %v", v)
	}
	if b := s.Data()[128+3*size+board:]; string(b) != string(make([]byte, len(b))) {
		t.Error("something was written behind the last one")
	}
	same := must(value.RecordAt[trio](s, 128, &value.Options{Lock: m}))
	if same.Load() != trioOf(10) {
		t.Errorf("another handle on record 0 sees %v", same.Load())
	}
}

// What lies there must be of that kind, type and lock.
func TestRecordIsRefused(t *testing.T) {
	type other struct {
		A, B uint64
		C    [8]byte
		Odd  bool
	}
	s := must(shm.Anonymous("test", &shm.Options{Size: 8192}))
	defer s.Close()
	m := must(lock.Anonymous[lock.Mutex]("test", nil))
	defer m.Close()
	must(value.RecordAt[trio](s, 0, nil))
	must(value.RecordAt[trio](s, 1024, &value.Options{Lock: m}))
	must(value.BlackboardAt[trio](s, 2048, nil))
	name := fresh(t)
	r := must(value.CreateRecord(name, trioOf(1), nil))
	defer r.Close()
	for what, err := range map[string]error{
		"another type":           errOf(value.RecordAt[other](s, 0, nil)),
		"another type's segment": errOf(value.OpenRecord[other](name, nil)),
		"another kind":           errOf(value.BlackboardAt[trio](s, 0, nil)),
		"another kind's segment": errOf(value.OpenBlackboard[trio](name, nil)),
		"a blackboard":           errOf(value.RecordAt[trio](s, 2048, nil)),
		"a lock where it has":    errOf(value.RecordAt[trio](s, 0, &value.Options{Lock: m})),
		"no lock where it has":   errOf(value.RecordAt[trio](s, 1024, nil)),
		"an odd place":           errOf(value.RecordAt[trio](s, 64, nil)),
		"behind the end":         errOf(value.RecordAt[trio](s, 8192, nil)),
		"across the end":         errOf(value.RecordAt[trio](s, 8192-128, nil)),
		"before the begin":       errOf(value.RecordAt[trio](s, -128, nil)),
	} {
		var fe *shm.FormatError
		if !errors.As(err, &fe) {
			t.Errorf("%s: %v, want a FormatError", what, err)
		} else {
			t.Logf("%s: %v", what, err)
		}
	}
	// The same layout under another name is the same type.
	type alike struct {
		X, Y, Z uint64
		W       bool
	}
	if v := must(value.RecordAt[alike](s, 0, nil)).Load(); v != (alike{}) {
		t.Errorf("%v", v)
	}
}

func TestClosedRecord(t *testing.T) {
	r := newRecord(t, trioOf(1))
	check(r.Close())
	check(r.Close())
	for name, err := range map[string]error{
		"Store":  r.Store(bg, trioOf(2)),
		"Update": errOf(r.Update(bg, func(v trio) trio { return v })),
		"With":   r.With(bg, func(*trio) error { return nil }),
		"Apply":  r.Apply(func(*trio) error { return nil }),
		"Wait":   errOf(r.Wait(bg, 0)),
	} {
		if !errors.Is(err, value.ErrClosed) || !errors.Is(err, os.ErrClosed) {
			t.Errorf("%s of a closed record = %v", name, err)
		}
	}
	if r.Load() != trioOf(1) || r.Version() != 0 {
		t.Errorf("Load of a closed record = %v", r.Load())
	}
}

// A call that is in progress when the handle is closed finishes.
func TestRecordIsClosedInTheMiddle(t *testing.T) {
	r := newRecord(t, trioOf(1))
	v, err := r.Update(bg, func(v trio) trio {
		check(r.Close())
		return trioOf(2)
	})
	if err != nil || v != trioOf(2) || r.Load() != trioOf(2) {
		t.Errorf("Update = %v, %v; the value is %v", v, err, r.Load())
	}
}

func TestDoneContext(t *testing.T) {
	r := newRecord(t, trioOf(0))
	ctx, cancel := context.WithCancel(bg)
	cancel()
	if err := r.Store(ctx, trioOf(1)); err != nil {
		t.Errorf("Store = %v, want one attempt", err)
	}
	check(r.Mutex().Lock(bg))
	if err := r.Store(ctx, trioOf(2)); !errors.Is(err, context.Canceled) {
		t.Errorf("Store under a lock = %v", err)
	}
	if _, err := r.Update(ctx, func(trio) trio { return trioOf(2) }); !errors.Is(err, context.Canceled) {
		t.Errorf("Update under a lock = %v", err)
	}
	check(r.Mutex().Unlock())
	if k, err := r.Wait(ctx, 0); k != 1 || err != nil {
		t.Errorf("Wait for what has come = %d, %v", k, err)
	}
	if k, err := r.Wait(ctx, 1); k != 1 || !errors.Is(err, context.Canceled) {
		t.Errorf("Wait = %d, %v", k, err)
	}
	if r.Load() != trioOf(1) {
		t.Errorf("the value is %v", r.Load())
	}
}

func BenchmarkRecord(b *testing.B) {
	benchRecord[[64]byte](b, "64B")
	benchRecord[[256]byte](b, "256B")
	benchRecord[[4096]byte](b, "4KiB")
}

func benchRecord[T any](b *testing.B, name string) {
	var v T
	r := newRecord(b, v)
	b.Run("Load/"+name, func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			r.Load()
		}
	})
	b.Run("Update/"+name, func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			r.Update(bg, func(v T) T { return v })
		}
	})
	b.Run("Publish/"+name, func(b *testing.B) {
		bb := must(value.AnonymousBlackboard("bench", v, nil))
		defer bb.Close()
		w := must(bb.Claim())
		defer w.Close()
		b.ReportAllocs()
		for b.Loop() {
			w.Publish(v)
		}
	})
}

// The race detector knows what a version, a lock and a claim order.
func TestRecordsOrderOtherMemory(t *testing.T) {
	r := newRecord(t, trioOf(0))
	b := must(value.AnonymousBlackboard("test", trioOf(0), nil))
	defer b.Close()
	var heap [4]int
	done := make(chan int)
	go func() {
		must(r.Wait(bg, 0))
		sum := heap[0]
		for v, _ := b.Load(); v.A == 0; v, _ = b.Load() {
			runtime.Gosched()
		}
		sum += heap[1]
		for {
			w, err := b.Claim()
			if err == nil {
				check(w.Close())
				break
			}
			runtime.Gosched()
		}
		done <- sum + heap[2]
	}()
	w := must(b.Claim())
	heap[0] = 1
	check(r.Store(bg, trioOf(1)))
	heap[1] = 2
	check(w.Publish(trioOf(1)))
	heap[2] = 4
	check(w.Close())
	if sum := <-done; sum != 7 {
		t.Errorf("%d", sum)
	}
}
