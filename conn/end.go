package conn

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-ipc/sluice/internal/sys"
	"github.com/sluice-ipc/sluice/ring"
	"github.com/sluice-ipc/sluice/shm"
)

// A direction is what an end may do.
type direction uint8

const (
	receives direction = 1 << iota
	sends
	bothWays = receives | sends
)

func (d direction) String() string {
	switch d {
	case receives:
		return "receives"
	case sends:
		return "sends"
	case bothWays:
		return "both"
	}
	return "none"
}

// The phases of an end.
const (
	phaseOpen = iota
	phaseClosed
	phasePassing // a Handover is under way
	phaseMoved   // to another process
)

// end is one end of a pipe, apart from the handle through which the user holds
// it, so that an end whose handle is garbage can still be closed. It must not
// point to its handle.
type end struct {
	att   *attachment
	seg   *shm.Segment
	name  string
	opts  Options
	which int // end 0 or end 1

	// What this end uses the rings through; nil in a direction that it does
	// not have. The attachment's are the same, unless a Handover was undone.
	out, in *ring.Ring

	// The roles in the rings; nil in a direction that the end does not have,
	// or that was closed before it came here.
	w atomic.Pointer[ring.Writer]
	r atomic.Pointer[ring.Reader]

	side  atomic.Pointer[sideband] // of strangers who met at a socket; else nil
	eof   atomic.Bool              // io.EOF was returned once, and stays
	phase atomic.Int32             // changed with mu held
	seen  atomic.Int64             // when a Try call looked at the peers last

	mu      sync.Mutex // held in Close, in Handover, and to look at the peers
	cleanup runtime.Cleanup
}

// newEnd takes the roles of one end in those directions. It takes over the
// attachment when it succeeds.
func newEnd(p *attachment, which int, open direction, o *Options) (*end, error) {
	e := &end{att: p, seg: p.seg, opts: *o, which: which}
	e.name = p.seg.Name() + "." + string(rune('a'+which))
	e.out, e.in = p.rings[0], p.rings[0]
	switch {
	case len(p.rings) == 2:
		e.out, e.in = p.rings[which], p.rings[1-which]
	case which == 0:
		e.out = nil
	default:
		e.in = nil
	}
	if open&sends != 0 && e.out != nil {
		w, err := e.out.Writer()
		if err != nil {
			return nil, err
		}
		e.w.Store(w)
	}
	if open&receives != 0 && e.in != nil {
		r, err := e.in.Reader()
		if err != nil {
			return nil, err
		}
		e.r.Store(r)
	}
	return e, nil
}

// usable returns why the end cannot be used in a direction any more, nil if it
// can.
func (e *end) usable(op string, d direction) error {
	if e.open()&d == d {
		return nil
	}
	return e.closed(op)
}

// closed returns the error for a direction that is not open.
func (e *end) closed(op string) error {
	switch e.phase.Load() {
	case phaseMoved:
		return &opError{op, e.name, ErrMoved, nil}
	case phasePassing: // it may yet be undone
		return &opError{op, e.name, ErrBusy, nil}
	}
	return &opError{op, e.name, ErrClosed, nil}
}

// open returns the directions that are not closed here.
func (e *end) open() (d direction) {
	if e.gone() {
		return 0
	}
	if w := e.w.Load(); w != nil && !w.Closed() {
		d |= sends
	}
	if r := e.r.Load(); r != nil && !r.Closed() {
		d |= receives
	}
	return d
}

// gone reports whether the end has been closed or passed on.
func (e *end) gone() bool {
	p := e.phase.Load()
	return p == phaseClosed || p == phaseMoved
}

// close gives the end up and wakes everybody who is blocked on it.
func (e *end) close() error {
	e.mu.Lock()
	if e.gone() {
		e.mu.Unlock()
		return nil
	}
	e.phase.Store(phaseClosed)
	e.cleanup.Stop()
	e.mu.Unlock()
	var err error
	for _, r := range []*ring.Ring{e.out, e.in} {
		if r != nil {
			err = errors.Join(err, r.Close())
		}
	}
	if b := e.side.Load(); b != nil { // after who is blocked: closing a stranger's files can take time
		b.close()
	}
	return errors.Join(err, e.seg.Close())
}

