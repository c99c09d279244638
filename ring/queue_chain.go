package ring

import (
	"github.com/sluice-ipc/sluice/internal/hook"
	"github.com/sluice-ipc/sluice/internal/mem"
)

// putChain is put for a message that takes several chunks: a head and the parts
// that continue it, each of which names the next.
func (l *lane) putChain(b []byte) status {
	q := l.q
	head, st := l.newChain(len(b))
	if st != done {
		return st
	}
	// By our own list: a peer may write into the links.
	for i, c := range l.chain {
		at := i * q.chunkSize
		n := min(q.chunkSize, len(b)-at)
		hook.At("queue.put.fill")
		mem.Copy(q.bytesOf(c, n), b[at:])
	}
	if st = l.publish(head); st != done {
		l.freeChain(head)
		q.pool.WakeAll()
	}
	return st
}

// newChain returns the head, LOANED to us, of a chain for n bytes whose other
// chunks are parts of it. When there are not enough it gives back what it had.
func (l *lane) newChain(n int) (uint32, status) {
	q := l.q
	if !l.claimChain(q.chunksFor(n, short)) {
		for _, c := range l.chain {
			l.free(c)
		}
		q.pool.WakeAll() // they may be all that another one needs
		return 0, short
	}
	head, tag := l.chain[0], q.tag.Add(1)
	for i, c := range l.chain {
		next := uint32(0)
		if i+1 < len(l.chain) {
			next = l.chain[i+1]
		}
		if i == 0 {
			q.setMeta(c, metaOf(n, 0, next))
			continue
		}
		q.setMeta(c, metaOf(0, 0, next))
		hook.At("queue.chain.part")
		q.setState(c, partOf(q.me, head, tag))
	}
	return head, done
}

// claimChain fills l.chain with n chunks that are LOANED to us, and reports whether
// there were as many. It looks for them in the body of the pool only: what is
// beyond is for messages of one chunk, so that those find room whoever holds what.
func (l *lane) claimChain(n int) bool {
	body := l.q.geo.body()
	l.chain = l.chain[:0]
	for i := range body {
		if c := uint32((int(l.home) + i) % body); l.claim(c) {
			if l.chain = append(l.chain, c); len(l.chain) == n {
				return true
			}
		}
	}
	return false
}

// freeChain frees a chain that is ours, its head last, so that whoever finds a
// part finds its head too.
func (l *lane) freeChain(head uint32) {
	hook.At("queue.chain.discard")
	l.q.setState(head, stateOf(kindDiscard, l.q.me, 0))
	l.freeParts(head)
	l.free(head)
}

// freeParts frees the parts of a chain whose head is ours and says that it is
// being freed. Links may lead anywhere, and are followed as far as they make
// sense.
func (l *lane) freeParts(head uint32) {
	q := l.q
	m := q.meta(head).Load()
	for range q.chunksFor(lengthOf(m), short) - 1 {
		c := nextOf(m)
		if !q.isPart(c, head) {
			return
		}
		m = q.meta(c).Load()
		l.free(c)
	}
}

// isPart reports whether c is a chunk, and continues head.
func (q *queue) isPart(c, head uint32) bool {
	if int(c) >= q.geo.chunks {
		return false
	}
	s := q.state(c).Load()
	return kindOf(s) == kindPart && headOf(s) == head
}

// pieces calls f with the memory of a message that we hold, chunk by chunk, and
// reports whether all of it was there.
func (q *queue) pieces(head uint32, n int, f func(b []byte)) bool {
	if n < 0 || n > q.maxMessage {
		return false
	}
	c := head
	for {
		k := min(n, q.chunkSize)
		f(q.bytesOf(c, k))
		if n -= k; n == 0 {
			return true
		}
		if c = nextOf(q.meta(c).Load()); !q.isPart(c, head) {
			return false
		}
	}
}

// contents appends a message that we hold to dst.
func (q *queue) contents(dst []byte, m taken) ([]byte, error) {
	if !q.pieces(m.c, m.n, func(b []byte) { dst = append(dst, b...) }) {
		return dst, q.corruptMessage(m)
	}
	return dst, nil
}

func (q *queue) corruptMessage(m taken) error {
	return &CorruptError{q.name, "length of a message", m.pos, uint64(m.n)}
}
