package ring_test

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"pgregory.net/rapid"

	"github.com/sluice-ipc/sluice/internal/shmtest"
	"github.com/sluice-ipc/sluice/ring"
)

// machine drives a ring and a slice with the same operations.
type machine struct {
	w    *ring.Writer
	rd   *ring.Reader
	b    ring.Batch
	open bool // a batch is open

	reserved []byte // on loan to us
	staged   [][]byte
	model    [][]byte // committed and not released
	peeked   int      // of them
	next     byte
}

func (m *machine) message(t *rapid.T) []byte {
	n := rapid.OneOf(rapid.IntRange(0, 80), rapid.IntRange(0, 2040)).Draw(t, "size")
	m.next++
	return bytes.Repeat([]byte{m.next}, n)
}

// writing reports whether a call on the writer would find it in use.
func (m *machine) writing() bool { return m.open || m.reserved != nil }

func (m *machine) tryWrite(t *rapid.T) {
	msg := m.message(t)
	switch err := m.w.TryWrite(msg); {
	case m.writing():
		if !errors.Is(err, ring.ErrBusy) {
			t.Fatalf("TryWrite = %v, want ErrBusy", err)
		}
	case err == nil:
		m.model = append(m.model, msg)
	case !errors.Is(err, ring.ErrFull):
		t.Fatal(err)
	case len(m.model) == 0:
		t.Fatalf("%d bytes do not fit an empty ring", len(msg))
	}
}

func (m *machine) reserve(t *rapid.T) {
	if m.writing() {
		return
	}
	n := rapid.IntRange(0, 2040).Draw(t, "size")
	b, err := m.w.TryReserve(n)
	if err != nil {
		if !errors.Is(err, ring.ErrFull) || len(m.model) == 0 {
			t.Fatalf("TryReserve(%d) = %v with %d messages", n, err, len(m.model))
		}
		return
	}
	if len(b) != n || cap(b) != n {
		t.Fatalf("reserved %d of %d bytes, capacity %d", len(b), n, cap(b))
	}
	m.reserved = b
}

func (m *machine) commit(t *rapid.T) {
	if m.reserved == nil || m.open {
		if err := m.w.Commit(0); !errors.Is(err, ring.ErrNotReserved) {
			t.Fatalf("Commit = %v, want ErrNotReserved", err)
		}
		return
	}
	n := rapid.IntRange(0, len(m.reserved)).Draw(t, "size")
	m.next++
	msg := bytes.Repeat([]byte{m.next}, n)
	copy(m.reserved, msg)
	if err := m.w.Commit(len(m.reserved) + 1); !errors.Is(err, ring.ErrNotReserved) {
		t.Fatalf("Commit of too much = %v", err)
	}
	if err := m.w.Commit(n); err != nil {
		t.Fatal(err)
	}
	m.model, m.reserved = append(m.model, msg), nil
}

func (m *machine) abort(t *rapid.T) {
	if m.reserved == nil || m.open {
		return
	}
	copy(m.reserved, "rubbish")
	if err := m.w.Abort(); err != nil {
		t.Fatal(err)
	}
	m.reserved = nil
}

func (m *machine) begin(t *rapid.T) {
	if m.writing() {
		return
	}
	var err error
	if m.b, err = m.w.Batch(bg); err != nil {
		t.Fatal(err)
	}
	m.open = true
}

func (m *machine) stage(t *rapid.T) {
	if !m.open {
		return
	}
	msg := m.message(t)
	p, err := m.b.TryReserve(len(msg))
	if err != nil {
		if !errors.Is(err, ring.ErrFull) && !errors.Is(err, ring.ErrTooLarge) {
			t.Fatal(err)
		}
		return
	}
	copy(p, msg)
	if err := m.b.Stage(len(msg)); err != nil {
		t.Fatal(err)
	}
	m.staged = append(m.staged, msg)
}

