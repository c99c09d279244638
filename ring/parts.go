package ring

import (
	"context"
	"encoding/binary"
	"io"
	"math"
	"slices"

	"github.com/sluice-ipc/sluice/internal/mem"
	"github.com/sluice-ipc/sluice/shm"
)

// parts assembles a message that arrives in pieces. Its buffer grows with what
// has arrived, never to a length that the peer merely claims.
type parts struct {
	active bool   // between FIRST and LAST
	ready  bool   // buf holds a whole message
	number uint64 // of the message being assembled
	total  uint64 // its length, as its writer claims
	lost   uint64 // number+1 of the message whose loss has been reported
	writer shm.ID // who began it
	buf    []byte
}

// keepBuffer is the largest buffer that a reader keeps between messages.
const keepBuffer = 1 << 20

// drop forgets the message in hand.
func (p *parts) drop() {
	p.active, p.ready = false, false
	if cap(p.buf) > keepBuffer {
		p.buf = nil
	}
	p.buf = p.buf[:0]
}

// piece takes one piece out of the ring. It returns an error when the message
// is too large for the caller, which leaves it where it is, or when it cannot
// be completed, which is said once.
func (rd *Reader) piece(b []byte, end uint64, max int) error {
	p := &rd.parts
	total := binary.NativeEndian.Uint64(b)
	tail := binary.NativeEndian.Uint64(b[8:])
	number, flags, data := tail>>2, tail&3, b[pieceSize:]
	if flags&pieceFirst != 0 {
		if err := rd.abandon(); err != nil {
			return err
		}
		if total > uint64(rd.r.opts.MaxMessage) {
			rd.skip(number, end)
			return rd.r.tooLarge(int(min(total, math.MaxInt)), rd.r.opts.MaxMessage)
		}
		if max >= 0 && total > uint64(max) {
			return &ShortBufferError{rd.r.name, int(total), max}
		}
		p.active, p.number, p.total = true, number, total
		_, p.writer = roleOf(rd.r.ctl.writer.Load())
	}
	if !p.active || p.number != number {
		p.drop()
		if p.lost == number+1 {
			rd.next = end
			rd.advance()
			return nil
		}
		rd.skip(number, end)
		return rd.r.wrap("read from", ErrMessageLost)
	}
	if uint64(len(p.buf)+len(data)) > p.total {
		rd.err = &CorruptError{rd.r.name, "message length", rd.next, total}
		return rd.err
	}
	at := len(p.buf)
	p.buf = slices.Grow(p.buf, len(data))[:at+len(data)]
	mem.Copy(p.buf[at:], data)
	if flags&pieceLast != 0 && uint64(len(p.buf)) != p.total {
		rd.err = &CorruptError{rd.r.name, "message length", rd.next, total}
		return rd.err
	}
	rd.next = end
	if p.ready = flags&pieceLast != 0; p.ready {
		// The last piece stays until the message has been handed over: a
		// successor then finds it, and can tell that a message was lost.
		p.active = false
		return nil
	}
	rd.advance()
	return nil
}

// abandon drops an unfinished message, which another follows. Its writer was
// told that it was not sent, if it lives; a loss by its death is reported.
func (rd *Reader) abandon() error {
	p := &rd.parts
	_, writer := roleOf(rd.r.ctl.writer.Load())
	died := p.active && writer != p.writer
	p.drop()
	if died {
		return rd.r.wrap("read from", ErrMessageLost)
	}
	return nil
}

// skip passes over a piece and remembers that its message has been reported.
func (rd *Reader) skip(number, end uint64) {
	rd.parts.lost = number + 1
	rd.next = end
	rd.advance()
}

// cut reports a message that ends with its writer, once, before io.EOF.
func (rd *Reader) cut(err error) error {
	if err == io.EOF && rd.parts.active {
		rd.parts.drop()
		return rd.r.wrap("read from", ErrMessageLost)
	}
	return err
}

// pieceData is how many bytes of a message one piece carries.
func (w *Writer) pieceData() int { return min(w.r.MaxFrame(), maxPieceOnWire) - pieceSize }

// writePieces sends a message that is larger than a frame. A context that ends
// in the middle leaves it unfinished, and the reader discards it.
func (w *Writer) writePieces(ctx context.Context, msg []byte) error {
	number := w.r.ctl.message.Add(1)
	step := w.pieceData()
	for at := 0; at < len(msg); at += step {
		n := min(step, len(msg)-at)
		b, err := w.await(ctx, pieceSize+n, kindPiece)
		if err != nil {
			return err
		}
		w.fillPiece(b, number, msg, at, n)
		w.publish()
	}
	return nil
}

// tryParts is into how many pieces at least a ring of one lap is divided when a
// message in pieces must fit it at once: the padding at the end of the lap is
// shorter than a piece.
const tryParts = 8

// stagePieces stages all of a message that is larger than a frame, or nothing.
// Whether it can fit at all does not depend on where in the ring it would begin.
func (w *Writer) stagePieces(msg []byte) error {
	step := min(w.pieceData(), len(w.r.bytes)/tryParts-headerSize-pieceSize)
	pieces := (len(msg) + step - 1) / step
	frames := pieces*(headerSize+pieceSize) + (len(msg)+7)&^7
	if padding := len(w.r.bytes) / tryParts; frames+padding > len(w.r.bytes) {
		return w.r.tooLarge(len(msg), len(w.r.bytes)*3/4)
	}
	number := w.r.ctl.message.Add(1)
	for at := 0; at < len(msg); at += step {
		n := min(step, len(msg)-at)
		b, err := w.reserve(pieceSize+n, kindPiece)
		if err != nil {
			return err
		}
		w.fillPiece(b, number, msg, at, n)
	}
	return nil
}

func (w *Writer) fillPiece(b []byte, number uint64, msg []byte, at, n int) {
	flags := uint64(0)
	if at == 0 {
		flags |= pieceFirst
	}
	if at+n == len(msg) {
		flags |= pieceLast
	}
	binary.NativeEndian.PutUint64(b, uint64(len(msg)))
	binary.NativeEndian.PutUint64(b[8:], number<<2|flags)
	mem.Copy(b[pieceSize:], msg[at:at+n])
	w.stage(pieceSize + n)
}
