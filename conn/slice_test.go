//go:build linux

package conn_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"testing"

	"github.com/sluice-ipc/sluice/conn"
)

// P7: slices of numbers travel as their bytes.
func TestSlicesOfNumbers(t *testing.T) {
	a, b := newPipe(t, small)
	roundTrip(t, a, b, []int8{-1, 0, math.MaxInt8})
	roundTrip(t, a, b, []uint16{1, math.MaxUint16})
	roundTrip(t, a, b, []int32{0, 1, 2, 3, 4})
	roundTrip(t, a, b, []int{math.MinInt, 7})
	roundTrip(t, a, b, []float64{0.5, math.Inf(1)})
	roundTrip(t, a, b, []complex128{1i})
	roundTrip(t, a, b, []struct{ X, Y int32 }{{1, 2}, {3, 4}})
	roundTrip(t, a, b, [][3]uint8{{1, 2, 3}})
	roundTrip(t, a, b, []int64{})
	if err := conn.SendSlice[int32](bg, a, nil); err != nil {
		t.Error(err)
	}
	if got, err := conn.RecvSlice[int32](bg, b); got == nil || len(got) != 0 || err != nil {
		t.Error(got, err)
	}
	if err := conn.SendSlice(bg, a, []int16{0x0102}); err != nil {
		t.Error(err)
	}
	if got, err := b.RecvBytes(bg); err != nil || binary.NativeEndian.Uint16(got) != 0x0102 {
		t.Error(got, err)
	}
}

func roundTrip[T comparable](t *testing.T, a conn.Sender, b conn.Receiver, v []T) {
	t.Helper()
	for range 2 {
		if err := conn.SendSlice(bg, a, v); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := conn.RecvSlice[T](bg, b); err != nil || !slices.Equal(got, v) {
		t.Errorf("RecvSlice: %v, %v, want %v", got, err, v)
	}
	dst := make([]T, len(v)+2)
	n, err := conn.RecvSliceInto(bg, b, dst)
	if err != nil || n != len(v) || !slices.Equal(dst[:n], v) || !slices.Equal(dst[n:], make([]T, 2)) {
		t.Errorf("RecvSliceInto: %v, %v, want %v", dst, err, v)
	}
}

// P14, P16: a message that is no whole number of elements, or of too many, is
// consumed, comes with the error, and leaves the destination alone. (Python
// rounds.)
func TestSlicesThatDoNotFit(t *testing.T) {
	a, b := newPipe(t, small)
	for _, n := range []int{6, 3000 + 2} {
		msg := bytes.Repeat([]byte{7}, n)
		for range 2 {
			go a.SendBytes(bg, msg)
			dst := []int32{1, 2, 3}
			var e *conn.ElementSizeError
			m, err := conn.RecvSliceInto(bg, b, dst)
			if m != 0 || !errors.As(err, &e) || e.Size != 4 || !bytes.Equal(e.Message, msg) {
				t.Errorf("RecvSliceInto of %d bytes = %d, %v", n, m, err)
			}
			if !slices.Equal(dst, []int32{1, 2, 3}) {
				t.Errorf("the destination is %v", dst)
			}
			go a.SendBytes(bg, msg)
			got, err := conn.RecvSlice[int32](bg, b)
			if got != nil || !errors.As(err, &e) || !bytes.Equal(e.Message, msg) {
				t.Errorf("RecvSlice of %d bytes = %v, %v", n, got, err)
			}
		}
	}
	dst := []int32{1, 2, 3}
	if err := conn.SendSlice(bg, a, []int32{4, 5, 6, 7}); err != nil {
		t.Fatal(err)
	}
	var short *conn.BufferTooShortError
	n, err := conn.RecvSliceInto(bg, b, dst)
	if n != 0 || !errors.As(err, &short) || len(short.Message) != 16 || !slices.Equal(dst, []int32{1, 2, 3}) {
		t.Errorf("RecvSliceInto = %d, %v, %v", n, err, dst)
	}
	send(t, a, "next")
	expect(t, b, "next")
}

// Types that mean nothing to another process, or are dangerous to read from
// one, are refused by name.
func TestSlicesOfOtherTypes(t *testing.T) {
	a, b := newPipe(t, small)
	send(t, a, "stays")
	_, ints := conn.RecvSlice[*int](bg, b)
	_, empty := conn.RecvSlice[struct{}](bg, b)
	_, bools := conn.RecvSliceInto(bg, b, []bool{true})
	for name, err := range map[string]error{
		"string":   conn.SendSlice(bg, a, []string{"x"}),
		"struct":   conn.SendSlice(bg, a, []struct{ A, B any }{}),
		"uintptr":  conn.SendSlice(bg, a, []uintptr{1}),
		"*int":     ints,
		"struct{}": empty,
		"bool":     bools,
	} {
		if err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
	expect(t, b, "stays")
}
