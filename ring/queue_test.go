//go:build linux

package ring_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/sluice-ipc/sluice/ring"
	"github.com/sluice-ipc/sluice/shm"
)

func newQueue[T any](t testing.TB, o *ring.QueueOptions) *ring.Queue[T] {
	t.Helper()
	q, err := ring.AnonymousQueue[T](t.Name(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { q.Close() })
	return q
}

// openAgain attaches to a queue a second time: another participant.
func openAgain[T any](t testing.TB, q *ring.Queue[T], o *ring.QueueOptions) *ring.Queue[T] {
	t.Helper()
	f := must(q.Segment().File())
	defer f.Close()
	other, err := ring.QueueFromFile[T](f, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { other.Close() })
	return other
}

// queueName returns a name for a queue of the test's own.
func queueName(t testing.TB) string {
	name := fmt.Sprintf("/dev/shm/sluice-queuetest-%d-%d", os.Getpid(), serial.Add(1))
	t.Cleanup(func() { os.Remove(name) })
	return name
}

// queueStarts are first positions: the wrap of positions and of laps is crossed.
func queueStarts(capacity int) map[string]uint64 {
	return map[string]uint64{
		"zero":     0,
		"lap wrap": ring.QueuePositions(capacity) - uint64(capacity),
		"wrap":     ring.QueuePositions(capacity) - 1,
	}
}

// ended is a context that is done.
func ended() context.Context {
	ctx, cancel := context.WithCancel(bg)
	cancel()
	return ctx
}

// get takes a message that must be there.
func get[T any](t testing.TB, q *ring.Queue[T]) T {
	t.Helper()
	v, err := q.TryGet()
	if err != nil {
		t.Fatalf("TryGet = %v", err)
	}
	return v
}

// allFree fails unless every chunk of a queue is free.
func allFree[T any](t testing.TB, q *ring.Queue[T]) {
	t.Helper()
	if s := q.Stats(); s.FreeChunks != s.Chunks || s.Depth != 0 || s.Held != 0 {
		t.Fatalf("chunks are missing: %+v", s)
	}
}

func TestQueueIsFIFO(t *testing.T) {
	for _, n := range []int{1, 3, 8} {
		for name, start := range queueStarts(n) {
			t.Run(fmt.Sprint(n, name), func(t *testing.T) {
				fifo(t, newQueue[int](t, ring.QueueOptions{Capacity: n}.StartAt(start)), n)
			})
		}
	}
}

func fifo(t *testing.T, q *ring.Queue[int], n int) {
	for round := range 20 {
		for i := range n {
			if err := q.TryPut(round*n + i); err != nil {
				t.Fatal(err)
			}
			if got := q.Len(); got != i+1 || q.Empty() || q.Full() != (i+1 == n) {
				t.Fatalf("Len = %d, Empty = %v, Full = %v after %d", got, q.Empty(), q.Full(), i+1)
			}
		}
		if err := q.TryPut(-1); err != ring.ErrFull {
			t.Fatalf("TryPut to a full queue = %v", err)
		}
		for i := range n {
			if v := get(t, q); v != round*n+i {
				t.Fatalf("TryGet = %d, want %d", v, round*n+i)
			}
		}
		if _, err := q.TryGet(); err != ring.ErrEmpty || !q.Empty() {
			t.Fatalf("TryGet from an empty queue = %v", err)
		}
	}
	if s := q.Stats(); s.Puts != uint64(20*n) || s.Gets != s.Puts || q.Cap() != n || s.Capacity != n {
		t.Fatalf("%+v", s)
	}
	allFree(t, q)
}

// travels puts a value of T through a queue, which has to come out as want.
func travels[T any](t *testing.T, in, want T) {
	t.Helper()
	for _, o := range []*ring.QueueOptions{nil, {ChunkSize: 1, Bytes: 1 << 13}, {ChunkSize: 24, Lanes: 1, Hold: 1}} {
		q := newQueue[T](t, o)
		if err := q.Put(bg, in); err != nil {
			t.Fatalf("%T: %v", in, err)
		}
		if got, err := q.Get(bg); err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("%#v came out as %#v, %v", in, got, err)
		}
		if n, err := q.PutBatch(bg, []T{in, in, in}); n != 3 || err != nil {
			t.Fatalf("%T: PutBatch = %d, %v", in, n, err)
		}
		got := make([]T, 4)
		for n := 0; n < 3; {
			k, err := q.TryGetBatch(got[n:])
			if err != nil {
				t.Fatal(err)
			}
			n += k
		}
		if !reflect.DeepEqual(got[:3], []T{want, want, want}) {
			t.Fatalf("%#v came out as %#v", in, got)
		}
		m := must2(q.Put(bg, in), q.Take)(bg)
		if v, err := q.Value(m); err != nil || !reflect.DeepEqual(v, want) {
			t.Fatalf("Value of %#v = %#v, %v", in, v, err)
		}
		if v, err := q.Decode(must(m.Append(nil))); err != nil || !reflect.DeepEqual(v, want) {
			t.Fatalf("Decode of %#v = %#v, %v", in, v, err)
		}
		m.Release()
		allFree(t, q)
		q.Close()
	}
}

