//go:build linux

package conn_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"

	"github.com/sluice-ipc/sluice/conn"
	"pgregory.net/rapid"
)

// A lane is one direction of a pipe next to what it should be: a slice.
type lane struct {
	from, to *conn.Conn
	queue    [][]byte
	reserved []byte // memory on loan, nil: none
	peeked   int    // messages on loan
	closed   bool   // for writing
	deaf     bool   // for reading
}

// model is both directions of a pipe.
type model struct{ lanes [2]*lane }

func (m *model) lane(t *rapid.T) *lane {
	return m.lanes[rapid.IntRange(0, 1).Draw(t, "direction")]
}

// payload draws a message: small, up to the largest frame, or in pieces.
func drawPayload(t *rapid.T) []byte {
	n := rapid.OneOf(rapid.IntRange(0, 40), rapid.IntRange(1000, 2040),
		rapid.IntRange(2041, 4096*3/4)).Draw(t, "length")
	return bytes.Repeat([]byte{rapid.Byte().Draw(t, "byte")}, n)
}

// sent checks the outcome of an attempt to send messages without waiting.
func (l *lane) sent(t *rapid.T, err error, msgs ...[]byte) {
	switch {
	case l.closed:
		if !errors.Is(err, conn.ErrClosed) {
			t.Fatalf("send on a closed end: %v", err)
		}
	case l.reserved != nil:
		if !errors.Is(err, conn.ErrBusy) && !errors.Is(err, context.Canceled) {
			t.Fatalf("send during a reservation: %v", err)
		}
	case err == nil && l.deaf && len(msgs) > 0:
		t.Fatal("sent to an end that is closed")
	case err == nil:
		l.queue = append(l.queue, msgs...)
	case l.deaf:
		if !errors.Is(err, conn.ErrBrokenPipe) {
			t.Fatalf("send to a closed end: %v", err)
		}
	case errors.Is(err, conn.ErrFull):
		if len(l.queue) == 0 {
			t.Fatal("full, and nothing is in it")
		}
	case errors.Is(err, conn.ErrTooLarge) && len(msgs) > 1:
	default:
		t.Fatalf("send: %v", err)
	}
}

func (m *model) send(t *rapid.T) {
	l, p := m.lane(t), drawPayload(t)
	l.sent(t, l.from.TrySendBytes(p), p)
}

func (m *model) sendObject(t *rapid.T) {
	l, v := m.lane(t), rapid.IntRange(0, 23).Draw(t, "value")
	l.sent(t, l.from.TrySend(v), []byte{byte(v)}) // CBOR of a small number
}

func (m *model) sendBatch(t *rapid.T) {
	l := m.lane(t)
	msgs := rapid.SliceOfN(rapid.SliceOfN(rapid.Byte(), 0, 900), 0, 6).Draw(t, "batch")
	l.sent(t, l.from.SendBatch(done, msgs), msgs...)
}

func (m *model) reserve(t *rapid.T) {
	l := m.lane(t)
	n := rapid.IntRange(0, l.from.MaxReserve()).Draw(t, "length")
	buf, err := l.from.TryReserve(n)
	if err != nil || l.closed || l.reserved != nil {
		l.sent(t, err)
		return
	}
	if l.deaf || len(buf) != n {
		t.Fatalf("reserved %d of %d bytes", len(buf), n)
	}
	l.reserved = buf
}

func (m *model) commit(t *rapid.T) {
	l := m.lane(t)
	n := rapid.IntRange(0, max(len(l.reserved), 1)).Draw(t, "length")
	for i := range l.reserved {
		l.reserved[i] = byte(i)
	}
	msg := bytes.Clone(l.reserved[:min(n, len(l.reserved))])
	err := l.from.Commit(n)
	switch {
	case l.reserved == nil || n > len(l.reserved):
		if err == nil {
			t.Fatal("committed without a reservation")
		}
	case err != nil:
		t.Fatal(err)
	default:
		l.queue, l.reserved = append(l.queue, msg), nil
	}
}

func (m *model) abort(t *rapid.T) {
	l := m.lane(t)
	if err := l.from.Abort(); (err == nil) != (l.reserved != nil) {
		t.Fatalf("Abort = %v", err)
	}
	l.reserved = nil
}

// received checks the outcome of an attempt to receive without waiting, and
// takes the message from the model.
func (l *lane) received(t *rapid.T, got []byte, err error) {
	switch {
	case l.deaf:
		if !errors.Is(err, conn.ErrClosed) {
			t.Fatalf("receive from a closed end: %v", err)
		}
	case l.peeked > 0:
		if !errors.Is(err, conn.ErrBusy) && !errors.Is(err, context.Canceled) {
			t.Fatalf("receive during a peek: %v", err)
		}
	case len(l.queue) > 0:
		if err != nil || !bytes.Equal(got, l.queue[0]) {
			t.Fatalf("received %d bytes, %v; want %d", len(got), err, len(l.queue[0]))
		}
		l.queue = l.queue[1:]
	case l.closed && l.reserved == nil:
		if err != io.EOF {
			t.Fatalf("receive at the end: %v", err)
		}
	case !errors.Is(err, conn.ErrEmpty):
		t.Fatalf("receive of nothing: %v", err)
	}
}