// closeRole gives up one direction. A Handover sees it open or closed, never in
// between: what the child must not take up again is in the Detail.
func (e *end) closeRole(d direction) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if w := e.w.Load(); d == sends && w != nil {
		return w.Close()
	}
	if r := e.r.Load(); d == receives && r != nil {
		return r.Close()
	}
	return nil
}

// drop closes an end whose handle is garbage. What is on loan can never be
// given back now, but somebody may still look at it, so the memory stays; the
// roles are given up nevertheless.
func (e *end) drop() {
	kept := e.seg.Retain() == nil
	e.close()
	lent := false
	if w := e.w.Load(); w != nil {
		lent = w.Abort() == nil
	}
	if r := e.r.Load(); r != nil {
		lent = r.Release() == nil || lent
	}
	if kept && !lent {
		e.seg.Release()
	}
}

// lookTime is how often a Try call that fails looks whether the peer lives.
// Blocked calls are told; who polls has to ask.
const lookTime = 50 * time.Millisecond

// look tests the peers when that is due, and reports whether it did, so that it
// is worth trying once more.
func (e *end) look() bool {
	now, last := sys.Monotonic(), e.seen.Load()
	if now-last < int64(lookTime) || !e.mu.TryLock() {
		return false
	}
	defer e.mu.Unlock()
	if e.gone() {
		return false // the segment is not ours any more
	}
	e.seen.Store(now)
	e.seg.CheckPeers()
	return true
}

// describe says which end it is and what can be done with it.
func (e *end) describe() string {
	switch e.phase.Load() {
	case phaseClosed:
		return e.name + " (closed)"
	case phaseMoved:
		return e.name + " (passed to another process)"
	}
	return fmt.Sprintf("%s (%v)", e.name, e.open())
}

// peer says what is known of the other end, and looks whether it lives.
func (e *end) peer() (p Peer) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.gone() || e.seg.Retain() != nil {
		return Peer{}
	}
	defer e.seg.Release()
	e.seg.CheckPeers()
	if w := e.w.Load(); w != nil {
		p.State = w.Peer()
	}
	if r := e.r.Load(); r != nil && p.State != ring.PeerAlive {
		p.State = max(r.Peer(), p.State) // died tells more than closed
		if r.Peer() == ring.PeerAlive {
			p.State = ring.PeerAlive
		}
	}
	if p.State != ring.PeerAlive {
		return p
	}
	id := shm.ID(e.att.header.ends[1-e.which].Load())
	for _, one := range e.seg.Participants() {
		if one.ID == id {
			p.PID = one.PID
		}
	}
	return p
}

// kinds says which of our errors stands for one of package ring.
var kinds = []struct{ ring, conn error }{
	{ring.ErrBusy, ErrBusy},
	{ring.ErrBrokenPipe, ErrBrokenPipe},
	{ring.ErrMessageLost, ErrMessageLost},
	{ring.ErrTooLarge, ErrTooLarge},
	{ring.ErrNotReserved, ErrNotReserved},
	{ring.ErrNotPeeked, ErrNotPeeked},
	{ring.ErrCorrupt, ErrCorrupt},
}

// failed translates an error of package ring from an operation in one
// direction.
func (e *end) failed(op string, d direction, err error) error {
	switch {
	case errors.Is(err, ring.ErrClosed) && e.open()&d != 0:
		return &opError{op, e.name, ErrBusy, nil} // a Handover was undone
	case errors.Is(err, ring.ErrClosed), e.open()&d == 0 && nothingLent(err):
		return e.closed(op)
	case contextError(err) != nil && errors.Is(err, ring.ErrFull):
		return &opError{op, e.name, ErrFull, contextError(err)}
	case contextError(err) != nil && errors.Is(err, ring.ErrEmpty):
		return &opError{op, e.name, ErrEmpty, contextError(err)}
	}
	for _, k := range kinds {
		if errors.Is(err, k.ring) {
			return &opError{op, e.name, k.conn, err}
		}
	}
	return &opError{op, e.name, nil, err}
}

// nothingLent reports that a loan was to be given back and there was none.
func nothingLent(err error) bool {
	return errors.Is(err, ring.ErrNotReserved) || errors.Is(err, ring.ErrNotPeeked)
}
