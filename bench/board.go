package main

import (
	"fmt"
	"os"
	"sync/atomic"

	"github.com/sluice-ipc/sluice/internal/mem"
	"github.com/sluice-ipc/sluice/internal/sys"
)

// What all processes of a fan-in share, whatever they send through:
//
//	offset  size  written by     field
//	     0     4  everybody      gathered: how many have come to the start, of all passes
//	   128     4  producers      finished: likewise, to the end
//	   256     8  the last one   began: when all had come, on the shared clock
//	   512   128  its producer   a ledger for each of eight
//	  1536   128  its consumer   likewise
//	  4096     …  its consumer   a bit for each message, of fanin-kill
const (
	boardFinishedAt  = 128
	boardBeganAt     = 256
	boardProducersAt = 512
	boardConsumersAt = boardProducersAt + maxCrew*mem.FalseShare
	boardBitsAt      = 4096
)

// A board is one process's view of that memory.
type board struct {
	f        *os.File // the parent's
	m        sys.Mapping
	gathered *atomic.Uint32
	finished *atomic.Uint32
	began    *atomic.Uint64
	spec     spec
}

// newBoard makes one, in the parent.
func newBoard(s spec) (*board, error) {
	f, err := newMemory("board", boardSize(s))
	if err != nil {
		return nil, err
	}
	m, err := sys.Map(int(f.Fd()), int64(boardSize(s)))
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("bench: %w", err)
	}
	return boardOver(s, f, m), nil
}

func boardSize(s spec) int {
	if s.Bench != benchFanInKill {
		return boardBitsAt
	}
	return boardBitsAt + s.Consumers*killBits/8
}

func boardOver(s spec, f *os.File, m sys.Mapping) *board {
	b := m.Bytes()
	return &board{
		f: f, m: m, spec: s,
		gathered: mem.Uint32(b, 0),
		finished: mem.Uint32(b, boardFinishedAt),
		began:    mem.Uint64(b, boardBeganAt),
	}
}

// gather waits until as many have come. Whoever comes last says when that was.
func (b *board) gather(target uint32) error {
	if b.gathered.Add(1) == target {
		b.began.Store(uint64(sys.Monotonic()))
		_, err := sys.FutexWake(mem.Raw(b.gathered), 2*maxCrew)
		return err
	}
	for {
		n := b.gathered.Load()
		if n >= target {
			return nil
		}
		if err := sys.FutexWait(mem.Raw(b.gathered), n, 0); err != nil {
			return fmt.Errorf("bench: wait for the start: %w", err)
		}
	}
}

// close gives up the parent's view.
func (b *board) close() {
	if b != nil {
		b.m.Unmap()
		b.f.Close()
	}
}
