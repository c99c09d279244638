//go:build linux

package soak_test

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"iter"
	"math/rand/v2"
)

// A message says of itself which one it is, if it is large enough:
//
//	 0  4  CRC-32C of what follows
//	 4  4  length
//	 8  2  epoch
//	10  2  producer
//	12  4  number
//	16     noise, from a place that depends on the number
//
// A tiny one is a tag, and bytes that follow from the tag and the length. Those
// of one length and tag are only counted.
type message struct {
	tiny     bool
	producer int
	number   int
	tag      byte
	size     int
}

const tiny = 16 // sizes below are

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// noise is longer than any message, so that each can begin elsewhere in it.
var noise = func() []byte {
	b := make([]byte, 1<<20+1<<16)
	rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}()

func tagOf(producer, number int) byte { return byte(number*31 + producer*7) }

// fill makes b the message of that producer and number.
func fill(b []byte, epoch, producer, number int) {
	if len(b) < tiny {
		tag := tagOf(producer, number)
		for i := range b {
			b[i] = tag + byte(i*len(b))
		}
		return
	}
	binary.LittleEndian.PutUint32(b[4:], uint32(len(b)))
	binary.LittleEndian.PutUint16(b[8:], uint16(epoch))
	binary.LittleEndian.PutUint16(b[10:], uint16(producer))
	binary.LittleEndian.PutUint32(b[12:], uint32(number))
	at := uint32(number)*2654435761>>16 ^ uint32(producer)<<12
	copy(b[tiny:], noise[at&0xffff:])
	binary.LittleEndian.PutUint32(b, crc32.Checksum(b[4:], castagnoli))
}

// examine checks a message of n bytes that lies in pieces, the first of which
// holds the head of it, and returns which one it is.
func examine(n, epoch int, pieces iter.Seq[[]byte]) (message, error) {
	m := message{size: n}
	var head [tiny]byte
	var first, crc uint32
	have := 0
	for b := range pieces {
		if have == 0 {
			copy(head[:], b)
			if n >= tiny {
				first, b = binary.LittleEndian.Uint32(b), b[4:]
				have = 4
			}
		}
		have += len(b)
		crc = crc32.Update(crc, castagnoli, b)
	}
	if have != n {
		return m, fmt.Errorf("torn: %d bytes of %d", have, n)
	}
	if n < tiny {
		m.tiny, m.tag = true, head[0]
		for i, c := range head[:n] {
			if c != m.tag+byte(i*n) {
				return m, fmt.Errorf("torn: tiny message % x", head[:n])
			}
		}
		return m, nil
	}
	if crc != first {
		return m, fmt.Errorf("torn: %d bytes, head % x: checksum %#x", n, head, crc)
	}
	m.producer = int(binary.LittleEndian.Uint16(head[10:]))
	m.number = int(binary.LittleEndian.Uint32(head[12:]))
	if int(binary.LittleEndian.Uint32(head[4:])) != n || int(binary.LittleEndian.Uint16(head[8:])) != epoch || m.producer >= hands || m.number >= puts {
		return m, fmt.Errorf("of another time: %d bytes, head % x, epoch %d", n, head, epoch)
	}
	return m, nil
}

// word is a message as the ledger knows it. It is not 0.
func (m message) word() uint64 {
	if m.tiny {
		return 3<<62 | uint64(m.tag)
	}
	return 1<<63 | uint64(m.producer)<<32 | uint64(m.number)
}

func messageOf(w uint64) message {
	if w>>62 == 3 {
		return message{tiny: true, tag: byte(w)}
	}
	return message{producer: int(w >> 32 & 0xffff), number: int(w & 0xffffffff)}
}
