package main

import (
	"fmt"
	"os"
	"sync/atomic"

	"github.com/sluice-ipc/sluice/internal/mem"
	"github.com/sluice-ipc/sluice/internal/sys"
)

// memcpyImpl is the rate at which one processor copies 1 MiB, from private
// memory to private memory: what no message can be passed faster than.
var memcpyImpl = &impl{
	name:    "memcpy",
	benches: []string{benchThroughput},
	waits:   []string{waitSpin},
	solo:    true,
	only:    []int{1 << 20},
	open:    openMemcpy,
}

type memcpy struct {
	unable
	payload
	dst []byte
}

func openMemcpy(s spec, side int, files []*os.File) (endpoint, error) {
	return &memcpy{payload: newPayload(s.Size), dst: make([]byte, s.Size)}, nil
}

// send copies as the pipe's writer does, in the pieces that are fastest.
func (m *memcpy) send(n int) error {
	for i := range uint64(n) {
		m.fill(m.dst, i)
	}
	if n > 0 && !m.good(m.dst, uint64(n-1)) {
		return m.wrong(m.dst, uint64(n-1))
	}
	return nil
}

// futexImpl passes a bare number to and fro and sleeps in the kernel for it.
var futexImpl = &impl{
	name:    "futex",
	benches: []string{benchRTT},
	waits:   []string{waitBlock},
	only:    []int{8},
	share: func(s spec) (*shared, error) {
		return shareMemory("futex", os.Getpagesize())
	},
	open: openFutex,
}

// futexEnd is a word to change and a word to wait for. Both begin at 0; each
// turn adds 1 to both, ours first or last.
type futexEnd struct {
	unable
	out, in *atomic.Uint32
	turn    uint32
	m       sys.Mapping
}

func openFutex(s spec, side int, files []*os.File) (endpoint, error) {
	m, err := mapShared(files[0])
	if err != nil {
		return nil, err
	}
	b := m.Bytes()
	out, in := side*mem.FalseShare, (1-side)*mem.FalseShare
	return &futexEnd{out: mem.Uint32(b, out), in: mem.Uint32(b, in), m: m}, nil
}

func (e *futexEnd) ping(rec *recorder, n int) error {
	rec.start()
	for range n {
		e.turn++
		if err := firstError(e.pass(), e.await()); err != nil {
			return err
		}
		rec.trip()
	}
	rec.stop()
	return nil
}

func (e *futexEnd) echo(n int) error {
	for range n {
		e.turn++
		if err := firstError(e.await(), e.pass()); err != nil {
			return err
		}
	}
	return nil
}

// pass takes our part of the turn and wakes the peer.
func (e *futexEnd) pass() error {
	e.out.Store(e.turn) //sync:bench-futex release: our part of the turn is over
	_, err := sys.FutexWake(mem.Raw(e.out), 1)
	return err
}

// await sleeps until the peer has taken its part of the turn.
func (e *futexEnd) await() error {
	for {
		got := e.in.Load() //sync:bench-futex acquire: the peer's part is over
		if got == e.turn {
			return nil
		}
		if err := sys.FutexWait(mem.Raw(e.in), got, 0); err != nil {
			return fmt.Errorf("bench: wait for turn %d: %w", e.turn, err)
		}
	}
}

func (e *futexEnd) close() error { return e.m.Unmap() }
