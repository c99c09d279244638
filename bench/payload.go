package main

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/sluice-ipc/sluice/internal/mem"
)

const (
	minSize = 8       // the number alone
	maxSize = 1 << 26 // rings and buffers are sized by it

	body = 0x07 // every byte behind the number,
	mark = 0x5a // except the last
)

// A payload makes and checks messages of one size: a number of eight bytes,
// little-endian, then a body whose last byte is the mark.
type payload struct {
	size int
	src  []byte // one message, private to this process
}

func newPayload(size int) payload {
	src := bytes.Repeat([]byte{body}, size)
	if size > minSize {
		src[size-1] = mark
	}
	return payload{size, src}
}

// fill writes message number seq into shared memory, every byte of it. The
// number goes in last: it is written once, and no load meets a half-written
// store.
func (p *payload) fill(dst []byte, seq uint64) {
	if len(dst) <= 256<<10 {
		copy(dst, p.src)
	} else {
		mem.Copy(dst, p.src) // a user's loop over pieces would do as well
	}
	binary.LittleEndian.PutUint64(dst, seq)
}

// number writes the number alone, into private memory that has all the rest.
func number(b []byte, seq uint64) { binary.LittleEndian.PutUint64(b, seq) }

// stamp returns message number seq in private memory, for those that copy it
// from there. It is valid until the next call.
func (p *payload) stamp(seq uint64) []byte {
	binary.LittleEndian.PutUint64(p.src, seq)
	return p.src
}

// good reports whether b is message number seq, reading every byte.
func (p *payload) good(b []byte, seq uint64) bool {
	if len(b) != p.size || binary.LittleEndian.Uint64(b) != seq {
		return false
	}
	return len(b) == minSize || bytes.IndexByte(b[minSize:], mark) == len(b)-minSize-1
}

// wrong describes a message that is not good.
func (p *payload) wrong(b []byte, seq uint64) error {
	if len(b) != p.size {
		return fmt.Errorf("message %d has %d bytes, want %d", seq, len(b), p.size)
	}
	if got := binary.LittleEndian.Uint64(b); got != seq {
		return fmt.Errorf("message %d bears the number %d", seq, got)
	}
	return fmt.Errorf("message %d of %d bytes is damaged", seq, len(b))
}
