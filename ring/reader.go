package ring

import (
	"context"
	"io"

	"github.com/sluice-ipc/sluice/internal/hook"
	"github.com/sluice-ipc/sluice/internal/race"
	"github.com/sluice-ipc/sluice/internal/wait"
)

// Reader is the reading end of a ring.
// It is safe for use by many goroutines: one at a time is inside, and a message
// on loan from Peek keeps the others out until it is released.
//
// A message that was peeked and not released when the process dies is delivered
// again to the next reader.
type Reader struct {
	r    *Ring
	gate wait.Gate
	spin *wait.Spinner

	// What follows belongs to who is inside the gate.

	pos    uint64 // the head: everything before it has been released
	next   uint64 // behind everything peeked
	loaned bool   // a Peek waits for its Release
	length uint64 // of the last message
	most   uint64 // bytes of a message in one frame
	parts  parts  // a message that arrives in pieces
	slip   slip   // how to wait for a writer that keeps us busy
	pauses uint32 // between two looks at a header
	err    error  // the ring is damaged; stays
}

func newReader(r *Ring) (*Reader, error) {
	if err := r.retain(); err != nil {
		return nil, err
	}
	rd := &Reader{r: r, spin: wait.NewSpinner(r.opts.Spin), pauses: pauses()}
	rd.most = uint64(min(r.MaxFrame(), r.opts.MaxMessage))
	if err := rd.takeOver(); err != nil {
		r.release()
		return nil, err
	}
	return rd, nil
}

// takeOver takes the role and goes on where the last reader had got to.
func (rd *Reader) takeOver() (err error) {
	if rd.r.opts.Guard {
		defer rd.r.recoverFault(&err, armFaults())
	}
	if err := rd.r.take(&rd.r.ctl.reader); err != nil {
		return err
	}
	hook.At("ring.takeover.head")
	head := rd.r.ctl.head.Load()
	if head&7 != 0 {
		rd.r.give(&rd.r.ctl.reader)
		return &CorruptError{rd.r.name, "head", head, head}
	}
	rd.pos, rd.next = head, head
	return nil
}

// Peek waits for a message and returns it where it lies in the ring. The slice
// is valid until Release, which must follow, and must not be written to. A
// message that came in pieces is returned from a buffer of the reader's.
//
// After the last message it returns io.EOF when the writer has closed or died,
// for as long as no new writer has sent anything. When ctx is done the error is
// both ErrEmpty and the context's; a context that is already done gets one
// attempt. ErrMessageLost is reported once for a message that was cut short.
func (rd *Reader) Peek(ctx context.Context) ([]byte, error) {
	if err := rd.gate.Enter(ctx); err != nil {
		return nil, rd.r.waited("read from", ErrEmpty, gateError(err))
	}
	if rd.r.opts.Guard {
		return rd.peekGuarded(ctx)
	}
	return rd.lend(rd.await(ctx, -1))
}

// peekGuarded stands apart because a defer costs even where it is not reached.
func (rd *Reader) peekGuarded(ctx context.Context) (b []byte, err error) {
	defer rd.recoverFault(&err, armFaults())
	return rd.lend(rd.await(ctx, -1))
}

// TryPeek is Peek without waiting. It returns ErrEmpty when there is no message
// and ErrBusy when another goroutine is using this end.
func (rd *Reader) TryPeek() (b []byte, err error) {
	if err := rd.gate.TryEnter(); err != nil {
		return nil, gateError(err)
	}
	if rd.r.opts.Guard {
		defer rd.recoverFault(&err, armFaults())
	}
	return rd.lend(rd.message(-1))
}

// lend keeps the gate for a message and leaves it for an error.
func (rd *Reader) lend(b []byte, err error) ([]byte, error) {
	if err != nil {
		rd.gate.Leave()
		return nil, err
	}
	rd.loaned = true
	return b, nil
}

// AnyFrame has the reader take messages of one frame that are above MaxMessage too:
// who reads a stream of bytes does not mind where they end. It is called before the
// reader is used.
func (rd *Reader) AnyFrame() { rd.most = uint64(rd.r.MaxFrame()) }