func (m *machine) endBatch(t *rapid.T) {
	if !m.open {
		return
	}
	end := m.b.Abort
	if rapid.Bool().Draw(t, "commit") {
		end = m.b.Commit
		m.model = append(m.model, m.staged...)
	}
	if err := end(); err != nil {
		t.Fatal(err)
	}
	m.open, m.staged = false, nil
}

func (m *machine) peek(t *rapid.T) {
	if m.peeked > 0 {
		if _, err := m.rd.TryPeek(); !errors.Is(err, ring.ErrBusy) {
			t.Fatalf("TryPeek of a reader on loan = %v", err)
		}
		return
	}
	b, err := m.rd.TryPeek()
	m.check(t, b, err)
}

func (m *machine) more(t *rapid.T) {
	if m.peeked == 0 {
		if _, err := m.rd.More(); !errors.Is(err, ring.ErrNotPeeked) {
			t.Fatalf("More = %v, want ErrNotPeeked", err)
		}
		return
	}
	b, err := m.rd.More()
	m.check(t, b, err)
}

// check compares what was peeked with the model's next message.
func (m *machine) check(t *rapid.T, b []byte, err error) {
	if m.peeked == len(m.model) {
		if !errors.Is(err, ring.ErrEmpty) {
			t.Fatalf("peeked %q, %v from an empty ring", b, err)
		}
		return
	}
	if err != nil || !bytes.Equal(b, m.model[m.peeked]) {
		t.Fatalf("peeked %d bytes, %v; want %d bytes", len(b), err, len(m.model[m.peeked]))
	}
	m.peeked++
}

func (m *machine) release(t *rapid.T) {
	if m.peeked == 0 {
		if err := m.rd.Release(); !errors.Is(err, ring.ErrNotPeeked) {
			t.Fatalf("Release = %v, want ErrNotPeeked", err)
		}
		return
	}
	if err := m.rd.Release(); err != nil {
		t.Fatal(err)
	}
	m.model, m.peeked = m.model[m.peeked:], 0
}

func (m *machine) read(t *rapid.T) {
	if m.peeked > 0 {
		return
	}
	room := rapid.SampledFrom([]int{0, 40, 2048}).Draw(t, "room")
	buf := make([]byte, room)
	n, err := m.rd.TryRead(buf)
	switch {
	case len(m.model) == 0:
		if !errors.Is(err, ring.ErrEmpty) {
			t.Fatalf("TryRead of an empty ring = %v", err)
		}
	case len(m.model[0]) > room:
		var short *ring.ShortBufferError
		if !errors.As(err, &short) || short.Size != len(m.model[0]) || !errors.Is(err, io.ErrShortBuffer) {
			t.Fatalf("TryRead of %d bytes into %d = %v", len(m.model[0]), room, err)
		}
	case err != nil || !bytes.Equal(buf[:n], m.model[0]):
		t.Fatalf("TryRead = %d, %v; want %d bytes", n, err, len(m.model[0]))
	default:
		m.model = m.model[1:]
	}
}

func (m *machine) poll(t *rapid.T) {
	if m.peeked > 0 {
		return
	}
	ready, err := m.rd.TryPoll()
	if err != nil || ready != (len(m.model) > 0) {
		t.Fatalf("TryPoll = %v, %v with %d messages", ready, err, len(m.model))
	}
}

func TestRingBehavesLikeASlice(t *testing.T) {
	for name, start := range starts {
		t.Run(name, func(t *testing.T) {
			shmtest.EachMemory(t, size, func(t *testing.T, a, b []byte) {
				rapid.Check(t, func(rt *rapid.T) {
					w, rd := pair(t, a, b, ring.Options{}.StartAt(start))
					m := &machine{w: w, rd: rd}
					rt.Repeat(map[string]func(*rapid.T){
						"tryWrite": m.tryWrite, "reserve": m.reserve,
						"commit": m.commit, "abort": m.abort,
						"begin": m.begin, "stage": m.stage,
						"endBatch": m.endBatch, "peek": m.peek,
						"more": m.more, "release": m.release,
						"read": m.read, "poll": m.poll,
					})
				})
			})
		})
	}
}
