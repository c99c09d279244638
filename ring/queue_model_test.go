//go:build linux

package ring_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/sluice-ipc/sluice/ring"
	"github.com/sluice-ipc/sluice/shm"
)

// What the model's queue is like: messages of several chunks, of which there are
// always enough, so that only the ring can be full.
const (
	modelCap     = 4
	modelHold    = 3
	modelHandles = 3
	modelChunk   = 16
	modelMessage = 100
)

// A kind is a type of messages, of these lengths.
type kind[T any] struct {
	of    func(b []byte) T
	bytes func(v T) []byte
	size  *rapid.Generator[int]
}

var (
	anyBytes = kind[[]byte]{
		of:    func(b []byte) []byte { return b },
		bytes: func(b []byte) []byte { return b },
		size:  rapid.IntRange(0, modelMessage),
	}
	eightBytes = kind[[8]byte]{
		of:    func(b []byte) [8]byte { return [8]byte(b) },
		bytes: func(v [8]byte) []byte { return v[:] },
		size:  rapid.Just(8),
	}
)

// A fact is a message as the model knows it.
type fact struct {
	no    int // in the order of publishing
	b     []byte
	tries int
}

// A party is a handle, and what it holds.
type party[T any] struct {
	q     ring.JoinableQueue[T]
	open  bool
	held  []ring.Message
	facts []fact // of held
	loans []ring.Loan
	sizes [][]byte // of loans
	tasks []fact   // got and not done, oldest first
	busy  int      // places in use
}

// crowd drives a queue by several handles, and a model of it.
type crowd[T any] struct {
	kind[T]

	joinable bool
	parties  []*party[T]
	ring     []fact // published, oldest first
	orphans  []fact // put back, oldest first
	next     int
	byteNo   byte
	closed   bool // for sending
	puts     int
	done     int // tasks
	requeued int
}

func (c *crowd[T]) some(t *rapid.T) *party[T] {
	return rapid.SampledFrom(c.parties).Draw(t, "party")
}

func (c *crowd[T]) message(t *rapid.T) []byte {
	c.byteNo++
	return bytes.Repeat([]byte{c.byteNo}, c.size.Draw(t, "size"))
}

func (c *crowd[T]) publish(b []byte) {
	c.ring = append(c.ring, fact{c.next, b, 0})
	c.next++
	c.puts++
}

// putError is what a put says now.
func (c *crowd[T]) putError(p *party[T]) error {
	switch {
	case !p.open || c.closed:
		return ring.ErrClosed
	case len(c.ring) == modelCap:
		return ring.ErrFull
	}
	return nil
}

func (c *crowd[T]) put(t *rapid.T) {
	p, b := c.some(t), c.message(t)
	want := c.putError(p)
	if err := p.q.TryPut(c.of(b)); !errors.Is(err, want) {
		t.Fatalf("TryPut = %v, want %v", err, want)
	}
	if want == nil {
		c.publish(b)
	}
}

func (c *crowd[T]) putBatch(t *rapid.T) {
	p := c.some(t)
	var bs [][]byte
	var vs []T
	for range rapid.IntRange(0, 6).Draw(t, "messages") {
		bs = append(bs, c.message(t))
		vs = append(vs, c.of(bs[len(bs)-1]))
	}
	n, err := p.q.TryPutBatch(vs)
	for i, b := range bs {
		want := c.putError(p)
		if want != nil {
			if n != i || i > 0 && err != nil || i == 0 && !errors.Is(err, want) {
				t.Fatalf("TryPutBatch = %d, %v, want %d, %v", n, err, i, want)
			}
			return
		}
		c.publish(b)
	}
	if n != len(vs) || err != nil {
		t.Fatalf("TryPutBatch = %d, %v of %d", n, err, len(vs))
	}
}

// take takes the next message of the model, or says why there is none.
func (c *crowd[T]) take(p *party[T], place bool) (fact, error) {
	switch {
	case !p.open:
		return fact{}, ring.ErrClosed
	case place && p.busy == modelHold:
		return fact{}, ring.ErrTooManyHeld
	case len(c.orphans) > 0:
		f := c.orphans[0]
		c.orphans = c.orphans[1:]
		f.tries++
		return f, nil
	case len(c.ring) > 0:
		f := c.ring[0]
		c.ring = c.ring[1:]
		return f, nil
	case c.closed:
		return fact{}, io.EOF
	}
	return fact{}, ring.ErrEmpty
}

func (c *crowd[T]) got(p *party[T], f fact) {
	if c.joinable {
		p.tasks = append(p.tasks, f)
		p.busy++
	}
}

func (c *crowd[T]) get(t *rapid.T) {
	p := c.some(t)
	v, err := p.q.TryGet()
	f, want := c.take(p, c.joinable)
	if !errors.Is(err, want) || want == nil && !bytes.Equal(c.bytes(v), f.b) {
		t.Fatalf("TryGet = %q, %v; want %q, %v", c.bytes(v), err, f.b, want)
	}
	if want == nil {
		c.got(p, f)
	}
}

