package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// killPeriod is the time from one death to the next, when starting the
// replacement does not take longer.
const killPeriod = 100 * time.Millisecond

// killFloor is the least that a repetition takes: a few deaths.
const killFloor = 550 * time.Millisecond

// A keptEnd is an endpoint whose processes keep ledgers, so that they can be
// killed at any instant and replaced.
type keptEnd interface {
	fanEnd
	produceKept(l producerLedger, who, n int) error
	consumeKept(l *consumerLedger) error
}

// A killing is a pass in which processes are killed.
type killing struct {
	g     *group
	each  int
	audit *audit
	said  chan word
	heard []reply
	over  []bool // whose work is done
	dying []bool
	left  int // producers that are at work
	ended bool
	kills int
	rng   *rand.Rand
}

// runKill is runFan with ledgers, and unless the implementation is unharmed with
// deaths.
func (g *group) runKill(n int, watchdog <-chan time.Time) (pass, error) {
	each := min((n+g.spec.Producers-1)/g.spec.Producers, mostEach(g.spec.Producers))
	all := len(g.procs)
	k := &killing{
		g: g, each: each, audit: g.board.clear(mostEach(g.spec.Producers)),
		said: make(chan word, all), over: make([]bool, all), dying: make([]bool, all),
		left: g.spec.Producers, rng: rand.New(rand.NewPCG(g.at.seed, uint64(g.phase))),
	}
	at, err := g.begin(each)
	if err != nil {
		return pass{}, err
	}
	for _, i := range at {
		go g.hear(i, k.said)
	}
	if err := k.watch(watchdog); err != nil {
		return pass{}, err
	}
	got, err := k.audit.result()
	if err != nil {
		return pass{}, fmt.Errorf("bench: %v: after %d kills: %w", g.spec, k.kills, err)
	}
	p := total(got, k.heard)
	p.kills = k.kills
	p.elapsed = time.Duration(max(latest(k.heard)-int64(g.board.began.Load()), 1))
	return p, nil
}

// watch goes on until all have done their work, and kills meanwhile.
func (k *killing) watch(watchdog <-chan time.Time) error {
	tick := time.NewTicker(killPeriod)
	defer tick.Stop()
	for waiting := len(k.over); waiting > 0; {
		select {
		case w := <-k.said:
			done, err := k.hear(w)
			if err != nil {
				return err
			}
			if done {
				waiting--
			}
		case <-tick.C:
			k.kill()
		case <-watchdog:
			return k.g.silent(k.unfinished())
		}
	}
	return nil
}

// kill ends one of those that are at work, unless some have not begun.
func (k *killing) kill() {
	all := uint32(k.g.phase * len(k.g.procs))
	if k.g.impl.unharmed || k.left == 0 || k.g.board.gathered.Load() < all {
		return
	}
	living := k.unfinished()
	i := living[k.rng.IntN(len(living))]
	if k.dying[i] {
		return // it is slow to go
	}
	if k.g.procs[i].cmd.Process.Kill() == nil {
		k.dying[i] = true
	} // else it died by itself, and its last words are on the way
}

func (k *killing) unfinished() (at []int) {
	for i, over := range k.over {
		if !over {
			at = append(at, i)
		}
	}
	return at
}

// hear handles what one has said, or that it is dead, and reports whether its
// work is done.
func (k *killing) hear(w word) (done bool, err error) {
	if w.err != nil && !k.dying[w.at] {
		return false, w.err
	}
	done = w.err == nil
	if done {
		k.heard = append(k.heard, w.reply)
		k.over[w.at] = true
	}
	if k.dying[w.at] {
		if err := k.replace(w.at); err != nil {
			return done, err
		}
	}
	if side, _ := k.g.position(w.at); done && side == 0 {
		k.left--
	}
	if k.left == 0 && !k.ended && !slices.Contains(k.dying, true) {
		return done, k.dismiss()
	}
	return done, nil
}

// replace buries process i and has another take over its number.
func (k *killing) replace(i int) error {
	g := k.g
	k.dying[i] = false
	k.kills++
	g.procs[i].stop(0)
	side, number := g.position(i)
	k.audit.bury(side, number)
	c, err := g.start(i)
	if err != nil {
		return err
	}
	g.procs[i] = c
	if _, err := c.await(time.After(patience)); err != nil {
		return err
	}
	if k.over[i] {
		return nil
	}
	if err := c.order(order{Do: fanWork[side], N: k.each}); err != nil {
		return err
	}
	go g.hear(i, k.said)
	return nil
}

// dismiss has a producer send the farewells, when all are done and nobody will
// die any more.
func (k *killing) dismiss() error {
	k.ended = true
	c := k.g.procs[0]
	if err := c.order(order{Do: "dismiss", N: k.g.spec.Consumers}); err != nil {
		return err
	}
	_, err := c.await(time.After(patience))
	return err
}
