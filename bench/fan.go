package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// Fan-in: each producer sends the numbers from 1, marked with its own, and
// consumers take what comes. When the last producer has finished it sends a
// farewell to each consumer.
const (
	producerShift = 48
	farewell      = ^uint64(0)
)

// numberOf is what producer who sends as its i-th message.
func numberOf(who, i int) uint64 { return uint64(who)<<producerShift | uint64(i) }

// numberIn reads it from the message.
func numberIn(b []byte) uint64 {
	if len(b) < minSize {
		return 0
	}
	return binary.LittleEndian.Uint64(b)
}

// whose takes a number apart.
func whose(w uint64) (who, i int) {
	return int(w >> producerShift), int(w & (1<<producerShift - 1))
}

// A fanEnd is an endpoint of which there may be many. Its methods are whole
// loops, as those of endpoint.
type fanEnd interface {
	produce(who, n int) error
	dismiss(consumers int) error // sends the farewells
	consume(t *tally) error      // until there is one
}

// A soloFan does the work of all.
type soloFan interface {
	fan(c crew, each int) (tally, error)
}

// A tally is what a consumer has got.
type tally struct {
	last  [maxCrew]int // of each producer
	count int
	sum   uint64
}

// note reports whether w can be the next message.
func (t *tally) note(w uint64) bool {
	who, i := whose(w)
	if who >= maxCrew || i <= t.last[who] {
		return false
	}
	t.last[who] = i
	t.count++
	t.sum += w
	return true
}

// accept counts message b, which it has read whole.
func (p *payload) accept(t *tally, b []byte, w uint64) error {
	if !p.good(b, w) {
		return p.wrong(b, w)
	}
	if !t.note(w) {
		return disorder(w)
	}
	return nil
}

func disorder(w uint64) error {
	who, i := whose(w)
	return fmt.Errorf("message %d of producer %d is out of order", i, who)
}

// runFan exchanges n messages or a few more, so that each producer has the same
// number.
func (g *group) runFan(n int, watchdog <-chan time.Time) (pass, error) {
	c := g.spec.crew()
	each := (n + c.producers - 1) / c.producers
	at, err := g.begin(each)
	if err != nil {
		return pass{}, err
	}
	said, err := g.outcome(at, watchdog)
	if err != nil {
		return pass{}, err
	}
	var got tally
	for _, r := range said {
		got.count += r.Count
		got.sum += r.Sum
	}
	if err := got.check(c.producers, each); err != nil {
		return pass{}, fmt.Errorf("bench: %v: %w", g.spec, err)
	}
	p := total(got.count, said)
	began := said[0].Start
	if g.board != nil {
		began = int64(g.board.began.Load())
	}
	p.elapsed = time.Duration(max(latest(said)-began, 1))
	return p, nil
}

// begin has everybody start, and returns who will answer.
func (g *group) begin(each int) (at []int, err error) {
	g.phase++
	for i, c := range g.procs {
		side, _ := g.position(i)
		if side > 0 && g.impl.solo {
			break
		}
		if err := c.order(order{Do: fanWork[side], N: each, Phase: g.phase}); err != nil {
			return nil, err
		}
		at = append(at, i)
	}
	return at, nil
}

// fanWork is what those on each side do.
var fanWork = [2]string{"produce", "consume"}

// errLost means that what was received is not what was sent.
var errLost = errors.New("messages are lost or doubled")

// check compares with what that many producers have sent.
func (t *tally) check(producers, each int) error {
	var sum uint64
	for who := range producers {
		n := uint64(each)
		sum += n*(n+1)/2 + numberOf(who, 0)*n
	}
	if t.count != producers*each || t.sum != sum {
		return fmt.Errorf("%w: %d of %d, sum %d, want %d", errLost, t.count, producers*each, t.sum, sum)
	}
	return nil
}

// produce is one producer's part of a pass.
func (c *child) produce(o order) error {
	if end, ok := c.end.(soloFan); ok {
		t, err := end.fan(c.Spec.crew(), o.N)
		c.got = t
		return err
	}
	if c.Spec.Bench == benchFanInKill {
		return c.end.(keptEnd).produceKept(c.board.producer(c.Number), c.Number, o.N)
	}
	end := c.end.(fanEnd)
	if err := end.produce(c.Number, o.N); err != nil {
		return err
	}
	if c.board.finished.Add(1) == uint32(o.Phase*c.Spec.Producers) {
		return end.dismiss(c.Spec.Consumers)
	}
	return nil
}

// consume is one consumer's part of a pass.
func (c *child) consume() error {
	if c.Spec.Bench == benchFanInKill {
		return c.end.(keptEnd).consumeKept(c.board.consumer(c.Number))
	}
	c.got = tally{}
	return c.end.(fanEnd).consume(&c.got)
}
