package ring

import (
	"context"
	"encoding/binary"

	"github.com/sluice-ipc/sluice/internal/hook"
	"github.com/sluice-ipc/sluice/internal/race"
	"github.com/sluice-ipc/sluice/internal/wait"
)

// Writer is the writing end of a ring.
// It is safe for use by many goroutines: one at a time is inside, and a
// reservation keeps the others out until it is committed or aborted.
//
// A message is written in place: Reserve gives memory in the ring, Commit makes
// the message visible to the reader, whole and at once. What was not committed
// when the process dies is never seen by anybody.
type Writer struct {
	r    *Ring
	gate wait.Gate
	spin *wait.Spinner

	// What follows belongs to who is inside the gate.

	pub   uint64 // everything before it is published; the word there is zero
	pos   uint64 // where the next frame goes: behind pub by what is staged
	limit uint64 // the reader's head as last seen plus the capacity
	first uint64 // header to store at pub to publish; 0: nothing is staged
	at    uint64 // position of the reserved frame
	room  int    // bytes reserved at it; -1: no reservation
	most  int    // bytes that may be reserved
	kind  uint64 // kind of the reserved frame
	need  uint64 // the limit that we wait for
	batch bool   // a Batch is open
	err   error  // the ring is damaged; stays
}

func newWriter(r *Ring) (*Writer, error) {
	if err := r.retain(); err != nil {
		return nil, err
	}
	w := &Writer{r: r, spin: wait.NewSpinner(r.opts.Spin), room: -1}
	w.most = min(r.MaxFrame(), r.opts.MaxMessage)
	if err := w.takeOver(); err != nil {
		r.release()
		return nil, err
	}
	return w, nil
}

// takeOver takes the role and finds the end of what was published: from the
// reader's head, frame by frame, to the first header that is zero.
func (w *Writer) takeOver() (err error) {
	if w.r.opts.Guard {
		defer w.r.recoverFault(&err, armFaults())
	}
	if err := w.r.take(&w.r.ctl.writer); err != nil {
		return err
	}
	hook.At("ring.takeover.head")
	head := w.r.ctl.head.Load() //sync:head acquire: what lies before it has been read and may be overwritten
	end, err := w.r.walk(head)
	if err != nil {
		w.r.give(&w.r.ctl.writer)
		return err
	}
	w.pub, w.pos, w.limit = end, end, head+uint64(w.r.Cap())
	return nil
}

// Reserve waits for room and returns n bytes in the ring, at an address that is
// a multiple of eight, for the caller to fill. Commit or Abort must follow.
//
// It fails with ErrTooLarge when n is above MaxFrame or MaxMessage, ErrBrokenPipe
// when the reader has closed or died, ErrClosed when this end is closed meanwhile,
// and when ctx is done with an error that is both ErrFull and the context's. A
// context that is already done gets one attempt.
func (w *Writer) Reserve(ctx context.Context, n int) ([]byte, error) {
	if err := w.gate.Enter(ctx); err != nil {
		return nil, w.r.waited("reserve in", ErrFull, gateError(err))
	}
	if w.r.opts.Guard {
		return w.reserveGuarded(ctx, n)
	}
	if b := w.quick(n); b != nil {
		return b, nil
	}
	return w.keep(w.await(ctx, n, kindWhole))
}

// reserveGuarded stands apart because a defer costs even where it is not
// reached.
func (w *Writer) reserveGuarded(ctx context.Context, n int) (b []byte, err error) {
	defer w.recoverFault(&err, armFaults())
	return w.keep(w.await(ctx, n, kindWhole))
}

// keep stays in the gate for a reservation and leaves it for an error.
func (w *Writer) keep(b []byte, err error) ([]byte, error) {
	if err != nil {
		w.gate.Leave()
	}
	return b, err
}

// TryReserve is Reserve without waiting. It returns ErrFull when there is no
// room and ErrBusy when another goroutine is using this end.
func (w *Writer) TryReserve(n int) (b []byte, err error) {
	if err := w.gate.TryEnter(); err != nil {
		return nil, gateError(err)
	}
	if w.r.opts.Guard {
		defer w.recoverFault(&err, armFaults())
	}
	return w.keep(w.reserve(n, kindWhole))
}

