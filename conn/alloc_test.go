//go:build linux

package conn_test

import (
	"io"
	"testing"

	"github.com/sluice-ipc/sluice/conn"
	"github.com/sluice-ipc/sluice/internal/race"
)

// The byte paths allocate nothing.
func TestNoAllocations(t *testing.T) {
	if race.Enabled {
		t.Skip("needs a build without the race detector, which allocates")
	}
	a, b := newPipe(t, small)
	buf, ints := make([]byte, 1000), make([]int32, 250)
	batch := [][]byte{buf[:8], buf[:9], nil}
	must0 := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, f := range map[string]func(){
		"SendBytes and RecvBytesInto": func() {
			must0(a.SendBytes(bg, buf))
			must(b.RecvBytesInto(bg, buf))
		},
		"TrySendBytes and TryRecvBytesInto": func() {
			must0(a.TrySendBytes(buf))
			must(b.TryRecvBytesInto(buf))
		},
		"Reserve, Commit, Peek and Release": func() {
			must(a.Reserve(bg, 100))
			must0(a.Commit(100))
			must(b.Peek(bg))
			must0(b.Release())
		},
		"TryReserve, Abort, TryPeek and TryPoll": func() {
			must(a.TryReserve(100))
			must0(a.Abort())
			if _, err := b.TryPeek(); err != conn.ErrEmpty {
				t.Fatal(err)
			}
			must(b.TryPoll())
		},
		"SendBatch, More and RecvAppend": func() {
			must0(a.SendBatch(bg, batch))
			must(b.Peek(bg))
			must(b.More())
			must0(b.Release())
			must(b.RecvAppend(bg, buf[:0]))
		},
		"SendSlice and RecvSliceInto": func() {
			must0(conn.SendSlice(bg, a, ints))
			must(conn.RecvSliceInto(bg, b, ints))
		},
	} {
		f() // what is allocated once is allocated now
		if n := testing.AllocsPerRun(1000, f); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

// Messages in pieces are put together in a buffer that is kept.
func TestNoAllocationsForPieces(t *testing.T) {
	if race.Enabled {
		t.Skip("needs a build without the race detector, which allocates")
	}
	a, b := newPipe(t, small)
	received := make(chan error)
	go func() {
		buf := make([]byte, 10_000)
		for {
			n, err := b.RecvBytesInto(bg, buf)
			if err != nil || n != len(buf) {
				received <- err
				return
			}
		}
	}()
	buf := make([]byte, 10_000)
	if n := testing.AllocsPerRun(1000, func() {
		if err := a.SendBytes(bg, buf); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	a.Close()
	if err := <-received; err != io.EOF {
		t.Error(err)
	}
}