// must2 fails on an error before it calls f.
func must2[A, R any](err error, f func(A) (R, error)) func(A) R {
	if err != nil {
		panic(err)
	}
	return func(a A) R { return must(f(a)) }
}

type plainStruct struct {
	On   bool
	N    int
	U    uint
	F    float64
	Name [5]byte
	More [2]struct{ A, B bool }
}

func TestQueueCarriesAllTypes(t *testing.T) {
	travels(t, 42, 42)
	travels(t, uint(1<<63), 1<<63)
	travels(t, true, true)
	travels(t, int8(-1), -1)
	travels(t, struct{}{}, struct{}{})
	travels(t, [0]int{}, [0]int{})
	travels(t, plainStruct{true, -3, 7, 2.5, [5]byte{'x'}, [2]struct{ A, B bool }{{true, false}}},
		plainStruct{true, -3, 7, 2.5, [5]byte{'x'}, [2]struct{ A, B bool }{{true, false}}})
	travels(t, [300]uint32{1, 299: 5}, [300]uint32{1, 299: 5})
	travels(t, "", "")
	travels(t, strings.Repeat("long ", 300), strings.Repeat("long ", 300))
	travels(t, []byte("bytes"), []byte("bytes"))
	travels[any](t, []any{42, nil, "hello"}, []any{int64(42), nil, "hello"})
	travels[any](t, nil, nil)
	travels(t, map[string]int{"a": 1}, map[string]int{"a": 1})
	travels(t, struct {
		S string
		P *int
	}{"s", new(int)}, struct {
		S string
		P *int
	}{"s", new(int)})
}

// Values that are nothing elsewhere are messages like others.
func TestQueueCarriesNothing(t *testing.T) {
	q := newQueue[any](t, nil)
	for _, v := range []any{nil, int64(0), "", false} {
		if err := q.Put(bg, v); err != nil {
			t.Fatal(err)
		}
		if got, err := q.Get(bg); err != nil || got != v {
			t.Fatalf("%#v came out as %#v, %v", v, got, err)
		}
	}
}

// A bool is true or false, whatever a peer has written in its place.
func TestQueueNormalisesBools(t *testing.T) {
	type flag struct {
		On bool
		N  uint8
	}
	q := newQueue[flag](t, nil)
	for _, b := range []byte{0, 1, 2, 0x55, 0xff} {
		o := must(q.Loan(bg, 2))
		copy(o.Bytes(), []byte{b, 9})
		if err := o.Commit(bg); err != nil {
			t.Fatal(err)
		}
		v := get(t, q)
		// A switch over a bool that is neither can do neither.
		n := map[bool]int{}
		n[v.On]++
		if v.N != 9 || v.On != (b != 0) || n[true]+n[false] != 1 {
			t.Fatalf("%#x came out as %v", b, v)
		}
	}
}

