//go:build linux

package proc_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"math"
	"math/big"
	"os"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-ipc/sluice/conn"
	"github.com/sluice-ipc/sluice/internal/shmtest"
	"github.com/sluice-ipc/sluice/ring"
	"github.com/sluice-ipc/sluice/shm"
	"github.com/sluice-ipc/sluice/shm/proc"
)

type point struct {
	X, Y  int
	Label *string
	next  *point // stays here
}

type month int8

func init() {
	proc.Register("numbers", numbers)
	proc.Register("texts", texts)
	proc.Register("structs", structs)
	proc.Register("anything", anything)
	proc.Register("sum", sum)
	proc.Register("wants error", func(w wantsError) {})
	proc.Register("queue and number", func(q *ring.Queue[int], n int64) error { return nil })
	proc.Register("end and number", func(_ context.Context, c *conn.Conn, n int64) error { return nil })
	proc.Register("end and any", func(c *conn.Conn, v any) {})
	proc.Register("any", func(v any) error { return nil })
	proc.Register("nilable", func(p *int, s []string, m map[string]int, v any) error {
		return differ(p == nil && s == nil && m == nil && v == nil, p, s, m, v)
	})
	proc.Register("tree", func(tree, *tree, []any, chan1) {}) // is possible
	proc.Register("for one", func(forOne) {})
	proc.Register("link", func(link) {})
	proc.Register("joinable", func(q ring.JoinableQueue[int]) {})
}

// differ returns an error that shows what arrived unless it is right.
func differ(right bool, got ...any) error {
	if right {
		return nil
	}
	return fmt.Errorf("arrived: %#v", got)
}

func numbers(b bool, i8 int8, i64 int64, u8 uint8, u64 uint64, f32 float32, f64 float64, i int, m month) error {
	return differ(b && i8 == -128 && i64 == math.MinInt64 && u8 == 255 && u64 == math.MaxUint64 &&
		f32 == 1.5 && math.IsInf(f64, -1) && i == -1 && m == 12, b, i8, i64, u8, u64, f32, f64, i, m)
}

func texts(s, bad, empty string, b []byte, none []byte, l []string, a [3]int32) error {
	return differ(s == "größe\x00" && bad == "\xff\xfe" && empty == "" && bytes.Equal(b, []byte{0, 1, 255}) &&
		none == nil && reflect.DeepEqual(l, []string{"a", ""}) && a == [3]int32{1, 2, 3}, s, bad, empty, b, none, l, a)
}

var (
	label = "here"
	when  = time.Date(2024, 2, 29, 23, 59, 59, 123456789, time.UTC)
	large = new(big.Int).Lsh(big.NewInt(1), 100)
)

func structs(p point, q *point, m map[string][]point, t time.Time, b *big.Int, d time.Duration) error {
	want := point{X: 1, Y: -1, Label: &label}
	return differ(reflect.DeepEqual(p, want) && reflect.DeepEqual(*q, want) &&
		reflect.DeepEqual(m, map[string][]point{"a": {want}, "b": nil}) &&
		t.Equal(when) && b.Cmp(large) == 0 && d == time.Hour, p, q, m, t, b, d)
}

func anything(ctx context.Context, v any, list []any, m map[string]any) error {
	return differ(v == "hello" && reflect.DeepEqual(list, []any{int64(42), nil, "hello", 1.5, []any{true}}) &&
		maps.Equal(m, map[string]any{"n": int64(1)}) && ctx.Err() == nil, v, list, m)
}

func TestDataArguments(t *testing.T) {
	shmtest.NoLeaks(t)
	well(t, start(t, "numbers", true, int8(-128), int64(math.MinInt64), uint8(255), uint64(math.MaxUint64),
		float32(1.5), math.Inf(-1), -1, month(12)))
	well(t, start(t, "texts", "größe\x00", "\xff\xfe", "", []byte{0, 1, 255}, []byte(nil),
		[]string{"a", ""}, [3]int32{1, 2, 3}))
	p := point{X: 1, Y: -1, Label: &label, next: new(point)}
	well(t, start(t, "structs", p, &p, map[string][]point{"a": {p}, "b": nil}, when, large, time.Hour))
	well(t, start(t, "anything", "hello", []any{42, nil, "hello", 1.5, []any{true}}, map[string]any{"n": 1}))
	well(t, start(t, "nilable", nil, nil, nil, nil))
	well(t, start(t, "nilable", (*int)(nil), []string(nil), map[string]int(nil), nil))
}

