package main

import (
	"fmt"
	"math/bits"
	"sync/atomic"

	"github.com/sluice-ipc/sluice/internal/mem"
)

// The ledgers of fanin-kill lie in shared memory and outlive who writes them:
// the one that takes over a dead one's number goes on where its ledger ends.
//
// killBits is how many messages there can be in one pass, and how many bits a
// consumer has, the same number for each producer.
const killBits = 8 << 20

// mostEach is how many messages a producer can send in one pass.
func mostEach(producers int) int { return killBits/producers/64*64 - 1 }

// A producerLedger says which messages a producer has sent: up to done for
// sure, and begun, if that is another, perhaps.
type producerLedger struct{ begun, done *atomic.Uint64 }

func (b *board) producer(number int) producerLedger {
	at := boardProducersAt + number*mem.FalseShare
	return producerLedger{mem.Uint64(b.m.Bytes(), at), mem.Uint64(b.m.Bytes(), at+8)}
}

// A consumerLedger has a bit for each message that was received. The open one
// may have its bit or not, and may come again.
type consumerLedger struct {
	current *atomic.Uint64
	doubles *atomic.Uint64  // messages whose bit was there already
	which   []atomic.Uint64 // the first of them
	bits    []atomic.Uint64
	each    int // words for each producer
}

func (b *board) consumer(number int) *consumerLedger {
	m := b.m.Bytes()
	at := boardConsumersAt + number*mem.FalseShare
	return &consumerLedger{
		current: mem.Uint64(m, at),
		doubles: mem.Uint64(m, at+8),
		which:   mem.Slice[atomic.Uint64](m, at+16, mem.FalseShare/8-2),
		bits:    mem.Slice[atomic.Uint64](m, boardBitsAt+number*killBits/8, killBits/64),
		each:    killBits / b.spec.Producers / 64,
	}
}

func (l *consumerLedger) open(w uint64) { mem.StoreRelease(l.current, w+1) }
func (l *consumerLedger) close()        { mem.StoreRelease(l.current, 0) }

// note sets the bit of message w.
func (l *consumerLedger) note(w uint64) error {
	who, i := whose(w)
	if i >= 64*l.each || (who+1)*l.each > len(l.bits) {
		return fmt.Errorf("message %d of producer %d was never sent", i, who)
	}
	p, bit := &l.bits[who*l.each+i/64], uint64(1)<<(i%64)
	old := p.Load()
	if old&bit != 0 {
		n := l.doubles.Load()
		if n < uint64(len(l.which)) {
			l.which[n].Store(w)
		}
		l.doubles.Store(n + 1)
	}
	mem.StoreRelease(p, old|bit)
	return nil
}

// An audit is what the parent knows of the dead.
type audit struct {
	board     *board
	perhaps   map[uint64]bool // messages that their producers had begun and not finished
	repeated  map[uint64]bool // messages that may be delivered twice
	consumers int             // that died
}

// clear forgets the last pass, in which each producer sent up to so many.
func (b *board) clear(each int) *audit {
	for k := range b.spec.Producers {
		l := b.producer(k)
		l.begun.Store(0)
		l.done.Store(0)
	}
	for k := range b.spec.Consumers {
		l := b.consumer(k)
		l.current.Store(0)
		l.doubles.Store(0)
		for who := range b.spec.Producers {
			words := l.bits[who*l.each : who*l.each+min(each/64+1, l.each)]
			clear(mem.Bytes(words))
		}
	}
	return &audit{b, map[uint64]bool{}, map[uint64]bool{}, 0}
}

// bury reads the ledger of one that has died.
func (a *audit) bury(side, number int) {
	if side == 0 {
		l := a.board.producer(number)
		if i := l.begun.Load(); i != l.done.Load() {
			a.perhaps[numberOf(number, int(i))] = true
		}
		return
	}
	a.consumers++
	l := a.board.consumer(number)
	if w := l.current.Load(); w != 0 {
		a.repeated[w-1] = true
		l.close()
	}
}

// result compares what was sent with what has come, and returns how many
// messages that are.
func (a *audit) result() (got int, err error) {
	b := a.board
	lost, doubled := 0, 0
	for who := range b.spec.Producers {
		begun := int(b.producer(who).begun.Load())
		each := killBits / b.spec.Producers / 64
		for at := range each {
			var once, twice uint64
			for k := range b.spec.Consumers {
				w := b.consumer(k).bits[who*each+at].Load()
				twice |= once & w
				once |= w
			}
			got += bits.OnesCount64(once)
			lost += a.count(who, at, sent(begun, at)&^once, a.perhaps)
			doubled += a.count(who, at, twice, a.repeated)
			if odd := once &^ sent(begun, at); odd != 0 {
				return 0, fmt.Errorf("%w: producer %d sent %d and not %d", errLost, who, begun, at*64+bits.TrailingZeros64(odd))
			}
			if at*64 > begun {
				break
			}
		}
	}
	doubled += a.again()
	if lost > 0 || doubled > 0 {
		err = fmt.Errorf("%w: %d lost, %d doubled without cause", errLost, lost, doubled)
	}
	return got, err
}

// sent is which messages of word number at have been sent, of those from 1 on.
func sent(upTo, at int) uint64 {
	w := ^uint64(0)
	if at == 0 {
		w <<= 1
	}
	if over := at*64 + 63 - upTo; over >= 64 {
		w = 0
	} else if over > 0 {
		w &= ^uint64(0) >> over
	}
	return w
}

// count counts the messages of a word that are not excused.
func (a *audit) count(who, at int, w uint64, excused map[uint64]bool) (n int) {
	for ; w != 0; w &= w - 1 {
		if !excused[numberOf(who, at*64+bits.TrailingZeros64(w))] {
			n++
		}
	}
	return n
}

// again counts the messages that came twice to the same number of consumer, and
// are not excused.
func (a *audit) again() (n int) {
	for k := range a.board.spec.Consumers {
		l := a.board.consumer(k)
		times := int(l.doubles.Load())
		n += times
		for i := range min(times, len(l.which)) {
			if a.repeated[l.which[i].Load()] {
				n--
			}
		}
	}
	return n
}
