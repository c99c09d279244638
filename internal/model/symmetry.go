package model

import "cmp"

// A perm renames slots: slot i becomes perm[i].
type perm []uint8

// permutations are the renamings of slots among those that have the same lanes.
func (m *machine) permutations() []perm {
	var list []perm
	var extend func(p perm, used uint8)
	extend = func(p perm, used uint8) {
		i := len(p)
		if i == len(m.Slots) {
			list = append(list, append(perm(nil), p...))
			return
		}
		for k := range m.Slots {
			if !in(used, k) && m.Slots[k] == m.Slots[i] {
				extend(append(p, uint8(k)), used|1<<k)
			}
		}
	}
	extend(nil, 0)
	return list
}

// canon renames equal participants and all chunks, so that states that differ in
// names alone become one, and returns which renaming of slots that was. Every scan
// of the model goes in any order, so names mean nothing to it. Where the keys do not tell
// two names apart they are left as they are: that costs states, not truth.
func (m *machine) canon(s *state) int {
	for t := range m.threads {
		if s.th[t].pc >= repTake {
			m.settle(s, t)
		}
	}
	if m.named {
		return 0
	}
	k := m.bestPerm(s)
	if k != 0 {
		m.renameSlots(s, m.perms[k])
	}
	m.sortChunks(s)
	return k
}

// bestPerm chooses the renaming that puts the participants' keys in order.
func (m *machine) bestPerm(s *state) int {
	if len(m.perms) == 1 {
		return 0
	}
	var keys [maxThreads]uint64
	for i := range m.Slots {
		keys[i] = m.slotKey(s, i)
	}
	best := 0
	var bestKeys [maxThreads]uint64
	for k, p := range m.perms {
		var ks [maxThreads]uint64
		for i, to := range p {
			ks[to] = keys[i]
		}
		if k == 0 || less(ks, bestKeys) {
			best, bestKeys = k, ks
		}
	}
	return best
}

func less(a, b [maxThreads]uint64) bool {
	for i := range a {
		if a[i] != b[i] {
			return a[i] < b[i]
		}
	}
	return false
}

// slotKey is what distinguishes a participant without naming others or chunks.
func (m *machine) slotKey(s *state, i int) uint64 {
	sl := &s.slots[i]
	key := uint64(sl.st)<<1 | b2u(sl.alive)
	key = key<<2 | uint64(sl.inc)
	for l := range len(m.Slots[i]) {
		t := int(m.first[i]) + l
		th := &s.th[t]
		one := uint64(th.pc)
		one = one<<4 | uint64(th.pos)
		one = one<<3 | uint64(th.w.kind)
		one = one<<4 | uint64(th.cur)
		one = one<<1 | b2u(th.fresh)
		one = one<<1 | b2u(th.now)
		one = one<<1 | b2u(th.late)
		one = one<<1 | b2u(th.made)
		one = one<<1 | b2u(th.dead)
		one = one<<1 | b2u(th.c != 0)
		one = one<<4 | uint64(s.taking[t].pos)
		one = one<<1 | b2u(s.taking[t].c != 0)
		one = one<<3 | uint64(s.count[t])
		key = key*0x9e3779b97f4a7c15 ^ one
	}
	return key
}

func b2u(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

func (m *machine) renameSlots(s *state, p perm) {
	o := *s
	slotRef := func(r *uint8) {
		if *r != 0 && int(*r) <= len(p) { // not one who left before the start
			*r = p[*r-1] + 1
		}
	}
	var to [maxThreads]uint8 // threads
	for i := range m.Slots {
		s.slots[p[i]] = o.slots[i]
		for l := range len(m.Slots[i]) {
			t := m.first[i] + uint8(l)
			to[t] = m.first[p[i]] + uint8(l)
			s.th[to[t]], s.taking[to[t]], s.count[to[t]] = o.th[t], o.taking[t], o.count[t]
		}
	}
	for t := range m.threads {
		th := &s.th[t]
		slotRef(&th.j)
		slotRef(&th.w.slot)
		if th.u != 0 {
			th.u = to[th.u-1] + 1
		}
		switch th.pc {
		case repLook, repLookSlot:
			th.mask = renameMask(th.mask, to[:m.threads])
		case eofSlots:
			th.mask = renameMask(th.mask, p)
		}
	}
	for c := range m.Chunks {
		slotRef(&s.chunks[c].slot)
		if h := &s.chunks[c].hand; *h != 0 {
			*h = to[*h-1] + 1
		}
	}
}

func renameMask(mask uint8, to []uint8) uint8 {
	var out uint8
	for i, k := range to {
		if in(mask, i) {
			out |= 1 << k
		}
	}
	return out
}

// sortChunks renames the chunks in the order of their keys.
func (m *machine) sortChunks(s *state) {
	var keys [maxChunks]uint64
	m.chunkKeys(s, &keys)
	var order, to [maxChunks]uint8
	moved := false
	for c := range m.Chunks {
		k := c
		for ; k > 0 && cmp.Less(keys[c], keys[order[k-1]]); k-- {
			order[k] = order[k-1]
			moved = true
		}
		order[k] = uint8(c)
	}
	if !moved {
		return
	}
	for k := range m.Chunks {
		to[order[k]] = uint8(k)
	}
	m.renameChunks(s, to[:m.Chunks])
}

// chunkKeys are what distinguishes chunks: their words, and who refers to them.
func (m *machine) chunkKeys(s *state, keys *[maxChunks]uint64) {
	for c := range m.Chunks {
		ch := &s.chunks[c]
		key := uint64(ch.kind)<<3 | uint64(ch.slot)
		key = key<<2 | uint64(ch.inc)
		arg := ch.arg
		if ch.kind == part {
			arg = 0
		}
		key = key<<4 | uint64(arg)
		key = key<<2 | uint64(ch.tag)
		key = key<<3 | uint64(ch.hand)
		key = key<<3 | b2u(ch.committed)<<2 | b2u(ch.given)<<1 | b2u(ch.link != 0)
		keys[c] = key << 32
	}
	refer := func(ref uint8, bit int) {
		if ref != 0 {
			keys[ref-1] |= 1 << bit
		}
	}
	for i := range m.Ring {
		refer(s.ring[i].c, i)
	}
	for t := range m.threads {
		refer(s.taking[t].c, 2+t)
		refer(s.th[t].c, 8+t)
		refer(s.th[t].d, 14+t)
	}
	for c := range m.Chunks {
		refer(s.chunks[c].link, 20+c%2)
	}
}

func (m *machine) renameChunks(s *state, to []uint8) {
	ref := func(r *uint8) {
		if *r != 0 {
			*r = to[*r-1] + 1
		}
	}
	old := s.chunks
	for c := range m.Chunks {
		ch := old[c]
		ref(&ch.link)
		if ch.kind == part {
			ref(&ch.arg)
		}
		s.chunks[to[c]] = ch
	}
	for i := range m.Ring {
		ref(&s.ring[i].c)
	}
	for t := range m.threads {
		th := &s.th[t]
		ref(&s.taking[t].c)
		ref(&th.c)
		ref(&th.d)
		if th.w.kind == part {
			ref(&th.w.arg)
		}
		th.done = renameMask(th.done, to)
		switch th.pc {
		case adopt, eofOrphans, repParts, repHead, repCut:
			th.mask = renameMask(th.mask, to)
		}
	}
}