func (c *crowd[T]) getBatch(t *rapid.T) {
	p := c.some(t)
	vs := make([]T, rapid.IntRange(1, 6).Draw(t, "room"))
	n, err := p.q.TryGetBatch(vs)
	for i := range max(n, 1) {
		f, want := c.take(p, c.joinable)
		if want != nil {
			if n > 0 || !errors.Is(err, want) {
				t.Fatalf("TryGetBatch = %d, %v; want %v", n, err, want)
			}
			return
		}
		if err != nil || !bytes.Equal(c.bytes(vs[i]), f.b) {
			t.Fatalf("TryGetBatch: message %d of %d is %q, %v; want %q", i, n, c.bytes(vs[i]), err, f.b)
		}
		c.got(p, f)
	}
}

func (c *crowd[T]) takeMessage(t *rapid.T) {
	p := c.some(t)
	m, err := p.q.TryTake()
	f, want := c.take(p, true)
	if !errors.Is(err, want) {
		t.Fatalf("TryTake = %v, want %v", err, want)
	}
	if want == nil {
		p.held, p.facts = append(p.held, m), append(p.facts, f)
		p.busy++
		c.look(t, m, f)
	}
}

func (c *crowd[T]) look(t *rapid.T, m ring.Message, f fact) {
	b, err := m.Append(nil)
	if err != nil || !bytes.Equal(b, f.b) || m.Deliveries() != f.tries {
		t.Fatalf("message %d is %q, %v, delivered %d times; want %q, %d", f.no, b, err, m.Deliveries(), f.b, f.tries)
	}
}

// letGo removes one of the held messages of some party, which may be closed.
func (c *crowd[T]) letGo(t *rapid.T) (m ring.Message, f fact, ok bool) {
	p := c.some(t)
	if len(p.held) == 0 {
		return m, f, false
	}
	i := rapid.IntRange(0, len(p.held)-1).Draw(t, "which")
	m, f = p.held[i], p.facts[i]
	c.look(t, m, f)
	p.held, p.facts = slices.Delete(p.held, i, i+1), slices.Delete(p.facts, i, i+1)
	p.busy--
	return m, f, true
}

func (c *crowd[T]) release(t *rapid.T) {
	if m, _, ok := c.letGo(t); ok {
		if err := m.Release(); err != nil {
			t.Fatal(err)
		}
		c.done++
		if err := m.Requeue(); !errors.Is(err, ring.ErrNotHeld) {
			t.Fatalf("Requeue after Release = %v", err)
		}
	}
}

func (c *crowd[T]) requeue(t *rapid.T) {
	if m, f, ok := c.letGo(t); ok {
		if err := m.Requeue(); err != nil {
			t.Fatal(err)
		}
		c.putBack(f)
	}
}

func (c *crowd[T]) putBack(f fact) {
	c.requeued++
	c.orphans = append(c.orphans, f)
	slices.SortFunc(c.orphans, func(a, b fact) int { return a.no - b.no })
}

func (c *crowd[T]) taskDone(t *rapid.T) {
	p := c.some(t)
	err := p.q.TaskDone()
	switch {
	case !p.open:
		if !errors.Is(err, ring.ErrClosed) {
			t.Fatalf("TaskDone = %v", err)
		}
	case len(p.tasks) == 0:
		if !errors.Is(err, ring.ErrTooManyDone) {
			t.Fatalf("TaskDone = %v", err)
		}
	case err != nil:
		t.Fatal(err)
	default:
		p.tasks = p.tasks[1:]
		p.busy--
		c.done++
	}
}

func (c *crowd[T]) loan(t *rapid.T) {
	p, b := c.some(t), c.message(t)
	var want error
	switch {
	case !p.open || c.closed:
		want = ring.ErrClosed
	case p.busy == modelHold:
		want = ring.ErrTooManyHeld
	}
	o, err := p.q.TryLoan(len(b))
	if !errors.Is(err, want) {
		t.Fatalf("TryLoan = %v, want %v", err, want)
	}
	if want != nil {
		return
	}
	rest := b
	for piece := range o.Pieces() {
		rest = rest[copy(piece, rest):]
	}
	p.loans, p.sizes = append(p.loans, o), append(p.sizes, b)
	p.busy++
}

func (c *crowd[T]) endLoan(t *rapid.T) {
	p := c.some(t)
	if len(p.loans) == 0 {
		return
	}
	i := rapid.IntRange(0, len(p.loans)-1).Draw(t, "which")
	o, b := p.loans[i], p.sizes[i]
	if rapid.Bool().Draw(t, "commit") {
		want := c.putError(p)
		if err := o.TryCommit(); !errors.Is(err, want) {
			t.Fatalf("TryCommit = %v, want %v", err, want)
		}
		if want != nil {
			return // and is as it was
		}
		c.publish(b)
	} else if err := o.Abort(); err != nil {
		t.Fatal(err)
	}
	if err := o.Abort(); !errors.Is(err, ring.ErrNotHeld) {
		t.Fatalf("Abort of what is over = %v", err)
	}
	p.loans, p.sizes = slices.Delete(p.loans, i, i+1), slices.Delete(p.sizes, i, i+1)
	p.busy--
}

