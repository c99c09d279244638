package main

import (
	"os"
	"sync/atomic"

	"github.com/sluice-ipc/sluice/internal/cpu"
	"github.com/sluice-ipc/sluice/internal/mem"
	"github.com/sluice-ipc/sluice/internal/sys"
)

// bareImpl is the least that passes a message in shared memory: slots of one
// size with a flag each, polled. Nobody may die, stop or be wrong, nobody can
// sleep, and messages have one length: what a pipe adds, it adds to this.
var bareImpl = &impl{
	name:    "bare",
	benches: []string{benchRTT, benchThroughput},
	waits:   []string{waitSpin},
	share: func(s spec) (*shared, error) {
		return shareMemory("bare", 2*bareLayout(s.Size).bytes)
	},
	open: openBare,
}

// A bareShape is how one direction lies in memory: the reader's count, then the
// slots, each of them a flag and a message.
type bareShape struct {
	slots, stride, bytes int
}

func bareLayout(message int) bareShape {
	stride := roundUp(8+message, mem.CacheLine)
	slots := 4
	for slots < 4096 && 2*slots*stride <= ringSize(message) {
		slots *= 2
	}
	return bareShape{slots, stride, roundUp(mem.FalseShare+slots*stride, os.Getpagesize())}
}

func roundUp(n, to int) int { return (n + to - 1) / to * to }

// bareRing is one end of one direction.
type bareRing struct {
	flags []*atomic.Uint64 // n+1: holds message n
	slots [][]byte
	taken *atomic.Uint64 // messages that the reader is done with, now and then
	pos   uint64         // of the next message
	seen  uint64         // the writer's copy of taken
}

func newBareRing(b []byte, s bareShape, message int) *bareRing {
	r := &bareRing{taken: mem.Uint64(b, 0)}
	for i := range s.slots {
		at := mem.FalseShare + i*s.stride
		r.flags = append(r.flags, mem.Uint64(b, at))
		r.slots = append(r.slots, b[at+8:at+8+message])
	}
	return r
}

// bareEnd writes to one ring and reads from the other.
type bareEnd struct {
	payload
	out, in *bareRing
	m       sys.Mapping
}

func openBare(s spec, side int, files []*os.File) (endpoint, error) {
	m, err := mapShared(files[0])
	if err != nil {
		return nil, err
	}
	b, shape := m.Bytes(), bareLayout(s.Size)
	ring := func(i int) *bareRing {
		return newBareRing(b[i*shape.bytes:][:shape.bytes], shape, s.Size)
	}
	return &bareEnd{newPayload(s.Size), ring(side), ring(1 - side), m}, nil
}

func (e *bareEnd) ping(rec *recorder, n int) error {
	rec.start()
	for i := range uint64(n) {
		e.put(i)
		if err := e.get(i); err != nil {
			return err
		}
		rec.trip()
	}
	rec.stop()
	return nil
}

func (e *bareEnd) echo(n int) error {
	for i := range uint64(n) {
		if err := e.get(i); err != nil {
			return err
		}
		e.put(i)
	}
	return nil
}

func (e *bareEnd) send(n int) error {
	for i := range uint64(n) {
		e.put(i)
	}
	return nil
}

func (e *bareEnd) recv(n int) error {
	for i := range uint64(n) {
		if err := e.get(i); err != nil {
			return err
		}
	}
	return nil
}

// put sends message number i.
func (e *bareEnd) put(i uint64) {
	r := e.out
	for r.pos-r.seen == uint64(len(r.slots)) {
		r.seen = r.taken.Load() //sync:bench-taken acquire: the slots before it may be overwritten
		if r.pos-r.seen == uint64(len(r.slots)) {
			cpu.Pause(1)
		}
	}
	at := r.pos & uint64(len(r.slots)-1)
	e.fill(r.slots[at], i)
	r.pos++
	mem.StoreRelease(r.flags[at], r.pos) //sync:bench-bare release: the slot may be read
}

// get takes message number i and reads every byte of it.
func (e *bareEnd) get(i uint64) error {
	r := e.in
	at := r.pos & uint64(len(r.slots)-1)
	for r.flags[at].Load() != r.pos+1 { //sync:bench-bare acquire: the slot is whole
		cpu.Pause(1)
	}
	if b := r.slots[at]; !e.good(b, i) {
		return e.wrong(b, i)
	}
	r.pos++
	if r.pos&uint64(len(r.slots)/4-1) == 0 {
		mem.StoreRelease(r.taken, r.pos) //sync:bench-taken release: the slots before it have been read
	}
	return nil
}

func (e *bareEnd) close() error { return e.m.Unmap() }
