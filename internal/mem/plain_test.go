package mem_test

import (
	"math/bits"
	"strings"
	"testing"
	"testing/quick"

	"github.com/sluice-ipc/sluice/internal/mem"
)

func TestPlainOfNamesTheField(t *testing.T) {
	type inner struct{ Names [2]string }
	type config struct {
		Ok   bool
		Name string
	}
	type worse struct{ I struct{ In inner } }
	type slot struct{ At uintptr }
	type empty struct{ P [0]*int }
	for _, tt := range []struct {
		err  error
		want string
	}{
		{plainErr[config](), "config.Name is a string and cannot be shared"},
		{plainErr[worse](), "worse.I.In.Names[…] is a string"},
		{plainErr[slot](), "slot.At is a uintptr"},
		{plainErr[empty](), "empty.P[…] is a ptr"},
		{plainErr[any](), "is a interface"},
		{plainErr[[]byte](), "is a slice"},
		{plainErr[map[int]int](), "is a map"},
		{plainErr[chan int8](), "is a chan"},
		{plainErr[func()](), "is a func"},
	} {
		if tt.err == nil || !strings.Contains(tt.err.Error(), tt.want) {
			t.Errorf("%v does not say %q", tt.err, tt.want)
		}
	}
	if err := plainErr[config](); err.Error() != "config.Name is a string and cannot be shared" {
		t.Errorf("a type is called otherwise than in its package: %v", err)
	}
	for name, err := range map[string]error{"int": plainErr[[2]int](), "uint": plainErr[uint]()} {
		if refused := err != nil; refused != (bits.UintSize != 64) {
			t.Errorf("%s of %d bits: %v", name, bits.UintSize, err)
		}
	}
}

func plainErr[T any]() error {
	_, err := mem.PlainOf[T]()
	return err
}

