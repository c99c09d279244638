//go:build linux

package soak_test

import (
	"encoding/json"
	"math/rand/v2"

	"github.com/sluice-ipc/sluice/ring"
	"github.com/sluice-ipc/sluice/shm"
)

// A plan is one way to soak a queue. Children get it as JSON.
type plan struct {
	Name  string // of the plan
	Queue string // name of the segment
	Seed  uint64
	Epoch int

	Capacity, ChunkSize, Bytes, Hold, Lanes int

	Slots   int // participants that there is room for
	Crowd   int // goroutines of each process
	Largest int // bytes of a message
	Spin    ring.Spin

	Plain    bool // a queue of arrays, which has true batches
	Joinable bool
	Drop     bool // the oldest, when the queue is full
	Gets     bool // consumers Get, too
	Stops    bool // processes are stopped for a while
	CloseEnd bool // epochs end with CloseSend, so that there is one
	Keep     bool // consumers do not Requeue; deaths alone make orphans
}

// plans are gone through in turn.
var plans = []plan{
	{Name: "bytes"},
	{Name: "bytes, stopped", Stops: true, Crowd: 3, CloseEnd: true},
	{Name: "two at a time", Capacity: 2, Bytes: 2 << 20, Crowd: 2, Stops: true},
	{Name: "batches", Plain: true, ChunkSize: 64, Gets: true, Capacity: 4096},
	{Name: "tasks", Joinable: true, Stops: true, Crowd: 2},
	{Name: "gets", Gets: true, Crowd: 3, Lanes: 1, CloseEnd: true},
	{Name: "few chunks", Bytes: 1 << 20, Capacity: 64, Slots: crew*2 + 2, Hold: 8},
	{Name: "drop oldest", Drop: true, Capacity: 128, Crowd: 2},
	{Name: "tasks, got", Joinable: true, Gets: true, CloseEnd: true},
	{Name: "one at a time", Plain: true, ChunkSize: 64, Capacity: 1, Spin: ring.SpinNever, Stops: true},
	{Name: "small chunks", ChunkSize: 100, Bytes: 1 << 20, Largest: 1 << 16, Stops: true},
}

// withDefaults fills in what a plan leaves open.
func (p plan) withDefaults() plan {
	def := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	def(&p.Capacity, 1024)
	def(&p.ChunkSize, 4096)
	def(&p.Bytes, 16<<20)
	if p.Plain {
		p.Bytes = p.Capacity * p.ChunkSize
	}
	def(&p.Hold, 16)
	def(&p.Lanes, 4)
	def(&p.Slots, 24)
	def(&p.Crowd, 1)
	def(&p.Largest, 1<<20)
	return p
}

func (p *plan) options(label string) *ring.QueueOptions {
	o := &ring.QueueOptions{
		Capacity: p.Capacity, ChunkSize: p.ChunkSize, Bytes: p.Bytes,
		Hold: p.Hold, Lanes: p.Lanes, Spin: p.Spin,
		Segment: shm.Options{MaxParticipants: p.Slots, Label: label},
	}
	if p.Drop {
		o.WhenFull = ring.DropOldest
	}
	return o
}

func (p *plan) encode() string {
	b, err := json.Marshal(p)
	if err != nil {
		panic(err)
	}
	return string(b)
}

func decodePlan(s string) *plan {
	p := new(plan)
	if err := json.Unmarshal([]byte(s), p); err != nil {
		fail("%v", err)
	}
	return p
}

// size picks the size of a message: most are small, a few as large as can be.
func (p *plan) size(rnd *rand.Rand) int {
	upTo := func(n int) int { return rnd.IntN(min(n, p.Largest) + 1) }
	switch n := rnd.IntN(1000); {
	case p.Plain:
		return len(cell{})
	case n < 50:
		return rnd.IntN(tiny)
	case n < 750:
		return upTo(200)
	case n < 950:
		return upTo(p.ChunkSize)
	case n < 992:
		return upTo(64 << 10)
	}
	return max(1, p.Largest-rnd.IntN(p.Largest))
}
