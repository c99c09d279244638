//go:build linux

package value_test

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/sluice-ipc/sluice/internal/mem"
	"github.com/sluice-ipc/sluice/internal/shmtest"
	"github.com/sluice-ipc/sluice/shm"
	"github.com/sluice-ipc/sluice/shm/lock"
	"github.com/sluice-ipc/sluice/value"
)

// rawSegment returns a segment of the test's own to place objects in.
func rawSegment(t testing.TB, size int64) *shm.Segment {
	t.Helper()
	s := must(shm.Anonymous("raw", &shm.Options{Size: size}))
	t.Cleanup(func() { s.Close() })
	return s
}

func TestNames(t *testing.T) {
	shmtest.NoLeaks(t)
	name := fresh(t)
	if _, err := value.Open[int32](name, nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Open of nothing = %v", err)
	}
	v := must(value.Create[int32](name, 5, nil))
	if _, err := value.Create[int32](name, 5, nil); !errors.Is(err, fs.ErrExist) {
		t.Errorf("Create of what there is = %v", err)
	}
	w := must(value.OpenOrCreate[int32](name, 9, nil))
	if w.Load() != 5 || !v.Segment().Created() || w.Segment().Created() {
		t.Errorf("attached to %v", w)
	}
	x := must(value.Open[int32](name, nil))
	if x.Add(1) != 6 || v.Load() != 6 {
		t.Error("not the same number")
	}
	for _, h := range []*value.Value[int32]{v, w, x, x} {
		check(h.Close())
	}
	check(shm.Remove(name))
	a := must(value.OpenOrCreateArray[int32](name, 3, nil))
	b := must(value.OpenArray[int32](name, nil))
	c := must(value.OpenOrCreateArray[int32](name, 3, nil))
	if a.Set(2, 4); b.At(2) != 4 || c.AddAt(2, 1) != 5 || b.Len() != 3 {
		t.Error("not the same array")
	}
	for _, h := range []*value.Array[int32]{a, b, c} {
		check(h.Close())
	}
}

// Who takes an object for another is told what it is, and what was asked for.
func TestOpeningAsSomethingElse(t *testing.T) {
	name := fresh(t)
	v := must(value.Create[int32](name, 5, nil))
	row := fresh(t)
	a := must(value.CreateArray[int32](row, 10, nil))
	defer v.Close()
	defer a.Close()
	s := rawSegment(t, 4096)
	must(value.At[int32](s, 0, nil))
	must(value.ArrayAt[int32](s, 128, 10, nil))
	must(lock.At[lock.Mutex](s, 1024, nil))
	type Kelvin float32
	for what, tt := range map[string]struct {
		err  error
		want []string
	}{
		"another number":       {second(value.Open[int64](name, nil)), []string{"Value[int32]", "Value[int64]"}},
		"unsigned":             {second(value.Open[uint32](name, nil)), []string{"Value[int32]", "Value[uint32]"}},
		"float":                {second(value.Open[Kelvin](name, nil)), []string{"Value[int32]", "Value[value_test.Kelvin]"}},
		"value as an array":    {second(value.OpenArray[int32](name, nil)), []string{"Value[int32]", "Array[int32]"}},
		"array as a value":     {second(value.Open[int32](row, nil)), []string{"Array[int32]", "Value[int32]"}},
		"array of another":     {second(value.OpenArray[float64](row, nil)), []string{"Array[int32]", "Array[float64]"}},
		"another length":       {second(value.OpenOrCreateArray[int32](row, 11, nil)), []string{"length of the array", "10", "11"}},
		"placed number":        {second(value.At[int64](s, 0, nil)), []string{"memfd:raw", "Value[int32]", "Value[int64]"}},
		"placed array":         {second(value.At[int32](s, 128, nil)), []string{"memfd:raw+128", "Array[int32]", "Value[int32]"}},
		"placed length":        {second(value.ArrayAt[int32](s, 128, 11, nil)), []string{"memfd:raw+128", "length of the array", "10", "11"}},
		"a lock":               {second(value.At[int32](s, 1024, nil)), []string{"something else", "Value[int32]"}},
		"a lock for a value":   {second(lock.At[lock.Mutex](s, 0, nil)), []string{"kind of lock"}},
		"behind the end":       {second(value.At[int32](s, 4096, nil)), []string{"size of the data area"}},
		"across the end":       {second(value.ArrayAt[int64](s, 4096-256, 1, nil)), []string{"size of the data area"}},
		"crooked":              {second(value.At[int32](s, 64, nil)), []string{"a multiple of 128"}},
		"before the beginning": {second(value.At[int32](s, -128, nil)), []string{"offset"}},
	} {
		var f *shm.FormatError
		if !errors.As(tt.err, &f) {
			t.Errorf("%s: %v", what, tt.err)
			continue
		}
		for _, s := range tt.want {
			if !strings.Contains(tt.err.Error(), s) {
				t.Errorf("%s: %q does not say %q", what, tt.err, s)
			}
		}
	}
	// int is int64, and a name is but a name.
	i := must(value.Anonymous[int64]("i", 1, nil))
	defer i.Close()
	f := must(i.Segment().File())
	defer f.Close()
	must(value.FromFile[int](f, nil)).Close()
	if _, err := value.FromFile[uint](f, nil); err == nil {
		t.Error("an int64 is an uint")
	}
}

