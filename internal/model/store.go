package model

import "hash/maphash"

// push puts v at index i, the end, of a paged list.
func push(pages *[][]uint32, i int, v uint32) {
	if i>>pageBits == len(*pages) {
		*pages = append(*pages, make([]uint32, pageLen))
	}
	(*pages)[i>>pageBits][i%pageLen] = v
}

func at(pages [][]uint32, i int) uint32 { return pages[i>>pageBits][i%pageLen] }

func (x *explorer) packed(id int) []uint64 {
	return x.pages[id>>pageBits][id%pageLen*x.width:][:x.width]
}

func (x *explorer) load(id int, s *state) { x.m.unpack(x.packed(id), s) }

// add returns the index of a state, which is new or known.
func (x *explorer) add(s *state) int {
	id, at, hash := x.probe(s)
	if id >= 0 {
		return id
	}
	if x.n>>pageBits == len(x.pages) {
		x.pages = append(x.pages, make([]uint64, pageLen*x.width))
	}
	copy(x.packed(x.n), x.key[:])
	push(&x.parent, x.n, uint32(x.from))
	x.n++
	x.table[at] = hash<<32 | uint64(x.n)
	if x.n*8 > len(x.table)*5 {
		x.grow()
	}
	return x.n - 1
}

// find returns the index of a state, or -1.
func (x *explorer) find(s *state) int {
	id, _, _ := x.probe(s)
	return id
}

// probe packs a state and looks it up: its index, or -1 and where it belongs.
func (x *explorer) probe(s *state) (id, at int, hash uint64) {
	x.m.pack(s, x.key[:])
	mask := len(x.table) - 1
	hash = maphash.Comparable(x.seed, x.key) & (1<<32 - 1)
	for at = int(hash) & mask; x.table[at] != 0; at = (at + 1) & mask {
		if e := x.table[at]; e>>32 == hash && same(x.packed(int(uint32(e)-1)), x.key[:x.width]) {
			return int(uint32(e) - 1), at, hash
		}
	}
	return -1, at, hash
}

func same(a, b []uint64) bool {
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

func (x *explorer) grow() {
	old := x.table
	x.table = make([]uint64, 2*len(old))
	mask := len(x.table) - 1
	for _, e := range old {
		if e == 0 {
			continue
		}
		at := int(e>>32) & mask
		for x.table[at] != 0 {
			at = (at + 1) & mask
		}
		x.table[at] = e
	}
}
