package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"time"

	"github.com/sluice-ipc/sluice/internal/sys"
)

// childEnv marks a child and tells it what it is.
const childEnv = "SLUICE_BENCH_CHILD"

// firstFile is the first descriptor that a child inherits.
const firstFile = 3

// A role is what childEnv holds.
type role struct {
	Spec   spec  `json:"spec"`
	Side   int   `json:"side"`
	Number int   `json:"number"` // among those on this side
	Files  int   `json:"files"`  // inherited for the implementation
	Canary bool  `json:"canary"` // and one more before them, the canary's
	Board  bool  `json:"board"`  // likewise, next
	CPU    int   `json:"cpu"`    // where the canary runs; with Canary
	Stay   []int `json:"stay"`   // CPUs to run on; nil: anywhere
}

// An order is a line that the parent writes to a child's standard input.
type order struct {
	Do    string `json:"do"`    // canary, ping, echo, send, recv, produce, consume, dismiss, count
	N     int    `json:"n"`     // messages; of count, nanoseconds
	Phase int    `json:"phase"` // of fan-in and count: passes so far, or 0: begin at once
}

// A reply is a line that a child writes to its standard output. Ready comes
// before the work, of receivers only; the answer to an order comes last.
type reply struct {
	Ready    bool       `json:"ready,omitempty"`
	Err      string     `json:"err,omitempty"`
	Lacking  bool       `json:"lacking,omitempty"` // Err is errors.ErrUnsupported
	Start    int64      `json:"start"`             // the shared clock, ns
	End      int64      `json:"end"`
	CPU      int64      `json:"cpu"`             // ns of this process
	Mallocs  uint64     `json:"mallocs"`         // of this process
	Count    int        `json:"count"`           // messages received, of fan-in
	Sum      uint64     `json:"sum"`             // of their numbers; of count, the last one
	Turns    []int      `json:"turns,omitempty"` // of count, by process
	Trips    *quantiles `json:"trips,omitempty"`
	Sighting *sighting  `json:"sighting,omitempty"`
}

// A child is this process, seen from inside.
type child struct {
	role
	end    endpoint
	canary *canary
	board  *board
	got    tally
	turns  []int
	out    *json.Encoder
}

// runChild is the whole life of a child.
func runChild(env string) int {
	c := &child{out: json.NewEncoder(os.Stdout)}
	orders := make(chan order)
	go readOrders(os.Stdin, orders)
	err := c.prepare(env)
	if err == nil {
		err = c.out.Encode(reply{Ready: true})
	}
	for err == nil {
		o, more := <-orders
		if !more {
			break
		}
		err = c.obey(o)
	}
	if c.end != nil {
		err = firstError(err, c.end.close())
	}
	if err != nil {
		c.out.Encode(reply{Err: err.Error(), Lacking: lacking(err)})
		return 1
	}
	return 0
}

// readOrders passes on what the parent wants. When there is no parent any
// more it ends the process, which may be polling for a peer that is gone too.
func readOrders(from io.Reader, orders chan<- order) {
	in := bufio.NewScanner(from)
	for in.Scan() {
		var o order
		if err := json.Unmarshal(in.Bytes(), &o); err != nil {
			fmt.Fprintf(os.Stderr, "bench: order %q: %v\n", in.Bytes(), err)
			os.Exit(2)
		}
		if o.Do == doLeave {
			close(orders)
			return
		}
		orders <- o
	}
	os.Exit(3)
}

// readyLine is reply{Ready: true}.
const readyLine = `{"ready":true}` + "\n"

// doLeave is the order after which there are no more.
const doLeave = "leave"

// prepare takes up the role: the canary's memory first, then our end.
func (c *child) prepare(env string) error {
	if err := json.Unmarshal([]byte(env), &c.role); err != nil {
		return fmt.Errorf("bench: %s: %w", childEnv, err)
	}
	next := firstFile
	inherited := func(name string) *os.File {
		next++
		return os.NewFile(uintptr(next-1), name)
	}
	if c.Canary {
		m, err := mapShared(inherited("canary"))
		if err != nil {
			return err
		}
		c.canary = newCanary(m)
	}
	if c.Board {
		m, err := mapShared(inherited("board"))
		if err != nil {
			return err
		}
		c.board = boardOver(c.Spec, nil, m)
	}
	var files []*os.File
	for i := range c.Files {
		files = append(files, inherited(fmt.Sprintf("%s-%d", c.Spec.Impl, i)))
	}
	if err := c.bind(c.Stay); err != nil {
		return err
	}
	im := implNamed(c.Spec.Impl)
	if im == nil {
		return fmt.Errorf("bench: no implementation %q", c.Spec.Impl)
	}
	if c.Side > 0 && im.solo {
		c.end = unable{}
		return nil
	}
	end, err := im.open(c.Spec, c.Side, files)
	if err != nil {
		return fmt.Errorf("bench: open %s: %w", c.Spec.Impl, err)
	}
	c.end = end
	return nil
}

// bind moves this process to the given CPUs.
func (c *child) bind(cpus []int) error {
	if cpus == nil {
		return nil
	}
	return sys.SetAffinity(0, cpus)
}

// obey carries out one order and replies.
func (c *child) obey(o order) error {
	if o.Do == "canary" {
		return c.sing()
	}
	rec := newRecorder(1)
	if o.Do == "ping" {
		rec = newRecorder(o.N)
	}
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if o.Do == "echo" || o.Do == "recv" {
		// Not by way of the encoder, whose allocations would count as the
		// work's.
		if _, err := os.Stdout.WriteString(readyLine); err != nil {
			return err
		}
	}
	if o.Phase > 0 && c.board != nil {
		all := o.Phase * (c.Spec.Producers + c.Spec.Consumers)
		if err := c.board.gather(uint32(all)); err != nil {
			return err
		}
	}
	var r reply
	cpu := sys.CPUTime()
	r.Start = sys.Monotonic()
	err := c.work(o, rec)
	r.End = sys.Monotonic()
	r.CPU = int64(sys.CPUTime() - cpu)
	if err != nil {
		return fmt.Errorf("%s: %w", o.Do, err)
	}
	runtime.ReadMemStats(&after)
	r.Mallocs = after.Mallocs - before.Mallocs
	r.Trips = rec.quantiles()
	r.Count, r.Sum, r.Turns = c.got.count, c.got.sum, c.turns
	if end, ok := c.end.(interface{ lasted() time.Duration }); ok { // others did it
		r.End, r.CPU, r.Mallocs = r.Start+int64(end.lasted()), 0, 0
	}
	return c.out.Encode(r)
}

func (c *child) work(o order, rec *recorder) error {
	switch o.Do {
	case "ping":
		return c.end.ping(rec, o.N)
	case "echo":
		return c.end.echo(o.N)
	case "send":
		return c.end.send(o.N)
	case "recv":
		return c.end.recv(o.N)
	case "produce":
		return c.produce(o)
	case "consume":
		return c.consume()
	case "count":
		return c.count(o)
	case "dismiss":
		return c.end.(fanEnd).dismiss(o.N)
	}
	return fmt.Errorf("no such order")
}

// sing is this process's half of the canary, on its own CPU whatever the
// measurement allows itself.
func (c *child) sing() error {
	if err := c.bind([]int{c.CPU}); err != nil {
		return err
	}
	sing := c.canary.lead
	if c.Side > 0 {
		sing = c.canary.follow
	}
	r := reply{Sighting: sing()}
	if err := c.bind(c.Stay); err != nil {
		return err
	}
	return c.out.Encode(r)
}
