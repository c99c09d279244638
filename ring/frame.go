package ring

import "github.com/sluice-ipc/sluice/internal/hook"

// frame is a parsed header.
type frame struct {
	kind    uint64
	payload []byte // nil for padding
	end     uint64 // position of the next header
}

// parse checks header h, read once at position p, and says what it describes.
// Whatever a peer writes, the payload lies within the data.
func (r *Ring) parse(p, h uint64) (frame, error) {
	at := p & uint64(len(r.bytes)-1)
	rest := uint64(len(r.bytes)) - at
	n := h & lengthMask
	f := frame{kind: h >> 29 & 3}
	bad := h&validBit == 0 || h>>32 != p>>3&(1<<32-1)
	if f.kind == kindPad {
		// Padding fills the rest of a lap, never a whole one.
		f.end = p + rest
		bad = bad || at == 0 || n+headerSize != rest
	} else {
		length := frameLen(int(n))
		f.end = p + length
		bad = bad || length > rest || n > uint64(r.MaxFrame()) || f.kind > kindPiece ||
			f.kind == kindPiece && n <= pieceSize
	}
	if bad {
		return frame{}, &CorruptError{r.name, "frame header", p, h}
	}
	if f.kind != kindPad {
		from := at + headerSize
		f.payload = r.bytes[from : from+n : from+n]
	}
	return f, nil
}

// walk follows the frames from head to the first header that is zero, which is
// where a new writer goes on.
func (r *Ring) walk(head uint64) (uint64, error) {
	if head&7 != 0 {
		return 0, &CorruptError{r.name, "head", head, head}
	}
	for p := head; ; {
		hook.At("ring.takeover.walk")
		h := r.words.At(p).Load() //sync:frame acquire: a successor goes on behind what was published
		if h == 0 {
			return p, nil
		}
		f, err := r.parse(p, h)
		if err != nil {
			return 0, err
		}
		if p = f.end; p-head+headerSize > uint64(len(r.bytes)) {
			return 0, &CorruptError{r.name, "frame end", p, h}
		}
	}
}
