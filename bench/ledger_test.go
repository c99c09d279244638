package main

import (
	"errors"
	"math/bits"
	"testing"
)

// ledgers makes a board that nobody else sees.
func ledgers(t *testing.T, producers, consumers int) *board {
	t.Helper()
	s := spec{benchFanInKill, "queue", waitBlock, 64, producers, consumers}
	b, err := newBoard(s)
	if lacking(err) {
		t.Skipf("missing: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.close)
	return b
}

// received has the consumers take turns at what the producers have sent.
func received(t *testing.T, b *board, each int) *audit {
	t.Helper()
	a := b.clear(mostEach(b.spec.Producers))
	for who := range b.spec.Producers {
		b.producer(who).begun.Store(uint64(each))
		b.producer(who).done.Store(uint64(each))
		for i := 1; i <= each; i++ {
			take(t, b.consumer((who+i)%b.spec.Consumers), numberOf(who, i))
		}
	}
	return a
}

func take(t *testing.T, l *consumerLedger, w uint64) {
	t.Helper()
	l.open(w)
	if err := l.note(w); err != nil {
		t.Fatal(err)
	}
	l.close()
}

// forget takes back that a message came.
func forget(b *board, w uint64) {
	who, i := whose(w)
	for k := range b.spec.Consumers {
		l := b.consumer(k)
		l.bits[who*l.each+i/64].And(^(uint64(1) << (i % 64)))
	}
}

func TestAuditAcceptsWhatIsRight(t *testing.T) {
	for _, each := range []int{1, 63, 64, 65, 200} {
		b := ledgers(t, 3, 2)
		if got, err := received(t, b, each).result(); err != nil || got != 3*each {
			t.Errorf("%d each: %d, %v", each, got, err)
		}
	}
}

func TestAuditReachesToTheEnd(t *testing.T) {
	b := ledgers(t, 3, 1)
	each := mostEach(3)
	a := received(t, b, 1)
	l := b.consumer(0)
	for who := range 3 {
		b.producer(who).begun.Store(uint64(each))
		b.producer(who).done.Store(uint64(each))
		for at := range l.each {
			l.bits[who*l.each+at].Store(sent(each, at))
		}
	}
	if got, err := a.result(); err != nil || got != 3*each {
		t.Errorf("%d, %v", got, err)
	}
	forget(b, numberOf(2, each))
	if _, err := a.result(); !errors.Is(err, errLost) {
		t.Errorf("the very last is lost: %v", err)
	}
	if got := b.clear(each).all(); got != 0 {
		t.Errorf("%d messages after everything was forgotten", got)
	}
}

// all is how many messages the consumers have.
func (a *audit) all() (n int) {
	for k := range a.board.spec.Consumers {
		for i := range a.board.consumer(k).bits {
			n += bits.OnesCount64(a.board.consumer(k).bits[i].Load())
		}
	}
	return n
}

func TestAuditFindsEveryLossAndDouble(t *testing.T) {
	for name, spoil := range map[string]func(b *board){
		"the first is lost":          func(b *board) { forget(b, numberOf(0, 1)) },
		"the last is lost":           func(b *board) { forget(b, numberOf(1, 130)) },
		"doubled at another":         func(b *board) { both(t, b, numberOf(1, 64)) },
		"doubled at the same":        func(b *board) { take(t, b.consumer(1), numberOf(0, 1)) },
		"never sent":                 func(b *board) { take(t, b.consumer(0), numberOf(0, 131)) },
		"never sent, another's word": func(b *board) { take(t, b.consumer(0), numberOf(1, 250)) },
	} {
		b := ledgers(t, 2, 2)
		a := received(t, b, 130)
		spoil(b)
		if _, err := a.result(); !errors.Is(err, errLost) {
			t.Errorf("%s: %v", name, err)
		}
	}
	l := ledgers(t, 2, 1).consumer(0)
	for _, w := range []uint64{numberOf(2, 1), numberOf(0, mostEach(2)+1)} {
		if l.note(w) == nil {
			t.Errorf("message %x is accepted", w)
		}
	}
}

func both(t *testing.T, b *board, w uint64) {
	for k := range b.spec.Consumers {
		take(t, b.consumer(k), w)
	}
}

func TestAuditExcusesWhatDeathsExplain(t *testing.T) {
	b := ledgers(t, 2, 2)
	a := received(t, b, 130)
	forget(b, numberOf(0, 130))
	b.producer(0).done.Store(129) // died while it sent the last
	a.bury(0, 0)
	b.consumer(1).open(numberOf(1, 7)) // died with this one
	a.bury(1, 1)
	both(t, b, numberOf(1, 7))
	if got, err := a.result(); err != nil || got != 259 {
		t.Errorf("%d, %v", got, err)
	}
	// And nothing else.
	forget(b, numberOf(0, 129))
	if _, err := a.result(); !errors.Is(err, errLost) {
		t.Errorf("a loss beside it: %v", err)
	}
}

func TestSentIsFromOneOn(t *testing.T) {
	for _, tt := range []struct {
		upTo, at int
		want     uint64
	}{
		{0, 0, 0}, {1, 0, 2}, {63, 0, ^uint64(1)}, {64, 0, ^uint64(1)}, {63, 1, 0}, {64, 1, 1}, {127, 1, ^uint64(0)},
	} {
		if got := sent(tt.upTo, tt.at); got != tt.want {
			t.Errorf("up to %d, word %d: %x, want %x", tt.upTo, tt.at, got, tt.want)
		}
	}
}
