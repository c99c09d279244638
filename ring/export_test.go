package ring

// StartAt sets the position at which a new ring begins, so that tests cross
// the wrap of positions.
func (o Options) StartAt(p uint64) *Options {
	o.start = p
	return &o
}

// The layout, for tests that write into a ring what no writer would.
const (
	ControlSize   = controlSize
	HeadOffset    = 128
	WriterOffset  = 512
	ReaderOffset  = 520
	MaxPieceBytes = maxPieceOnWire
)

// Header returns a header word, as a hostile writer would write it.
func Header(p, kind uint64, n int) uint64 { return header(p, kind, n) }

// ReaderAsleep reports whether the reader has shown itself as a sleeper.
func ReaderAsleep(r *Ring) bool { return r.ctl.data.Load()&1 != 0 }
