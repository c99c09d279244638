//go:build linux

package conn_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/big"
	"reflect"
	"testing"
	"time"

	"github.com/sluice-ipc/sluice/conn"
)

// What Recv returns is what was sent, integers as int64.
func TestObjectsArriveAsTheyWereSent(t *testing.T) {
	a, b := newPipe(t, nil)
	when := time.Date(2024, 2, 29, 12, 0, 0, 123456789, time.UTC)
	huge := new(big.Int).SetUint64(math.MaxUint64)
	type point struct{ X, Y int }
	for _, tt := range []struct{ sent, want any }{
		{[]any{42, nil, "hello"}, []any{int64(42), nil, "hello"}},
		{nil, nil},
		{0, int64(0)},
		{false, false},
		{"", ""},
		{int8(-1), int64(-1)},
		{uint64(math.MaxInt64), int64(math.MaxInt64)},
		{int64(math.MinInt64), int64(math.MinInt64)},
		{uint64(math.MaxUint64), huge},
		{3.25, 3.25},
		{float32(3.25), 3.25},
		{math.Inf(-1), math.Inf(-1)},
		{"not \xff UTF-8", "not \xff UTF-8"},
		{[]byte{1, 2, 3}, []byte{1, 2, 3}},
		{[]int{1, 2}, []any{int64(1), int64(2)}},
		{[]any{}, []any{}},
		{map[string]int{"a": 1}, map[any]any{"a": int64(1)}},
		{map[any]any{1: "x", "y": nil}, map[any]any{int64(1): "x", "y": nil}},
		{point{1, -2}, map[any]any{"X": int64(1), "Y": int64(-2)}},
		{&point{1, -2}, map[any]any{"X": int64(1), "Y": int64(-2)}},
		{when, when},
	} {
		if err := a.Send(bg, tt.sent); err != nil {
			t.Fatalf("Send(%#v): %v", tt.sent, err)
		}
		if got, err := b.Recv(bg); err != nil || !same(got, tt.want) {
			t.Errorf("%#v arrives as %#v, %v", tt.sent, got, err)
		}
		if err := a.TrySend(tt.sent); err != nil {
			t.Fatal(err)
		}
		if got, err := b.TryRecv(); err != nil || !same(got, tt.want) {
			t.Errorf("%#v arrives as %#v, %v", tt.sent, got, err)
		}
	}
}

func same(got, want any) bool {
	if w, ok := want.(time.Time); ok {
		g, ok := got.(time.Time)
		return ok && g.Equal(w)
	}
	return reflect.DeepEqual(got, want)
}

type job struct {
	Name  string `json:"name"`
	Parts []int
	Next  *job
	Due   time.Duration
}

func TestReceiveIntoType(t *testing.T) {
	a, b := newPipe(t, small)
	want := job{"build", []int{1, 2}, &job{Name: "test"}, time.Second}
	for range 3 {
		if err := a.Send(bg, want); err != nil {
			t.Fatal(err)
		}
	}
	var got job
	if err := b.RecvTo(bg, &got); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("RecvTo: %+v, %v", got, err)
	}
	got = job{}
	if err := b.TryRecvTo(&got); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("TryRecvTo: %+v, %v", got, err)
	}
	if got, err := conn.RecvAs[job](bg, b); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("RecvAs: %+v, %v", got, err)
	}
}

// Objects that are larger than the ring go through it in pieces.
func TestLargeObject(t *testing.T) {
	a, b := newPipe(t, small)
	want := make([]any, 300_000)
	for i := range want {
		want[i] = int64(i)
	}
	sent := make(chan error)
	go func() { sent <- errors.Join(a.Send(bg, want), a.Send(bg, "next")) }()
	got, err := b.Recv(bg)
	if err != nil || !reflect.DeepEqual(got, any(want)) {
		t.Fatal(err)
	}
	if got, err := b.Recv(bg); got != "next" || err != nil {
		t.Fatal(got, err)
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
}

// P6: bytes that are no object are consumed by Recv, come with the error, and
// are not the end of the stream, whatever the codec thinks of them.
func TestUndecodableMessageIsConsumed(t *testing.T) {
	a, b := newPipe(t, small)
	for _, bad := range []string{"", "\xff", "\x9b\x7f\xff\xff\xff\xff\xff\xff\xff", "\x01\x02", "\x62a",
		"\x9f" + string(make([]byte, 5000))} {
		sent := make(chan error)
		go func() {
			sent <- errors.Join(a.SendBytes(bg, []byte(bad)), a.SendBytes(bg, []byte(bad)), a.Send(bg, "good"))
		}()
		for _, recv := range []func() (any, error){
			func() (any, error) { return b.Recv(bg) },
			func() (any, error) { must(b.Poll(bg)); return tryRecv(b) },
		} {
			var d *conn.DecodeError
			v, err := recv()
			if v != nil || !errors.As(err, &d) || string(d.Data) != bad || d.Err == nil {
				t.Fatalf("Recv of %.20q = %v, %v", bad, v, err)
			}
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("Recv of %.20q looks like the end: %v", bad, err)
			}
		}
		if v, err := b.Recv(bg); v != "good" || err != nil {
			t.Fatalf("then comes %v, %v", v, err)
		}
		if err := <-sent; err != nil {
			t.Fatal(err)
		}
	}
	// The other way round, an object is bytes like any others.
	if err := a.Send(bg, 1); err != nil {
		t.Fatal(err)
	}
	expect(t, b, "\x01")
}

