//go:build linux

package conn_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"testing"

	"github.com/sluice-ipc/sluice/conn"
)

// A codec of the user's own takes the place of CBOR.
func TestCodec(t *testing.T) {
	a, b := newPipe(t, &conn.Options{Codec: jsonCodec{}})
	if err := a.Send(bg, map[string]any{"a": []int{1}}); err != nil {
		t.Fatal(err)
	}
	expect(t, b, `{"a":[1]}`)
	if err := a.Send(bg, []any{42, nil, "hello"}); err != nil {
		t.Fatal(err)
	}
	if v, err := b.Recv(bg); err != nil || !reflect.DeepEqual(v, []any{42.0, nil, "hello"}) {
		t.Error(v, err)
	}
}

type jsonCodec struct{}

func (jsonCodec) Unmarshal(data []byte, ptr any) error { return json.Unmarshal(data, ptr) }

// A codec that panics takes no message hostage.
func TestPanickingCodec(t *testing.T) {
	a, b := newPipe(t, &conn.Options{Size: 4096, Codec: panickingCodec{}})
	for _, n := range []int{10, 3000} {
		sent := make(chan error)
		go func() { sent <- errors.Join(a.SendBytes(bg, make([]byte, n)), a.SendBytes(bg, []byte("next"))) }()
		func() {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			b.Recv(bg)
		}()
		expect(t, b, "next")
		if err := <-sent; err != nil {
			t.Fatal(err)
		}
	}
}

type panickingCodec struct{ jsonCodec }

func (panickingCodec) Unmarshal([]byte, any) error { panic("a bug") }

// P49: what the codec sees is private, so that the other process cannot change
// it between its check and its use.
func TestCodecSeesPrivateMemory(t *testing.T) {
	for _, n := range []int{1, 100, 2000, 3000, 50_000} {
		c := &keepingCodec{}
		a, b := newPipe(t, &conn.Options{Size: 4096, Codec: c})
		want := bytes.Repeat([]byte("x"), n)
		sent := make(chan error)
		go func() { sent <- a.SendBytes(bg, want) }()
		if _, err := b.Recv(bg); err != nil {
			t.Fatal(err)
		}
		if err := <-sent; err != nil {
			t.Fatal(err)
		}
		for _, m := range [][]byte{conn.Memory(a), conn.Memory(b)} {
			for i := 1024 + 1024; i < len(m); i++ {
				m[i] = '!' // a hostile peer
			}
		}
		if !bytes.Equal(c.seen, want) {
			t.Errorf("the codec sees shared memory for %d bytes", n)
		}
	}
}

type keepingCodec struct {
	jsonCodec
	seen []byte
}

func (c *keepingCodec) Unmarshal(data []byte, _ any) error {
	c.seen = data
	return nil
}

// A message that is being decoded stays what it is while others receive.
func TestDecodingIsNotDisturbed(t *testing.T) {
	for _, n := range []int{100, 3000} {
		c := &nosyCodec{}
		a, b := newPipe(t, &conn.Options{Size: 4096, Codec: c})
		sent := make(chan error)
		go func() {
			sent <- errors.Join(a.SendBytes(bg, bytes.Repeat([]byte("x"), n)),
				a.SendBytes(bg, bytes.Repeat([]byte("y"), n)))
		}()
		second := errors.New("not yet")
		c.before = func() { _, second = b.RecvBytes(done) }
		if _, err := b.Recv(bg); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(c.seen, bytes.Repeat([]byte("x"), n)) {
			t.Errorf("the codec sees another message of %d bytes", n)
		}
		if second != nil {
			expect(t, b, string(bytes.Repeat([]byte("y"), n)))
		}
		if err := <-sent; err != nil {
			t.Error(err)
		}
	}
}

// nosyCodec does something before it looks at the message.
type nosyCodec struct {
	jsonCodec
	before func()
	seen   []byte
}

func (c *nosyCodec) Unmarshal(data []byte, _ any) error {
	c.before()
	c.seen = bytes.Clone(data)
	return nil
}