func (c *crowd[T]) closeSend(t *rapid.T) {
	if rapid.IntRange(0, 9).Draw(t, "closeSend") > 0 { // not too early
		return
	}
	p := c.some(t)
	if err := p.q.CloseSend(); (err != nil) == p.open {
		t.Fatalf("CloseSend = %v", err)
	}
	c.closed = c.closed || p.open
}

// turn closes a handle, or opens another in its place when it holds nothing.
func (c *crowd[T]) turn(t *rapid.T) {
	p := c.some(t)
	if p.open {
		if p == c.parties[0] { // somebody must stay
			return
		}
		if err := p.q.Close(); err != nil {
			t.Fatal(err)
		}
		p.open = false
		for _, f := range p.tasks {
			c.putBack(f)
			p.busy--
		}
		p.tasks = nil
	} else if p.busy == 0 {
		p.q, p.open = c.attach(), true
	}
}

func (c *crowd[T]) attach() ring.JoinableQueue[T] {
	f := must(c.parties[0].q.Segment().File())
	defer f.Close()
	if c.joinable {
		return must(ring.JoinableQueueFromFile[T](f, nil))
	}
	return ring.JoinableQueue[T]{Queue: must(ring.QueueFromFile[T](f, nil))}
}

// check compares what can be seen from outside.
func (c *crowd[T]) check(t *rapid.T) {
	for i, p := range c.parties {
		if !p.open {
			continue
		}
		depth := len(c.ring) + len(c.orphans)
		if n := p.q.Len(); n != depth || p.q.Empty() != (depth == 0) || p.q.Full() != (len(c.ring) == modelCap) {
			t.Fatalf("party %d: Len = %d, Full = %v; want %d of %d and %d", i, n, p.q.Full(), len(c.ring), modelCap, len(c.orphans))
		}
		s := p.q.Stats()
		if s.Depth != depth || s.Orphans != len(c.orphans) || int(s.Puts) != c.puts || s.Closed != c.closed || int(s.Requeued) != c.requeued {
			t.Fatalf("party %d: %+v", i, s)
		}
		if c.joinable && p.q.Unfinished() != c.puts-c.done {
			t.Fatalf("party %d: %d unfinished, want %d", i, p.q.Unfinished(), c.puts-c.done)
		}
	}
}

// finish gives everything back and sees that nothing has got lost.
func (c *crowd[T]) finish(t *rapid.T) {
	for _, p := range c.parties {
		for _, m := range p.held {
			m.Release()
		}
		for _, o := range p.loans {
			o.Abort()
		}
		if p != c.parties[0] {
			p.q.Close()
		}
	}
	q := c.parties[0].q
	for err := error(nil); err == nil; {
		for q.TaskDone() == nil {
		}
		_, err = q.TryGet()
	}
	if s := q.Stats(); s.FreeChunks != s.Chunks || s.Depth != 0 || len(s.Participants) != 1 {
		t.Fatalf("something is left: %+v\n%s", s, ring.ChunkStates(q.Queue))
	}
	q.Close()
}

// Several handles of a queue behave like a list in memory.
func TestQueueBehavesLikeAList(t *testing.T) {
	for name, start := range queueStarts(modelCap) {
		for _, joinable := range []bool{false, true} {
			t.Run(fmt.Sprintf("bytes, %s, joinable %v", name, joinable), func(t *testing.T) {
				rapid.Check(t, func(rt *rapid.T) { behave(rt, anyBytes, joinable, start) })
			})
			t.Run(fmt.Sprintf("plain, %s, joinable %v", name, joinable), func(t *testing.T) {
				rapid.Check(t, func(rt *rapid.T) { behave(rt, eightBytes, joinable, start) })
			})
		}
	}
}

func behave[T any](rt *rapid.T, k kind[T], joinable bool, start uint64) {
	o := ring.QueueOptions{Capacity: modelCap, Hold: modelHold, ChunkSize: modelChunk, Bytes: 1 << 12, Lanes: 2,
		Segment: shm.Options{MaxParticipants: modelHandles}}.StartAt(start)
	c := &crowd[T]{kind: k, joinable: joinable}
	first := &party[T]{open: true}
	if joinable {
		first.q = must(ring.AnonymousJoinableQueue[T]("model", o))
	} else {
		first.q.Queue = must(ring.AnonymousQueue[T]("model", o))
	}
	c.parties = append(c.parties, first)
	for range modelHandles - 1 {
		c.parties = append(c.parties, &party[T]{q: c.attach(), open: true})
	}
	actions := map[string]func(*rapid.T){
		"": c.check, "put": c.put, "putBatch": c.putBatch, "get": c.get, "getBatch": c.getBatch,
		"take": c.takeMessage, "release": c.release, "requeue": c.requeue, "loan": c.loan,
		"endLoan": c.endLoan, "closeSend": c.closeSend, "turn": c.turn,
	}
	if joinable {
		actions["taskDone"] = c.taskDone
	}
	rt.Repeat(actions)
	c.finish(rt)
}
