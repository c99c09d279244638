package model

// A state is stored as a few words: one for each thread, one for two chunks, and
// two for the rest.

const (
	packedRest  = 2
	maxPacked   = packedRest + maxThreads + maxChunks/2
	chunkPacked = 32 // bits
)

func (m *machine) packedLen() int { return packedRest + m.threads + (m.Chunks+1)/2 }

// A packer appends fields to a word, or takes them off in the opposite order.
type packer uint64

func (p *packer) put(v uint8, width int) { *p = *p<<width | packer(v) }

func (p *packer) flag(b bool) { *p = *p<<1 | packer(b2u(b)) }

func (p *packer) take(width int) uint8 {
	v := uint8(*p & (1<<width - 1))
	*p >>= width
	return v
}

func (p *packer) took() bool { return p.take(1) != 0 }

func (m *machine) pack(s *state, out []uint64) {
	var a, b packer
	for i := range m.Ring {
		a.put(s.ring[i].lap, 3)
		a.put(s.ring[i].st, 2)
		a.put(s.ring[i].c, 3)
	}
	for t := range m.threads {
		a.put(s.taking[t].pos, 4)
		a.put(s.taking[t].c, 3)
		b.put(s.count[t], 3)
	}
	for i := range m.Slots {
		b.put(s.slots[i].st, 2)
		b.put(s.slots[i].inc, 2)
		b.flag(s.slots[i].alive)
	}
	b.put(s.puts, 3)
	b.put(s.kills, 2)
	b.put(s.joins, 2)
	b.flag(s.flag)
	b.flag(s.eof)
	if m.Tasks {
		b.put(s.published, 3)
	} else {
		b.put(0, 3)
	}
	out[0], out[1] = uint64(a), uint64(b)
	for t := range m.threads {
		out[packedRest+t] = packThread(&s.th[t])
	}
	at := packedRest + m.threads
	for c := 0; c < m.Chunks; c += 2 {
		out[at] = packChunk(&s.chunks[c])
		if c+1 < m.Chunks {
			out[at] |= packChunk(&s.chunks[c+1]) << chunkPacked
		}
		at++
	}
}

func (m *machine) unpack(in []uint64, s *state) {
	*s = state{}
	a, b := packer(in[0]), packer(in[1])
	s.published = b.take(3)
	s.eof, s.flag = b.took(), b.took()
	s.joins, s.kills, s.puts = b.take(2), b.take(2), b.take(3)
	for i := len(m.Slots) - 1; i >= 0; i-- {
		s.slots[i].alive = b.took()
		s.slots[i].inc, s.slots[i].st = b.take(2), b.take(2)
	}
	for t := m.threads - 1; t >= 0; t-- {
		s.count[t] = b.take(3)
		s.taking[t].c, s.taking[t].pos = a.take(3), a.take(4)
	}
	for i := m.Ring - 1; i >= 0; i-- {
		s.ring[i].c, s.ring[i].st, s.ring[i].lap = a.take(3), a.take(2), a.take(3)
	}
	for t := range m.threads {
		unpackThread(in[packedRest+t], &s.th[t])
	}
	for c := range m.Chunks {
		unpackChunk(in[packedRest+m.threads+c/2]>>(chunkPacked*(c%2)), &s.chunks[c])
	}
}

func packWord(p *packer, w word) {
	p.put(w.kind, 3)
	p.put(w.slot, 3)
	p.put(w.inc, 2)
	p.put(w.arg, 4)
	p.put(w.tag, 2)
}

func unpackWord(p *packer) word {
	tag, arg, inc, slot, kind := p.take(2), p.take(4), p.take(2), p.take(3), p.take(3)
	return word{kind, slot, inc, arg, tag}
}

func packChunk(ch *chunk) uint64 {
	var p packer
	packWord(&p, ch.word)
	p.put(ch.link, 3)
	p.put(ch.hand, 3)
	p.flag(ch.committed)
	p.flag(ch.given)
	p.flag(ch.counted)
	return uint64(p)
}

func unpackChunk(v uint64, ch *chunk) {
	p := packer(v & (1<<chunkPacked - 1))
	ch.counted, ch.given, ch.committed = p.took(), p.took(), p.took()
	ch.hand, ch.link = p.take(3), p.take(3)
	ch.word = unpackWord(&p)
}

func packThread(th *thread) uint64 {
	var p packer
	p.put(uint8(th.pc), 6)
	p.put(th.c, 3)
	p.put(th.d, 3)
	p.put(th.pos, 4)
	p.put(th.j, 3)
	p.put(th.jinc, 2)
	p.put(th.lane, 1)
	p.put(th.u, 3)
	p.put(th.mask, 6)
	p.put(th.done, 6)
	packWord(&p, th.w)
	for _, b := range []bool{th.scan, th.dead, th.late, th.made, th.fresh, th.now} {
		p.flag(b)
	}
	p.put(th.cur, 4)
	p.put(th.tag, 2)
	return uint64(p)
}

func unpackThread(v uint64, th *thread) {
	p := packer(v)
	th.tag, th.cur = p.take(2), p.take(4)
	for _, b := range []*bool{&th.now, &th.fresh, &th.made, &th.late, &th.dead, &th.scan} {
		*b = p.took()
	}
	th.w = unpackWord(&p)
	th.done, th.mask = p.take(6), p.take(6)
	th.u, th.lane = p.take(3), p.take(1)
	th.jinc, th.j = p.take(2), p.take(3)
	th.pos, th.d, th.c = p.take(4), p.take(3), p.take(3)
	th.pc = pc(p.take(6))
}