// A lock that some use and others do not guards nothing, so all must agree.
func TestOpeningWithAnotherLock(t *testing.T) {
	m := must(lock.Anonymous[lock.Mutex]("m", nil))
	defer m.Close()
	n := must(lock.Anonymous[lock.Mutex]("n", nil))
	defer n.Close()
	shared := must(value.CreateArray[int32](fresh(t), 1, &value.Options{Lock: m}))
	defer shared.Close()
	own := must(value.CreateArray[int32](fresh(t), 1, nil))
	defer own.Close()
	f := must(m.Segment().File())
	again := must(lock.FromFile[lock.Mutex](f, nil))
	check(f.Close())
	defer again.Close()
	for what, tt := range map[string]struct {
		err  error
		want string
	}{
		"without":        {second(value.OpenArray[int32](shared.Segment().Name(), nil)), "got one shared"},
		"another":        {second(value.OpenArray[int32](shared.Segment().Name(), &value.Options{Lock: n})), "number"},
		"with":           {second(value.OpenArray[int32](own.Segment().Name(), &value.Options{Lock: m})), "got one of its own"},
		"another handle": {second(value.OpenArray[int32](shared.Segment().Name(), &value.Options{Lock: again})), ""},
	} {
		switch {
		case tt.want == "" && tt.err != nil:
			t.Errorf("%s: %v", what, tt.err)
		case tt.want != "" && (tt.err == nil || !strings.Contains(tt.err.Error(), "lock")):
			t.Errorf("%s: %v", what, tt.err)
		}
	}
}

// Several objects lie next to each other, and do not disturb each other.
func TestPlaced(t *testing.T) {
	s := rawSegment(t, 4096)
	m := must(lock.At[lock.Mutex](s, 0, nil))
	v := must(value.At[uint64](s, 128, nil))
	a := must(value.ArrayAt[uint8](s, 256, 128, &value.Options{Lock: m}))
	w := must(value.At[uint64](s, 256+must(value.ArraySize[uint8](128)), nil))
	v.Store(math.MaxUint64)
	w.Store(math.MaxUint64)
	check(m.Lock(bg))
	check(a.Apply(func(b []uint8) error {
		for i := range b {
			b[i] = 0xff
		}
		return nil
	}))
	if !m.Held() || v.Load() != math.MaxUint64 || w.Load() != math.MaxUint64 {
		t.Error("an object disturbed another")
	}
	check(m.Unlock())
	f := must(s.File())
	other := must(shm.FromFile(f, nil))
	defer other.Close()
	check(f.Close())
	if must(value.At[uint64](other, 128, nil)).Add(2) != 1 || v.Load() != 1 || w.Load() != math.MaxUint64 {
		t.Error("a second handle is of another value")
	}
	if check(v.Close()); v.Add(1) != 2 || s.Retain() != nil {
		t.Error("closing what was placed did something")
	}
	s.Release()
	check(s.Close())
	if _, err := v.Wait(bg, 2); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Wait in a closed segment = %v", err)
	}
	if _, err := value.At[uint64](s, 128, nil); !errors.Is(err, value.ErrClosed) {
		t.Errorf("At in a closed segment = %v", err)
	}
	if v.Load() != 2 || a.At(127) != 0xff {
		t.Error("after Close the numbers are others")
	}
}

// Whoever wrote the memory of a segment, a length that it cannot have is refused,
// and one that it had when it was opened is not read again.
func TestLengthsAreNotBelieved(t *testing.T) {
	for what, word := range map[string]uint64{
		"none": 0, "one too many": 482, "a few": 1 << 32, "many": 1 << 63, "all": math.MaxUint64,
		"in bytes, more than there is": 1 << 61,
	} {
		name := fresh(t)
		a := must(value.CreateArray[int64](name, 480, nil)) // 256 + 480*8 = 4096
		mem.Uint64(a.Segment().Data(), 8).Store(word)
		_, err := value.OpenArray[int64](name, nil)
		var f *shm.FormatError
		if !errors.As(err, &f) || f.Field != "length of the array" {
			t.Errorf("%s: %v", what, err)
		}
		if a.Len() != 480 {
			t.Errorf("%s: the array became %d long", what, a.Len())
		}
		check(a.CopyIn(bg, 479, []int64{1}))
		panics(t, "[480] with length 480", func() { a.At(480) })
		check(a.Close())
	}
	// A length that fits is believed, and what is outside cannot be reached.
	name := fresh(t)
	a := must(value.CreateArray[int64](name, 480, nil))
	defer a.Close()
	mem.Uint64(a.Segment().Data(), 8).Store(4)
	b := must(value.OpenArray[int64](name, nil))
	defer b.Close()
	panics(t, "[3] with length 3", func() { b.At(3) })
}

// A segment that is too small for what its header says it holds is refused.
func TestSegmentsThatAreTooSmall(t *testing.T) {
	name := fresh(t)
	fingerprint, elem := identity(t)
	for _, size := range []int64{1, 100, 255} {
		s := must(shm.Create(name, &shm.Options{
			Kind: shm.KindValue, Version: 1, Fingerprint: fingerprint, ElemType: elem, Size: size,
			Attach: func(*shm.Segment) (shm.Repairer, error) { return nothing{}, nil },
		}))
		var f *shm.FormatError
		if _, err := value.OpenArray[int64](name, nil); !errors.As(err, &f) || f.Field != "size of the data area" {
			t.Errorf("an array in %d bytes: %v", size, err)
		}
		check(s.Close())
		check(shm.Remove(name))
	}
}

type nothing struct{}

func (nothing) Repair(shm.ID) bool { return true }

// identity returns what the header of an array's segment says of its type.
func identity(t *testing.T) (fingerprint uint64, elem string) {
	t.Helper()
	b := must(value.AnonymousArray[int64]("like", 0, nil))
	defer b.Close()
	f := must(b.Segment().File())
	defer f.Close()
	var head [0xc0]byte
	must(f.ReadAt(head[:], 0))
	name, _, _ := strings.Cut(string(head[0x80:]), "\x00")
	return binary.NativeEndian.Uint64(head[0x28:]), name
}