// Commit publishes the first n bytes of the reservation as one message and
// wakes the reader if it sleeps. The memory is no longer the caller's. It
// returns ErrNotReserved, and leaves a reservation as it was, when there is
// none or n is larger. Only who has reserved may call it.
func (w *Writer) Commit(n int) error {
	if !w.reserved(n) || w.batch {
		return w.r.wrap("commit to", ErrNotReserved)
	}
	if w.r.opts.Guard {
		return w.commitGuarded(n)
	}
	w.send(n)
	w.gate.Leave()
	return nil
}

func (w *Writer) commitGuarded(n int) (err error) {
	defer w.recoverFault(&err, armFaults())
	w.send(n)
	w.gate.Leave()
	return nil
}

// Abort gives the reservation back; nobody sees anything of it.
func (w *Writer) Abort() error {
	if !w.reserved(0) || w.batch {
		return w.r.wrap("abort in", ErrNotReserved)
	}
	w.room = -1
	w.gate.Leave()
	return nil
}

func (w *Writer) reserved(n int) bool {
	return w.gate.Held() && n >= 0 && n <= w.room
}

// Close gives up this end: the reader gets io.EOF after the last message, and a
// new writer may follow. Blocked goroutines return ErrClosed. A reservation
// stays valid, and the end is given up when it is committed or aborted. Close
// may be called twice.
func (w *Writer) Close() error {
	w.gate.Close(func() { w.r.rouse(w.r.space) }, func() { w.r.retire(true, w.r.data) })
	return nil
}

// Closed reports whether Close has been called.
func (w *Writer) Closed() bool { return w.gate.Closed() }

// Peer returns what has become of the reader, and PeerNone once the
// segment has been closed here.
func (w *Writer) Peer() PeerState { return w.r.peer(false) }

// departed reports whether writing on is pointless.
func (w *Writer) departed() bool {
	state, _ := roleOf(w.r.ctl.reader.Load()) //sync:role acquire: pairs with the reader's closing or burial
	return state.departed() && !w.r.opts.KeepOpen
}

// await reserves n bytes, waiting for room.
func (w *Writer) await(ctx context.Context, n int, kind uint64) ([]byte, error) {
	for {
		b, err := w.reserve(n, kind)
		if err != ErrFull {
			return b, err
		}
		if err := w.waitSpace(ctx); err != nil {
			return nil, err
		}
	}
}

// reserve finds room for a frame of n bytes. What it returns is ErrFull itself,
// not wrapped, when there is none.
func (w *Writer) reserve(n int, kind uint64) ([]byte, error) {
	switch {
	case w.err != nil:
		return nil, w.err
	case n < 0 || n > w.most:
		return nil, w.r.tooLarge(n, w.most)
	case w.departed():
		return nil, w.r.wrap("write to", ErrBrokenPipe)
	}
	mask := uint64(len(w.r.bytes) - 1)
	at := w.pos
	if rest := mask + 1 - at&mask; frameLen(n) > rest {
		at += rest // a padding frame fills the rest
	}
	w.need = at + frameLen(n) + headerSize
	if int64(w.need-w.limit) > 0 {
		if err := w.refresh(); err != nil {
			return nil, err
		}
	}
	w.at, w.room, w.kind = at, n, kind
	from := at&mask + headerSize
	return w.r.bytes[from : from+uint64(n) : from+uint64(n)], nil
}

// quick is reserve for the common case: nothing is wrong, and there is known to
// be room without padding. Otherwise it returns nil.
func (w *Writer) quick(n int) []byte {
	r := w.r
	at := w.pos & uint64(len(r.bytes)-1)
	length := frameLen(n)
	if uint(n) > uint(w.most) || at+length > uint64(len(r.bytes)) ||
		int64(w.pos+length+headerSize-w.limit) > 0 || w.err != nil || w.departed() {
		return nil
	}
	w.at, w.room, w.kind = w.pos, n, kindWhole
	from := at + headerSize
	return r.bytes[from : from+uint64(n) : from+uint64(n)]
}