func TestQueueOfAnotherTypeIsRefused(t *testing.T) {
	name := queueName(t)
	q := must(ring.CreateQueue[plainStruct](name, nil))
	defer q.Close()
	refused := func(err error, want ...string) {
		t.Helper()
		if err == nil {
			t.Fatal("it is opened")
		}
		for _, w := range append(want, name) {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%q does not say %q", err, w)
			}
		}
	}
	_, err := ring.OpenQueue[int](name, nil)
	refused(err, "plainStruct", "int")
	_, err = ring.OpenQueue[any](name, nil)
	refused(err, "plainStruct", "interface")
	_, err = ring.OpenQueue[string](name, nil)
	refused(err, "plainStruct", "[]byte")
	_, err = ring.OpenJoinableQueue[plainStruct](name, nil)
	refused(err, "joinable")
	_, err = ring.Open(name, nil)
	refused(err, "kind")
	if n := len(q.Stats().Participants); n != 1 {
		t.Errorf("%d participants are left", n)
	}
	other, err := ring.OpenQueue[plainStruct](name, nil)
	if err != nil {
		t.Fatal(err)
	}
	other.Close()
}

// What cannot be encoded is an error of Put and leaves the queue as it was.
func TestQueueEncodeError(t *testing.T) {
	for _, when := range []ring.WhenFull{ring.Block, ring.DropOldest} {
		q := newQueue[any](t, &ring.QueueOptions{Capacity: 2, WhenFull: when})
		q.Put(bg, "before")
		q.Put(bg, "full")
		for _, err := range []error{q.Put(bg, make(chan int)), q.TryPut(func() {}),
			second(q.PutBatch(bg, []any{make(chan int)}))} {
			if err == nil || !strings.Contains(err.Error(), q.Name()) || !strings.Contains(err.Error(), "encode") {
				t.Fatalf("Put = %v", err)
			}
		}
		if s := q.Stats(); s.Depth != 2 || s.Puts != 2 || s.Dropped != 0 {
			t.Fatalf("%+v", s)
		}
		if v, err := q.Get(bg); v != "before" || err != nil {
			t.Fatal(v, err)
		}
	}
}

func second[A, B any](_ A, b B) B { return b }

// What cannot be decoded is consumed by the Get that says so.
func TestQueueDecodeError(t *testing.T) {
	q := newQueue[[]string](t, nil)
	for _, garbage := range []string{"", "\xff", "no cbor"} {
		o := must(q.Loan(bg, len(garbage)))
		copy(o.Bytes(), garbage)
		if err := o.Commit(bg); err != nil {
			t.Fatal(err)
		}
		q.Put(bg, []string{"next"})
		_, err := q.Get(bg)
		var decode *ring.DecodeError
		if !errors.As(err, &decode) || string(decode.Message) != garbage || decode.Queue != q.Name() || decode.Unwrap() == nil {
			t.Fatalf("Get of %q = %v", garbage, err)
		}
		if v := get(t, q); v[0] != "next" {
			t.Fatal(v)
		}
	}
	n := 0
	o := must(q.Loan(bg, 1))
	o.Bytes()[0] = 0xff
	o.Commit(bg)
	q.Put(bg, []string{"last"})
	q.CloseSend()
	for v, err := range q.All(bg) {
		if n++; n == 1 != (err != nil) || n == 2 != (len(v) == 1) {
			t.Fatal(n, v, err)
		}
	}
	if n != 2 {
		t.Fatalf("%d turns", n)
	}
	allFree(t, q)
}

// Messages of every length up to the largest one pass; one byte more never can.
func TestQueueMessageSizes(t *testing.T) {
	q := newQueue[[]byte](t, &ring.QueueOptions{Capacity: 4, ChunkSize: 100, Bytes: 1000, Hold: 1, Lanes: 1,
		Segment: shm.Options{MaxParticipants: 2}})
	if q.MaxMessage() != 1000 || q.ChunkSize() != 100 {
		t.Fatal(q.MaxMessage(), q.ChunkSize())
	}
	for n := range 1001 {
		in := bytes.Repeat([]byte{byte(n)}, n)
		if err := q.TryPut(in); err != nil {
			t.Fatalf("%d bytes: %v", n, err)
		}
		if got := get(t, q); !bytes.Equal(got, in) {
			t.Fatalf("%d bytes came out as %d", n, len(got))
		}
	}
	for q.TryPut(nil) == nil { // also of a full queue
	}
	for _, err := range []error{q.Put(bg, make([]byte, 1001)), q.TryPut(make([]byte, 1001)), second(q.Loan(bg, 1001))} {
		if !errors.Is(err, ring.ErrTooLarge) || !strings.Contains(err.Error(), "1001 bytes, at most 1000") ||
			!strings.Contains(err.Error(), q.Name()) {
			t.Errorf("Put = %v", err)
		}
	}
	for q.Len() > 0 {
		get(t, q)
	}
	allFree(t, q)
}