func sum(big []byte, want uint32, n int) error {
	return differ(len(big) == n && crc32.ChecksumIEEE(big) == want, len(big), crc32.ChecksumIEEE(big))
}

func TestBigArgument(t *testing.T) {
	shmtest.NoLeaks(t)
	n := 50 << 20
	if testing.Short() {
		n = 5 << 20
	}
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i * 7919 >> 8)
	}
	well(t, start(t, "sum", b, crc32.ChecksumIEEE(b), n))
}

type wantsError struct{ E error }

// forOne can be decoded where it was made, and nowhere else.
type forOne struct{ pid byte }

func (f forOne) MarshalBinary() ([]byte, error) { return fmt.Append(nil, os.Getpid()), nil }

func (f *forOne) UnmarshalBinary(b []byte) error {
	return differ(string(b) == fmt.Sprint(os.Getpid()), string(b))
}

// A link has the methods of a handle, but its Inherit does not return a link.
type link struct{ *conn.Conn }

// What arrives and cannot be decoded, or does not arrive, is an error of the child.
func TestArgumentsThatDoNotArrive(t *testing.T) {
	shmtest.NoLeaks(t)
	_, theirs := pipe(t)
	for name, arg := range map[string]any{"for one": forOne{}, "link": link{theirs}} {
		e := badly(t, start(t, name, arg))
		if e.Code != 1 || !strings.HasPrefix(e.Err, "proc: "+name+": argument 0 did not arrive: ") {
			t.Errorf("%s: %+v", name, e)
		}
	}
	// One participant, and that is this one.
	full := segment(t, shm.Options{MaxParticipants: 1})
	e := badly(t, start(t, "count", full))
	if e.Code != 1 || !strings.Contains(e.Err, "count: argument 0 did not arrive") ||
		!strings.Contains(e.Err, shm.ErrFull.Error()) {
		t.Errorf("%+v", e)
	}
	// The parent knows a function, and the child does not.
	lateOnce.Do(func() { proc.Register("late", func() {}) })
	e = badly(t, start(t, "late"))
	if e.Code != 1 || e.Err != proc.ErrNotRegistered.Error()+`: "late"` {
		t.Errorf("%+v", e)
	}
}

var lateOnce sync.Once // tests may run more than once