func (m *model) receive(t *rapid.T) {
	l := m.lane(t)
	var got []byte
	var err error
	switch rapid.IntRange(0, 2).Draw(t, "way") {
	case 0:
		got, err = l.to.TryRecvBytes()
	case 1:
		got, err = l.to.RecvAppend(done, nil)
	default:
		got, err = l.to.RecvBytes(done)
	}
	l.received(t, got, err)
}

func (m *model) receiveInto(t *rapid.T) {
	l := m.lane(t)
	buf := make([]byte, rapid.SampledFrom([]int{0, 30, 2040, 4000}).Draw(t, "room"))
	n, err := l.to.TryRecvBytesInto(buf)
	var short *conn.BufferTooShortError
	if errors.As(err, &short) {
		if len(short.Message) <= len(buf) || !bytes.Equal(buf, make([]byte, len(buf))) {
			t.Fatal(err)
		}
		l.received(t, short.Message, nil)
		return
	}
	l.received(t, buf[:n], err)
}

func (m *model) receiveMax(t *rapid.T) {
	l, most := m.lane(t), rapid.IntRange(0, 3000).Draw(t, "max")
	got, err := l.to.RecvBytesMax(done, most)
	var long *conn.MessageTooLongError
	if errors.As(err, &long) {
		if long.Size != len(l.queue[0]) || long.Size <= most {
			t.Fatal(err)
		}
		return
	}
	l.received(t, got, err)
}

func (m *model) skip(t *rapid.T) {
	l := m.lane(t)
	var got []byte
	if len(l.queue) > 0 {
		got = l.queue[0]
	}
	l.received(t, got, l.to.Skip(done))
}

func (m *model) peek(t *rapid.T) {
	l := m.lane(t)
	got, err := l.to.TryPeek()
	if err == nil && len(l.queue) > 0 && l.peeked == 0 && !l.deaf {
		if !bytes.Equal(got, l.queue[0]) {
			t.Fatal("peeked at something else")
		}
		l.peeked = 1
		return
	}
	l.received(t, got, err)
}

func (m *model) more(t *rapid.T) {
	l := m.lane(t)
	got, err := l.to.More()
	switch {
	case l.peeked == 0:
		if err == nil {
			t.Fatal("more than nothing")
		}
	case err == nil:
		if !bytes.Equal(got, l.queue[l.peeked]) {
			t.Fatal("more is something else")
		}
		l.peeked++
	case err != conn.ErrEmpty:
		t.Fatal(err)
	case l.peeked < len(l.queue) && len(l.queue[l.peeked]) <= l.to.MaxReserve() && len(l.queue[l.peeked-1]) <= l.to.MaxReserve():
		t.Fatal("no more, and there is")
	}
}

func (m *model) release(t *rapid.T) {
	l := m.lane(t)
	if err := l.to.Release(); (err == nil) != (l.peeked > 0) {
		t.Fatalf("Release = %v", err)
	}
	l.queue, l.peeked = l.queue[l.peeked:], 0
}

func (m *model) poll(t *rapid.T) {
	l := m.lane(t)
	ready, err := l.to.TryPoll()
	want := len(l.queue) > 0 || l.closed && l.reserved == nil
	switch {
	case l.deaf || l.peeked > 0:
		if err == nil && !want {
			t.Fatal("poll of an end that is closed or in use")
		}
	case err != nil || ready != want:
		t.Fatalf("TryPoll = %v, %v, want %v", ready, err, want)
	}
}

func (m *model) closeWrite(t *rapid.T) {
	if rapid.IntRange(0, 9).Draw(t, "seldom") > 0 {
		return
	}
	l := m.lane(t)
	if err := l.from.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	l.closed = true
}

func (m *model) closeRead(t *rapid.T) {
	l := m.lane(t)
	if rapid.IntRange(0, 9).Draw(t, "seldom") > 0 || l.peeked > 0 {
		return
	}
	if err := l.to.CloseRead(); err != nil {
		t.Fatal(err)
	}
	l.deaf = true
}

// A pipe behaves like two slices.
func TestPipeBehavesLikeSlices(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b, err := conn.Pipe(small)
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			a.Close()
			b.Close()
		}()
		m := &model{[2]*lane{{from: a, to: b}, {from: b, to: a}}}
		t.Repeat(map[string]func(*rapid.T){
			"send": m.send, "sendObject": m.sendObject, "sendBatch": m.sendBatch,
			"reserve": m.reserve, "commit": m.commit, "abort": m.abort,
			"receive": m.receive, "receiveInto": m.receiveInto, "receiveMax": m.receiveMax,
			"skip": m.skip, "peek": m.peek, "more": m.more, "release": m.release,
			"poll": m.poll, "closeWrite": m.closeWrite, "closeRead": m.closeRead,
		})
	})
}
