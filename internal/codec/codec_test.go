package codec_test

import (
	"bytes"
	"math"
	"math/big"
	"reflect"
	"testing"
	"time"

	"github.com/sluice-ipc/sluice/internal/codec"
)

func TestRoundTrip(t *testing.T) {
	large := new(big.Int).Lsh(big.NewInt(1), 80)
	now := time.Unix(1_700_000_000, 123).UTC()
	for _, tt := range []struct{ in, out any }{
		{nil, nil},
		{true, true},
		{42, int64(42)},
		{uint64(math.MaxUint64), new(big.Int).SetUint64(math.MaxUint64)},
		{large, large},
		{1.5, 1.5},
		{"a\xff", "a\xff"},
		{[]byte{1}, []byte{1}},
		{[]any{1, nil, "x"}, []any{int64(1), nil, "x"}},
		{map[string]int{"a": 1}, map[any]any{"a": int64(1)}},
		{now, now},
	} {
		b, err := codec.CBOR.MarshalAppend([]byte("before"), tt.in)
		if err != nil || !bytes.HasPrefix(b, []byte("before")) {
			t.Errorf("%#v: %q, %v", tt.in, b, err)
			continue
		}
		var got any
		err = codec.CBOR.Unmarshal(b[len("before"):], &got)
		if at, ok := got.(time.Time); ok {
			got = at.UTC()
		}
		if err != nil || !reflect.DeepEqual(got, tt.out) {
			t.Errorf("%#v came out as %#v, %v", tt.in, got, err)
		}
	}
}

// What cannot be encoded leaves what was there before.
func TestEncodeErrorKeepsTheBuffer(t *testing.T) {
	b, err := codec.CBOR.MarshalAppend([]byte("before"), []any{1, make(chan int)})
	if err == nil || string(b) != "before" {
		t.Errorf("%q, %v", b, err)
	}
}

func TestHostileInput(t *testing.T) {
	for name, data := range map[string][]byte{
		"too deep":       append(bytes.Repeat([]byte{0x81}, 300), 0),
		"too long":       {0x9a, 0xff, 0xff, 0xff, 0xff},
		"too many pairs": {0xba, 0xff, 0xff, 0xff, 0xff},
		"same key twice": {0xa2, 1, 1, 1, 2},
		"cut off":        {0x82, 1},
		"more behind":    {1, 2},
		"nothing":        {},
	} {
		var v any
		if err := codec.CBOR.Unmarshal(data, &v); err == nil {
			t.Errorf("%s: decodes to %v", name, v)
		}
	}
}

func TestBufferIsEmpty(t *testing.T) {
	for _, n := range []int{0, 100, 1 << 20} {
		b := codec.GetBuffer()
		if len(b.B) != 0 || cap(b.B) > 64<<10 {
			t.Errorf("%d bytes, room for %d", len(b.B), cap(b.B))
		}
		b.B = append(b.B, make([]byte, n)...)
		b.Free()
	}
}