// More returns the next message behind those that have been peeked, without
// waiting: ErrEmpty when there is none yet, or it is one that travels in
// pieces or is above MaxMessage. Release then gives all of them back at once, which
// is cheaper than one by one. Only the goroutine that has peeked may call it.
func (rd *Reader) More() (b []byte, err error) {
	if !rd.gate.Held() || !rd.loaned {
		return nil, rd.r.wrap("read more from", ErrNotPeeked)
	}
	if rd.r.opts.Guard {
		defer rd.recoverFault(&err, armFaults())
	}
	if b := rd.quick(-1); b != nil {
		return b, nil
	}
	if rd.parts.ready {
		return nil, ErrEmpty
	}
	b, kind, end, err := rd.frame()
	switch {
	case err == io.EOF || err == nil && (kind != kindWhole || uint64(len(b)) > rd.most):
		return nil, ErrEmpty
	case err != nil:
		return nil, err
	}
	rd.next = end
	return b, nil
}

// Release gives back every message peeked so far, and wakes the writer if it
// sleeps. It returns ErrNotPeeked when there is none.
func (rd *Reader) Release() error {
	if !rd.gate.Held() || !rd.loaned {
		return rd.r.wrap("release to", ErrNotPeeked)
	}
	rd.loaned = false
	if rd.r.opts.Guard {
		return rd.releaseGuarded()
	}
	rd.finish()
	rd.gate.Leave()
	return nil
}

func (rd *Reader) releaseGuarded() (err error) {
	defer rd.recoverFault(&err, armFaults())
	rd.finish()
	rd.gate.Leave()
	return nil
}

// Close gives up this end: a writer then gets ErrBrokenPipe, and a new reader
// may follow, which begins with the first message that was not released.
// Blocked goroutines return ErrClosed. Messages on loan stay valid, and the end
// is given up when they are released. Close may be called twice.
func (rd *Reader) Close() error {
	rd.gate.Close(func() { rd.r.rouse(rd.r.data) }, func() { rd.r.retire(false, rd.r.space) })
	return nil
}

// Closed reports whether Close has been called.
func (rd *Reader) Closed() bool { return rd.gate.Closed() }

// Peer returns what has become of the writer, and PeerNone once the
// segment has been closed here.
func (rd *Reader) Peer() PeerState { return rd.r.peer(true) }

// departed reports whether nothing more will come.
func (rd *Reader) departed() bool {
	state, _ := roleOf(rd.r.ctl.writer.Load()) //sync:role acquire: what the writer published before closing or dying is visible
	return state.departed() && !rd.r.opts.KeepOpen
}

// await returns the next message, waiting for it.
func (rd *Reader) await(ctx context.Context, max int) ([]byte, error) {
	for i := 0; ; i++ {
		b, err := rd.message(max)
		if err != ErrEmpty {
			return b, err
		}
		if i > 0 && ctx.Err() != nil { // a peer may keep us going with pieces
			return nil, rd.r.waited("read from", ErrEmpty, ctx.Err())
		}
		if err := rd.waitData(ctx); err != nil {
			return nil, err
		}
	}
}

// message returns the next message and leaves it to be finished. It refuses one
// of more than max bytes (no limit when negative) and leaves that where it is.
// It returns ErrEmpty and io.EOF as they are, not wrapped.
func (rd *Reader) message(max int) ([]byte, error) {
	if b := rd.quick(max); b != nil {
		return b, nil
	}
	if rd.parts.ready {
		return rd.whole(rd.parts.buf, max)
	}
	// One lap of pieces, then the caller looks whether it shall go on.
	for start := rd.next; rd.next-start <= uint64(len(rd.r.bytes)); {
		b, kind, end, err := rd.frame()
		if err != nil {
			return nil, rd.cut(err)
		}
		if kind == kindWhole {
			if err := rd.abandon(); err != nil {
				return nil, err
			}
			if uint64(len(b)) > rd.most {
				rd.next = end
				rd.advance()
				return nil, rd.r.tooLarge(len(b), rd.r.opts.MaxMessage)
			}
			if b, err = rd.whole(b, max); err == nil {
				rd.next = end
			}
			return b, err
		}
		if err := rd.piece(b, end, max); err != nil {
			return nil, err
		}
		if rd.parts.ready {
			return rd.whole(rd.parts.buf, max)
		}
	}
	return nil, ErrEmpty
}