// With the wrong arguments nothing is started, and nothing has moved.
func TestWrongArguments(t *testing.T) {
	shmtest.NoLeaks(t)
	ours, theirs := pipe(t)
	q := closing(t)(ring.AnonymousQueue[int](t.Name(), nil)).(*ring.Queue[int])
	cycle := []any{q}
	for _, c := range []struct {
		name  string
		args  []any
		index int
		why   string
	}{
		{"queue and number", nil, -1, "0 arguments, want 2"},
		{"queue and number", []any{q, int64(1), 2}, -1, "3 arguments, want 2"},
		{"queue and number", []any{nil, int64(1)}, 0, "is nil, want *ring.Queue[int]"},
		{"queue and number", []any{(*ring.Queue[int])(nil), int64(1)}, 0, "is a *ring.Queue[int] that is nil"},
		{"queue and number", []any{1, int64(1)}, 0, "is int, want *ring.Queue[int]"},
		{"queue and number", []any{theirs, int64(1)}, 0, "is *conn.Conn, want *ring.Queue[int]"},
		{"queue and number", []any{(*ring.Queue[int8])(nil), int64(1)}, 0, "is *ring.Queue[int8], want *ring.Queue[int]"},
		{"queue and number", []any{q, 1}, 1, "is int, want int64"},
		{"queue and number", []any{q, nil}, 1, "is nil, want int64"},
		{"end and number", []any{theirs, 1}, 1, "is int, want int64"},
		{"end and any", []any{theirs, make(chan int)}, 1, "is chan int: cbor: unsupported type: chan int"},
		{"joinable", []any{ring.JoinableQueue[int]{}}, 0, "is a ring.JoinableQueue[int] that is nil"},
		{"any", []any{theirs}, 0, "is *conn.Conn with a handle, want interface {}, which is data"},
		{"any", []any{[]*conn.Conn{theirs}}, 0, "is []*conn.Conn with a handle, want interface {}, which is data"},
		{"any", []any{map[string]any{"a": &cycle}}, 0, "is map[string]interface {} with a handle, want interface {}, which is data"},
		{"any", []any{struct{ V any }{theirs}}, 0, "is struct { V interface {} } with a handle, want interface {}, which is data"},
		{"any", []any{make(chan int)}, 0, "is chan int: cbor: unsupported type: chan int"},
		{"any", []any{embedding{embedded{theirs}}}, 0, "is proc_test.embedding with a handle, want interface {}, which is data"},
		{"any", []any{struct{ *embedded }{&embedded{theirs}}}, 0, "is struct { *proc_test.embedded } with a handle, want interface {}, which is data"},
		{"wants error", []any{wantsError{errors.New("not data")}}, 0, "is proc_test.wantsError, which would not arrive: " +
			"cbor: cannot unmarshal map into Go struct field proc_test.wantsError.E of type error"},
	} {
		p := newProcess(c.name, c.args...)
		err := p.Start()
		e, ok := errors.AsType[*proc.ArgumentError](err)
		if !ok || e.Func != c.name || e.Index != c.index || e.Why != c.why {
			t.Errorf("%s%v: %+v, want %d %s", c.name, c.args, err, c.index, c.why)
		}
		if p.Pid() != 0 || p.Alive() || p.ExitCode() != -1 {
			t.Errorf("%s%v has started %v", c.name, c.args, p)
		}
	}
	if p, err := proc.Start("nobody", theirs); p != nil || !errors.Is(err, proc.ErrNotRegistered) {
		t.Errorf("unregistered: %v, %v", p, err)
	}
	if err := theirs.Send(bg, 1); err != nil {
		t.Errorf("an argument has moved: %v", err)
	}
	if n := hear(t, ours); n != 1 {
		t.Errorf("received %d", n)
	}
}

func TestArgumentErrorTexts(t *testing.T) {
	for want, err := range map[string]error{
		"proc: f: 1 arguments, want 2":             &proc.ArgumentError{Func: "f", Index: -1, Why: "1 arguments, want 2"},
		"proc: f: argument 0 is int, want int64":   &proc.ArgumentError{Func: "f", Index: 0, Why: "is int, want int64"},
		"proc: any: argument 0 is nil, want int64": &proc.ArgumentError{Func: "any", Why: "is nil, want int64"},
	} {
		if err.Error() != want {
			t.Errorf("%q, want %q", err, want)
		}
	}
	_, err := proc.Start("any", 1, 2)
	if err == nil || err.Error() != "proc: any: 2 arguments, want 1" {
		t.Errorf("%v", err)
	}
}

// A mover is a handle that its own package forgot to make inheritable.
type mover struct{}

func (mover) Handover() (shm.Handover, error) { return shm.Handover{}, errors.New("no") }

type list struct {
	Name string
	Next *list
	Has  map[string][]*conn.Conn
}

type tree struct{ Left, Right *tree }

func TestRegisterRefuses(t *testing.T) {
	for name, f := range map[string]any{
		"":             func() {},
		"nothing":      func() {}, // taken
		"no function":  1,
		"nil":          nil,
		"nil function": (func())(nil),
		"variadic":     func(...int) {},
		"two results":  func() (int, error) { return 0, nil },
		"no error":     func() int { return 0 },
		"channel":      func(chan int) {},
		"function":     func(func()) {},
		"reader":       func(io.Reader) {},
		"handles":      func(shm.Inheritor) {},
		"second ctx":   func(int, context.Context) {},
		"no heir":      func(mover) {},
		"by value":     func([]shm.Segment) {},
		"pointer":      func(*ring.JoinableQueue[int]) {},
		"slice":        func([]*ring.Queue[int]) {},
		"map":          func(map[string]*conn.Conn) {},
		"inside":       func(list) {},
		"array":        func([2]ring.JoinableQueue[int]) {},
	} {
		err := func() (err any) {
			defer func() { err = recover() }()
			proc.Register(name, f)
			return nil
		}()
		if e, ok := err.(error); !ok || !strings.HasPrefix(e.Error(), fmt.Sprintf("proc: register %q: ", name)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

type chan1 struct{ c chan int } // what is not encoded does not matter
