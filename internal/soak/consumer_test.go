//go:build linux

package soak_test

import (
	"context"
	"io"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/sluice-ipc/sluice/ring"
)

// A consumer is one goroutine that gets.
type consumer struct {
	*worker
	inbox
	rnd  *rand.Rand
	held []held
	most int // how many it holds at a time
}

// held is a message that was taken and not given back, and its entry.
type held struct {
	m ring.Message
	n int
}

// consume is the role of consumers.
func consume(args []string) int {
	return work(args, func(w *worker, g int, rnd *rand.Rand) {
		c := &consumer{worker: w, inbox: w.ledger.inbox(w.slot*crowd + g), rnd: rnd, most: 1 + rnd.IntN(4)}
		c.count.Store(uint64(c.inbox.next()))
		for c.step() {
		}
		c.doing.Store(leaving)
		for len(c.held) > 0 {
			c.giveBack(0)
		}
	})
}

// step does one thing, and reports whether there may be more.
func (c *consumer) step() bool {
	c.doing.Store(idle)
	if c.ctx.Err() != nil {
		return false
	}
	n := c.rnd.IntN(100)
	switch {
	case len(c.held) >= c.most:
		c.giveBack(c.rnd.IntN(len(c.held)))
		return true
	case c.Gets && n < 50:
		return c.someGet(n)
	}
	c.doing.Store(taking)
	over := c.ledger.end().Load() != 0
	switch {
	case n < 90:
		m, err := c.q.Take(c.ctx)
		return c.take(m, err, over)
	case n < 95:
		m, err := c.q.TryTake()
		return c.take(m, err, over)
	default:
		ctx, cancel := context.WithTimeout(c.ctx, time.Duration(c.rnd.IntN(2000))*time.Microsecond)
		defer cancel()
		m, err := c.q.Take(ctx)
		return c.take(m, err, over)
	}
}

// ended deals with the error of a get. It reports whether to go on.
func (c *consumer) ended(err error) bool {
	if nothing(err) {
		return true
	}
	if err == io.EOF && c.CloseEnd {
		c.ledger.end().Store(1)
		return false
	}
	fail("get: %v", err)
	return false
}

// take holds on to a message. over says that somebody had seen the end before it
// was asked for.
func (c *consumer) take(m ring.Message, err error, over bool) bool {
	if err != nil {
		return c.ended(err)
	}
	if over && m.Deliveries() == 0 {
		fail("a message came behind the end")
	}
	c.doing.Store(reading)
	id, err := examine(m.Len(), c.Epoch, m.Pieces())
	if err != nil {
		fail("Take, deliveries %d: %v", m.Deliveries(), err)
	}
	c.held = append(c.held, held{m, c.add(id, c.incarnation, m.Deliveries(), had)})
	return true
}

// giveBack ends the holding of one message.
func (c *consumer) giveBack(i int) {
	h := c.held[i]
	c.held = slices.Delete(c.held, i, i+1)
	if c.rnd.IntN(200) == 0 && !c.Keep && c.ctx.Err() == nil {
		c.doing.Store(requeuing)
		c.become(h.n, putBack)
		if err := h.m.Requeue(); err != nil {
			fail("Requeue: %v", err)
		}
		return
	}
	c.doing.Store(releasing)
	c.become(h.n, ending)
	if err := h.m.Release(); err != nil {
		fail("Release: %v", err)
	}
	c.become(h.n, finished)
}

// someGet gets messages that are gone from the queue when we see them, or, if
// they are tasks, when they are done.
func (c *consumer) someGet(n int) bool {
	if t, ok := c.q.(tasks); ok {
		return c.task(t)
	}
	c.doing.Store(getting)
	var all [][]byte
	var err error
	if c.Plain && n < 25 {
		c.hand.Store(crowdBatch)
		all, err = c.q.getBatch(c.ctx, crowdBatch)
	} else {
		var b []byte
		c.hand.Store(1)
		if n%2 == 0 {
			b, err = c.q.get(c.ctx)
		} else {
			b, err = c.q.tryGet()
		}
		all = [][]byte{b}
	}
	if err != nil {
		c.hand.Store(0)
		return c.ended(err)
	}
	for i, b := range all {
		c.add(c.whole(b), c.incarnation, unknown, finished)
		c.hand.Store(uint64(len(all) - 1 - i))
	}
	return true
}

// unknown is the number of deliveries of a message that does not tell.
const unknown = 1<<16 - 1

func (c *consumer) whole(b []byte) message {
	id, err := examine(len(b), c.Epoch, slices.Values([][]byte{b}))
	if err != nil {
		fail("Get: %v", err)
	}
	return id
}

// task gets a task and finishes it.
func (c *consumer) task(t tasks) bool {
	b, err := t.get(c.ctx)
	if err != nil {
		return c.ended(err)
	}
	n := c.add(c.whole(b), c.incarnation, unknown, had)
	c.doing.Store(releasing)
	c.become(n, ending)
	if err := t.tasks.TaskDone(); err != nil {
		fail("TaskDone: %v", err)
	}
	c.become(n, finished)
	return true
}