func (rd *Reader) whole(b []byte, max int) ([]byte, error) {
	if max >= 0 && len(b) > max {
		return nil, &ShortBufferError{rd.r.name, len(b), max}
	}
	return b, nil
}

// quick is message for the common case: a message in one frame that is there
// and small enough, and nothing else going on. Otherwise it returns nil.
func (rd *Reader) quick(max int) []byte {
	r, p := rd.r, rd.next
	h := r.words.At(p).Load() //sync:frame acquire: payload and following headers are visible
	// Guess that this message is as long as the last one. A guess that holds
	// frees the processor from waiting for h before it goes for the next
	// header, so that the misses on a row of frames overlap.
	n := rd.length
	if h != header(p, kindWhole, int(n)) {
		n = h & lengthMask
		if h != header(p, kindWhole, int(n)) {
			return nil
		}
		rd.length = n
	}
	at := p & uint64(len(r.bytes)-1)
	if n > uint64(min(uint(max), uint(rd.most))) ||
		at+headerSize+n > uint64(len(r.bytes)) ||
		p+frameLen(int(n))-rd.pos > uint64(len(r.bytes)) ||
		rd.err != nil || rd.parts.active || rd.parts.ready {
		return nil
	}
	race.Acquire(r.key)
	rd.next = p + frameLen(int(n))
	from := at + headerSize
	return r.bytes[from : from+n : from+n]
}

// frame reads the frame at next, skipping padding. It returns the payload, its
// kind and the position behind it.
func (rd *Reader) frame() (b []byte, kind, end uint64, err error) {
	if rd.err != nil {
		return nil, 0, 0, rd.err
	}
	hook.At("ring.peek.header")
	h := rd.r.words.At(rd.next).Load() //sync:frame acquire: payload and following headers are visible
	if h == 0 {
		hook.At("ring.peek.departed")
		if !rd.departed() {
			return nil, 0, 0, ErrEmpty
		}
		// It may have published just before it departed.
		if h = rd.r.words.At(rd.next).Load(); h == 0 { //sync:frame acquire: as above
			return nil, 0, 0, io.EOF
		}
	}
	race.Acquire(rd.r.key)
	f, err := rd.r.parse(rd.next, h)
	if err == nil && f.kind == kindPad {
		p := f.end // a pad and what follows it were published together
		f, err = rd.r.parse(p, rd.r.words.At(p).Load())
		if err == nil && f.kind == kindPad {
			err = &CorruptError{rd.r.name, "padding", p, f.end - p}
		}
	}
	if err == nil && f.end-rd.pos > uint64(len(rd.r.bytes)) {
		err = &CorruptError{rd.r.name, "frame end", rd.next, f.end}
	}
	if err != nil {
		rd.err = err
		return nil, 0, 0, err
	}
	return f.payload, f.kind, f.end, nil
}

// finish releases the present message.
func (rd *Reader) finish() {
	if rd.parts.ready {
		rd.parts.drop()
	}
	rd.advance()
}

// advance gives everything before next back to the writer.
func (rd *Reader) advance() {
	hook.At("ring.release.head")
	race.Release(rd.r.key + 1)
	rd.r.publish(&rd.r.ctl.head, rd.next) //sync:head release: we have read what lies before it
	rd.pos = rd.next
	rd.slip.got++
	rd.r.space.WakeAll()
}

// waitData waits until there is something at next, or never will be.
func (rd *Reader) waitData(ctx context.Context) (err error) {
	if n := rd.spin.First(); !rd.glance(n) && !rd.spin.Rest((*dataCond)(rd), n) {
		if rd.gate.Block() {
			err = rd.r.data.Sleep(ctx, (*dataCond)(rd), rd.spin)
		}
		rd.gate.Unblock()
	}
	switch {
	case rd.gate.Closed():
		return rd.r.wrap("read from", ErrClosed)
	case rd.r.poisoned() != nil:
		rd.err = rd.r.wrap("read from", rd.r.poisoned())
		return rd.err
	case err != nil:
		return rd.r.waited("read from", ErrEmpty, err)
	}
	return nil
}

// dataCond is a Reader as the condition that there is something to see.
type dataCond Reader

func (c *dataCond) Ready() bool {
	rd := (*Reader)(c)
	return rd.gate.Closed() || rd.r.poisoned() != nil ||
		rd.r.words.At(rd.next).Load() != 0 || rd.departed()
}