// refresh looks at how far the reader has come. It returns nil when there is
// room up to need.
func (w *Writer) refresh() error {
	if err := w.r.poisoned(); err != nil {
		w.err = w.r.wrap("write to", err)
		return w.err
	}
	hook.At("ring.reserve.head")
	head := w.r.ctl.head.Load() //sync:head acquire: what lies before it has been read and may be overwritten
	if w.pub-head > uint64(len(w.r.bytes)) || head&7 != 0 {
		w.err = &CorruptError{w.r.name, "head", w.pub, head}
		return w.err
	}
	w.limit = head + uint64(len(w.r.bytes))
	switch {
	case int64(w.need-w.limit) <= 0:
		return nil
	case head == w.pub:
		// Empty, and still no room: it is what we have staged.
		return w.r.tooLarge(int(w.need-w.pub), len(w.r.bytes))
	}
	return ErrFull
}

// stage ends the reserved frame at n bytes, to be published with the others.
// Nothing that it stores can be seen yet: the header at pub is still zero.
func (w *Writer) stage(n int) {
	end := w.at + frameLen(n)
	hook.At("ring.stage.terminator")
	w.put(end, 0)
	h := header(w.at, w.kind, n)
	if w.at != w.pos {
		hook.At("ring.stage.frame")
		w.put(w.at, h)
		h = header(w.pos, kindPad, int(w.at-w.pos)-headerSize)
	}
	if w.pos == w.pub {
		w.first = h
	} else {
		hook.At("ring.stage.header")
		w.put(w.pos, h)
	}
	w.pos, w.room = end, -1
}

// send stages and publishes the reserved frame.
func (w *Writer) send(n int) {
	if w.at != w.pub {
		w.stage(n)
		w.publish()
		return
	}
	// A frame by itself, the common case.
	end := w.at + frameLen(n)
	hook.At("ring.stage.terminator")
	w.put(end, 0)
	race.Release(w.r.key)
	hook.At("ring.publish")
	w.r.publish(w.r.words.At(w.at), header(w.at, w.kind, n)) //sync:frame release: payload and terminator are the reader's
	w.pub, w.pos, w.room = end, end, -1
	w.r.data.WakeAll()
}

// put stores a header word that the reader cannot reach yet.
func (w *Writer) put(p, h uint64) {
	binary.NativeEndian.PutUint64(w.r.bytes[p&uint64(len(w.r.bytes)-1):], h)
}

// publish makes everything staged visible at once.
func (w *Writer) publish() {
	if w.first == 0 {
		return
	}
	race.Release(w.r.key)
	hook.At("ring.publish")
	w.r.publish(w.r.words.At(w.pub), w.first) //sync:frame release: payload, terminator and later headers are the reader's
	w.pub, w.first = w.pos, 0
	w.r.data.WakeAll()
}

// discard forgets what was staged and not published.
func (w *Writer) discard() {
	w.pos, w.first, w.room = w.pub, 0, -1
}

// waitSpace waits until the reader has made the room that reserve wants.
func (w *Writer) waitSpace(ctx context.Context) (err error) {
	if !w.spin.Spin((*spaceCond)(w)) {
		if w.gate.Block() {
			err = w.r.space.Sleep(ctx, (*spaceCond)(w), w.spin)
		}
		w.gate.Unblock()
	}
	switch {
	case w.gate.Closed():
		return w.r.wrap("write to", ErrClosed)
	case w.r.poisoned() != nil:
		w.err = w.r.wrap("write to", w.r.poisoned())
		return w.err
	case err != nil:
		return w.r.waited("write to", ErrFull, err)
	}
	return nil
}

// spaceCond is a Writer as the condition that there is room or never will be.
type spaceCond Writer

func (c *spaceCond) Ready() bool {
	w := (*Writer)(c)
	return w.gate.Closed() || w.r.poisoned() != nil ||
		int64(w.need-w.r.ctl.head.Load()-uint64(len(w.r.bytes))) <= 0 || w.departed()
}