func plainOf[T any](t testing.TB) *mem.Plain {
	t.Helper()
	p, err := mem.PlainOf[T]()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

type flags struct {
	On   bool
	N    int64
	Bits [3]bool
	Rows [4]struct {
		F   float32
		Set [2][2]bool
	}
	Last bool
}

func TestPlainDescribes(t *testing.T) {
	p := plainOf[flags](t)
	if want := len(mem.Bytes([]flags{{}})); p.Size != want || !p.HasBool() ||
		!strings.HasSuffix(p.Name, "flags") {
		t.Errorf("%+v, size %d", p, want)
	}
	if p := plainOf[[3]struct{ A, B int16 }](t); p.HasBool() || p.Size != 12 || p.Align != 2 {
		t.Errorf("%+v", p)
	}
	if p := plainOf[[0]bool](t); p.HasBool() || p.Size != 0 {
		t.Errorf("%+v", p)
	}
}

// The numbers are part of the file format: they may not change.
func TestFingerprintsStay(t *testing.T) {
	for _, tt := range []struct {
		p    *mem.Plain
		want uint64
	}{
		{plainOf[int64](t), 0xcf81c7e34e4019ee},
		{plainOf[struct{}](t), 0x4c1d65c4c4020ff1},
		{plainOf[struct {
			A bool
			B [2]complex64
			C uint16
		}](t), 0x808f5cf6eb74f1a},
	} {
		if tt.p.Fingerprint != tt.want {
			t.Errorf("%s: %#x, want %#x", tt.p.Name, tt.p.Fingerprint, tt.want)
		}
	}
}

func TestFingerprintIsOfTheLayout(t *testing.T) {
	type a struct {
		X int32
		Y struct{ Z float64 }
	}
	type b struct {
		Left struct{ P int32 }
		_    [4]struct{}
	}
	type renamed struct {
		Q int32
		R float64
	}
	if x, y := plainOf[a](t), plainOf[renamed](t); x.Fingerprint != y.Fingerprint {
		t.Error("names of types and fields count")
	}
	seen := map[uint64]string{0: "nothing"}
	for _, p := range []*mem.Plain{
		plainOf[a](t), plainOf[b](t), plainOf[bool](t), plainOf[int8](t), plainOf[uint8](t),
		plainOf[int64](t), plainOf[uint64](t), plainOf[float64](t), plainOf[complex64](t),
		plainOf[[2]int32](t), plainOf[[3]int32](t), plainOf[[2][3]int32](t), plainOf[[3][2]int32](t),
		plainOf[struct {
			A int32
			B [2]int32
		}](t),
		plainOf[struct {
			A int8
			B int32
		}](t),
		plainOf[struct {
			A int8
			_ int8
			B int32
		}](t),
	} {
		if other, ok := seen[p.Fingerprint]; ok {
			t.Errorf("%s and %s have the same fingerprint", p.Name, other)
		}
		seen[p.Fingerprint] = p.Name
	}
}

func TestIntIsInt64(t *testing.T) {
	type short struct {
		A [2]int
		B uint
	}
	p, err := mem.PlainOf[short]()
	if err != nil {
		return // refused on this platform, as TestPlainOfNamesTheField checks
	}
	long := plainOf[struct {
		A [2]int64
		B uint64
	}](t)
	if p.Fingerprint != long.Fingerprint {
		t.Error("int and int64 differ")
	}
}

// Whatever the peer stores, a bool comes out as true or false.
func TestHostileBools(t *testing.T) {
	p := plainOf[flags](t)
	for _, c := range []byte{0, 1, 2, 3, 128, 255} {
		b := make([]byte, p.Size)
		for i := range b {
			b[i] = c
		}
		var v [1]flags
		mem.Load(p, b, &v[0])
		raw := mem.Bytes(v[:])
		want := min(c, 1)
		for _, off := range boolsOf(t) {
			if raw[off] != want {
				t.Errorf("byte %d: %d came out as %d", off, c, raw[off])
			}
		}
		if n := byte(v[0].N); n != c {
			t.Errorf("number %#x came out as %#x", c, n)
		}
	}
	huge := plainOf[[5000]bool](t)
	b := make([]byte, huge.Size)
	b[0], b[4999] = 7, 9
	var v [1][5000]bool
	mem.Load(huge, b, &v[0])
	if raw := mem.Bytes(v[:]); raw[0] != 1 || raw[1] != 0 || raw[4999] != 1 {
		t.Errorf("of 5000: %d %d %d", raw[0], raw[1], raw[4999])
	}
}

// boolsOf finds where the bools of flags lie by setting one at a time.
func boolsOf(t *testing.T) (offs []int) {
	var v [1]flags
	set := []*bool{&v[0].On, &v[0].Bits[0], &v[0].Bits[1], &v[0].Bits[2], &v[0].Last}
	for i := range v[0].Rows {
		s := &v[0].Rows[i].Set
		set = append(set, &s[0][0], &s[0][1], &s[1][0], &s[1][1])
	}
	for _, p := range set {
		v[0] = flags{}
		*p = true
		for off, c := range mem.Bytes(v[:]) {
			if c != 0 {
				offs = append(offs, off)
			}
		}
	}
	if len(offs) != 21 {
		t.Fatalf("found %d bools", len(offs))
	}
	return offs
}

func TestRoundTrip(t *testing.T) {
	trip(t, func(v flags) flags { return v })
	trip(t, func(v [7]uint16) [7]uint16 { return v })
	trip(t, func(v complex128) complex128 { return v })
	trip(t, func(v struct{}) struct{} { return v })
}

// trip takes values through memory at good and bad addresses.
func trip[T comparable](t *testing.T, same func(T) T) {
	t.Helper()
	p := plainOf[T](t)
	for _, off := range []int{0, 1, 8} {
		mapped := mem.Bytes(make([]uint64, p.Size/8+2))[off:][:p.Size:p.Size]
		if err := quick.CheckEqual(same, func(v T) (got T) {
			mem.Store(p, mapped, &v)
			mem.Load(p, mapped, &got)
			return got
		}, nil); err != nil {
			t.Errorf("%s at %d: %v", p.Name, off, err)
		}
	}
	if p.Size == 0 {
		var v T
		mem.Store(p, nil, &v)
		mem.Load(p, nil, &v)
	}
}

// A value that is larger than one piece of Copy.
func TestLargeRoundTrip(t *testing.T) {
	p := plainOf[[1 << 16]uint64](t)
	v, got := new([1 << 16]uint64), new([1 << 16]uint64)
	for i := range v {
		v[i] = uint64(i) * 0x9e3779b97f4a7c15
	}
	b := make([]byte, p.Size)
	mem.Store(p, b, v)
	mem.Load(p, b, got)
	if *v != *got {
		t.Error("it came out different")
	}
}

func TestLoadWantsTheSize(t *testing.T) {
	p, other := plainOf[uint64](t), plainOf[uint32](t)
	var v uint64
	for name, f := range map[string]func(){
		"short":        func() { mem.Load(p, make([]byte, 7), &v) },
		"long":         func() { mem.Store(p, make([]byte, 9), &v) },
		"another type": func() { mem.Load(other, make([]byte, 4), &v) },
		"nothing":      func() { mem.Store(p, nil, &v) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			f()
		})
	}
}

func TestCopyingAllocatesNothing(t *testing.T) {
	p, b := plainOf[flags](t), make([]byte, 1024)
	q := plainOf[[2]uint64](t)
	var sink int64
	if n := testing.AllocsPerRun(100, func() {
		v := flags{N: 7}
		mem.Store(p, b[:p.Size], &v)
		mem.Load(p, b[:p.Size], &v)
		w := [2]uint64{1, 2}
		mem.Store(q, b[512:512+q.Size], &w)
		mem.Load(q, b[512:512+q.Size], &w)
		sink += v.N + int64(w[1])
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if sink == 0 {
		t.Error("nothing came out")
	}
}

func BenchmarkLoad(b *testing.B) {
	p, m := plainOf[[2]uint64](b), make([]byte, 16)
	for b.Loop() {
		var v [2]uint64
		mem.Load(p, m, &v)
	}
}

func BenchmarkLoadBools(b *testing.B) {
	p, m := plainOf[flags](b), make([]byte, 256)
	for b.Loop() {
		var v flags
		mem.Load(p, m[:p.Size], &v)
	}
}
