package main

import (
	"bytes"
	"testing"
)

func TestPayloadNoticesEveryChangedByte(t *testing.T) {
	for _, size := range []int{8, 9, 64, 1000} {
		p := newPayload(size)
		msg := make([]byte, size)
		p.fill(msg, 41)
		if !p.good(msg, 41) {
			t.Fatalf("%d bytes: %v", size, p.wrong(msg, 41))
		}
		if !bytes.Equal(p.stamp(41), msg) {
			t.Errorf("%d bytes: stamp and fill differ", size)
		}
		if p.good(msg, 42) || p.good(msg[:size-1], 41) {
			t.Errorf("%d bytes: a wrong number or length is good", size)
		}
		for i := range msg { // the mark in the wrong place: every byte is looked at
			was := msg[i]
			msg[i] = mark
			if i < size-1 && p.good(msg, 41) {
				t.Errorf("%d bytes: a change at %d is not noticed", size, i)
			}
			msg[i] = was
		}
		if size > minSize {
			msg[size-1] = body
			if p.good(msg, 41) {
				t.Errorf("%d bytes: the mark is not missed", size)
			}
		}
	}
}

func TestPayloadFillsLargeMessagesWhole(t *testing.T) {
	p := newPayload(1<<20 + 24)
	msg := make([]byte, p.size)
	p.fill(msg, 7)
	if !p.good(msg, 7) {
		t.Fatal(p.wrong(msg, 7))
	}
	if n := bytes.Count(msg[minSize:], []byte{body}); n != p.size-minSize-1 {
		t.Errorf("%d bytes of body, want %d", n, p.size-minSize-1)
	}
}
