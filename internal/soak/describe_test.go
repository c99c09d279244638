//go:build linux

package soak_test

import (
	"encoding/binary"
	"fmt"
	"strings"
)

// describe tells what a queue looks like from inside, as docs/format.md has it.
func describe(q port) string {
	var b strings.Builder
	s := q.Stats()
	fmt.Fprintf(&b, "%+v\n", s)
	if q.Segment().Retain() != nil {
		return b.String()
	}
	defer q.Segment().Release()
	d := q.Segment().Data()
	u32 := func(off int) int { return int(binary.NativeEndian.Uint32(d[off:])) }
	u64 := func(off int) uint64 { return binary.NativeEndian.Uint64(d[off:]) }
	up := func(n int) int { return (n + 127) &^ 127 }
	capacity, chunks, slots, lanes := u32(16), u32(20), u32(28), u32(32)
	fmt.Fprintf(&b, "epoch %d, closing %d, items %#x, space %#x, pool %#x, drain %#x\n",
		u32(128), u32(132), u32(256), u32(384), u32(388), u32(392))
	table := 1024
	for i := range slots * lanes {
		if a := u64(table + i*128); a != 0 {
			fmt.Fprintf(&b, "slot %d lane %d takes chunk %d at %d\n", i/lanes, i%lanes, a>>2&(1<<22-1), a>>24)
		}
	}
	words := table + slots*lanes*128
	for i := range min(capacity, 64) {
		w := u64(words + i*8)
		fmt.Fprintf(&b, "word %d: lap %d %s chunk %d\n", i, w>>24,
			[...]string{"empty", "full", "sealed", "?"}[w>>22&3], w&(1<<22-1))
	}
	entries := words + up(capacity*8)
	shown := 0
	for i := range chunks {
		st := u64(entries + i*16)
		if st == 0 {
			continue
		}
		if shown++; shown > 200 {
			b.WriteString("...\n")
			break
		}
		kind := [...]string{"free", "loaned", "queued", "held", "orphan", "part", "discard", "done"}[st>>61]
		fmt.Fprintf(&b, "chunk %d: %s, owner %d.%d, rest %#x, meta %#x\n", i, kind,
			st>>52&(1<<9-1), st>>40&(1<<12-1), st&(1<<40-1), u64(entries+i*16+8))
	}
	return b.String()
}