// tryRecv calls TryRecv until the message has come.
func tryRecv(c *conn.Conn) (any, error) {
	for {
		v, err := c.TryRecv()
		if err != conn.ErrEmpty {
			return v, err
		}
	}
}

// P18: what cannot be encoded is not sent.
func TestUnencodableObjectIsNotSent(t *testing.T) {
	a, b := newPipe(t, small)
	for _, v := range []any{make(chan int), func() {}, []any{1, func() {}}, map[string]any{"x": make(chan int)}} {
		if err := a.Send(bg, v); err == nil {
			t.Errorf("Send(%T) = nil", v)
		}
		if err := a.TrySend(v); err == nil {
			t.Errorf("TrySend(%T) = nil", v)
		}
	}
	if err := a.Send(bg, "next"); err != nil {
		t.Fatal(err)
	}
	if v, err := b.Recv(bg); v != "next" || err != nil {
		t.Errorf("received %v, %v", v, err)
	}
}

// Q7 of a pipe: what happens to an object after Send is not the receiver's
// business.
func TestObjectIsEncodedInSend(t *testing.T) {
	a, b := newPipe(t, nil)
	v := []int{1, 2, 3}
	if err := a.Send(bg, v); err != nil {
		t.Fatal(err)
	}
	v[0] = 99
	if got, err := conn.RecvAs[[]int](bg, b); err != nil || got[0] != 1 {
		t.Error(got, err)
	}
}

// P17: a target that cannot be written is refused before a message is consumed.
func TestReceiveTargetIsCheckedFirst(t *testing.T) {
	a, b := newPipe(t, nil)
	send(t, a, "\x05")
	for _, target := range []any{nil, 5, "x", (*int)(nil), []int{1}} {
		if err := b.RecvTo(bg, target); err == nil {
			t.Errorf("RecvTo(%#v) = nil", target)
		}
		if err := b.TryRecvTo(target); err == nil {
			t.Errorf("TryRecvTo(%#v) = nil", target)
		}
	}
	if v, err := b.Recv(bg); v != int64(5) || err != nil {
		t.Error(v, err)
	}
}

// A message of the wrong type is consumed like any other that cannot be decoded.
func TestWrongType(t *testing.T) {
	a, b := newPipe(t, nil)
	if err := errors.Join(a.Send(bg, "text"), a.Send(bg, 7)); err != nil {
		t.Fatal(err)
	}
	var d *conn.DecodeError
	if _, err := conn.RecvAs[int](bg, b); !errors.As(err, &d) {
		t.Error(err)
	}
	if v, err := conn.RecvAs[int](bg, b); v != 7 || err != nil {
		t.Error(v, err)
	}
}

// All goes on after a message that cannot be decoded, and ends with the stream.
func TestAll(t *testing.T) {
	a, b := newPipe(t, small)
	for i := range 3 {
		if err := a.Send(bg, i); err != nil {
			t.Fatal(err)
		}
		send(t, a, "\xff")
	}
	a.Close()
	var got []any
	bad := 0
	for v, err := range b.All(bg) {
		var d *conn.DecodeError
		switch {
		case errors.As(err, &d):
			bad++
		case err != nil:
			t.Fatal(err)
		default:
			got = append(got, v)
		}
	}
	if fmt.Sprint(got) != "[0 1 2]" || bad != 3 {
		t.Error(got, bad)
	}
}

// All and AllBytes end with an error that concerns more than one message, and
// leave no message on loan, however their body ends.
func TestLoopsEnd(t *testing.T) {
	a, b := newPipe(t, small)
	n := 0
	for _, err := range b.All(done) {
		is(t, "All", err, conn.ErrEmpty)
		n++
	}
	for _, err := range b.AllBytes(done) {
		is(t, "AllBytes", err, conn.ErrEmpty)
		n++
	}
	if n != 2 {
		t.Errorf("%d errors", n)
	}
	send(t, a, "one", "two", "three")
	for msg := range b.AllBytes(bg) {
		if string(msg) != "one" {
			t.Error(msg)
		}
		break
	}
	func() {
		defer func() { recover() }()
		for range b.AllBytes(bg) {
			panic("in the body")
		}
	}()
	expect(t, b, "three")
}

func (jsonCodec) MarshalAppend(dst []byte, v any) ([]byte, error) {
	b, err := json.Marshal(v)
	return append(dst, b...), err
}