// Items and bytes are both bounded: a message for which there are not enough
// chunks waits for them, and takes none meanwhile.
func TestQueueBytesAreBounded(t *testing.T) {
	q := newQueue[[]byte](t, &ring.QueueOptions{Capacity: 8, ChunkSize: 100, Bytes: 1000, Hold: 1, Lanes: 1,
		Segment: shm.Options{MaxParticipants: 1}})
	before := q.Stats().FreeChunks
	var err error
	for err == nil {
		err = q.TryPut(make([]byte, 1000))
	}
	depth := q.Len()
	if err != ring.ErrFull || depth == 0 || depth == q.Cap() {
		t.Fatalf("TryPut = %v with %d messages", err, depth)
	}
	if s := q.Stats(); s.FreeChunks != before-10*depth {
		t.Fatalf("%+v", s)
	}
	putting := blocked(func() error { return q.Put(bg, make([]byte, 1000)) })
	for range depth {
		get(t, q)
	}
	if err := <-putting; err != nil {
		t.Fatal(err)
	}
	get(t, q)
	allFree(t, q)
}

// A context that is done already makes one attempt.
func TestQueueDoneContext(t *testing.T) {
	q := newQueue[int](t, &ring.QueueOptions{Capacity: 1})
	for range 100 {
		if err := q.Put(ended(), 7); err != nil {
			t.Fatal(err)
		}
		if err := q.Put(ended(), 8); !errors.Is(err, ring.ErrFull) || !errors.Is(err, context.Canceled) {
			t.Fatalf("Put = %v", err)
		}
		if v, err := q.Get(ended()); v != 7 || err != nil {
			t.Fatalf("Get = %d, %v", v, err)
		}
		if _, err := q.Get(ended()); !errors.Is(err, ring.ErrEmpty) || !errors.Is(err, context.Canceled) {
			t.Fatalf("Get = %v", err)
		}
	}
}

func TestQueueEnds(t *testing.T) {
	q := newQueue[int](t, nil)
	other := openAgain(t, q, nil)
	q.PutBatch(bg, []int{1, 2, 3})
	for range 2 { // it may be said twice
		if err := other.CloseSend(); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range []*ring.Queue[int]{q, other} {
		for _, err := range []error{p.Put(bg, 4), p.TryPut(4), second(p.PutBatch(bg, []int{4})), second(p.Loan(bg, 8))} {
			if !errors.Is(err, ring.ErrClosed) || !errors.Is(err, os.ErrClosed) || !strings.Contains(err.Error(), q.Name()) {
				t.Errorf("after CloseSend: %v", err)
			}
		}
	}
	want := 1
	for v, err := range q.All(bg) {
		if err != nil || v != want {
			t.Fatal(v, err)
		}
		want++
	}
	if want != 4 {
		t.Errorf("%d messages", want-1)
	}
	for range 3 { // and stays
		if _, err := q.Get(bg); err != io.EOF {
			t.Errorf("Get at the end = %v", err)
		}
		if _, err := other.TryGet(); err != io.EOF {
			t.Errorf("TryGet at the end = %v", err)
		}
		if _, err := other.TryTake(); err != io.EOF {
			t.Errorf("TryTake at the end = %v", err)
		}
		if _, err := other.GetBatch(bg, make([]int, 3)); err != io.EOF {
			t.Errorf("GetBatch at the end = %v", err)
		}
	}
	if !q.Stats().Closed {
		t.Error("Stats does not say so")
	}
}

func BenchmarkQueuePutGet(b *testing.B) {
	q := newQueue[[8]uint64](b, nil)
	var v [8]uint64
	b.ReportAllocs()
	for b.Loop() {
		q.Put(bg, v)
		q.Get(bg)
	}
}

// must0 is must for what returns an error only.
func must0(err error) {
	if err != nil {
		panic(err)
	}
}
