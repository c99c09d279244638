package conn

import (
	"errors"
	"fmt"
	"strings"

	"github.com/sluice-ipc/sluice/ring"
	"github.com/sluice-ipc/sluice/shm"
)

// Inherited returns the end that the parent passed to this process under that
// name with shm.Pass. Of the options, those count that concern this process:
// MaxMessage, Spin, Codec, Prefault, Lock and HugePages.
//
// It succeeds once for each name. It fails with an error that satisfies
// errors.Is(err, fs.ErrNotExist) when nothing was passed under the name, with
// *shm.FormatError when that is not an end of a pipe, and with ErrDirection
// when it is the end of a simplex pipe: use InheritedRecv or InheritedSend.
func Inherited(name string, o *Options) (*Conn, error) {
	e, err := inherit(name, o, bothWays)
	if err != nil {
		return nil, err
	}
	return newConn(e), nil
}

// InheritedRecv is Inherited for the receiving end of a simplex pipe.
func InheritedRecv(name string, o *Options) (*RecvConn, error) {
	e, err := inherit(name, o, receives)
	if err != nil {
		return nil, err
	}
	return newRecvConn(e), nil
}

// InheritedSend is Inherited for the sending end of a simplex pipe.
func InheritedSend(name string, o *Options) (*SendConn, error) {
	e, err := inherit(name, o, sends)
	if err != nil {
		return nil, err
	}
	return newSendConn(e), nil
}

// inherit adopts an end that does what want says.
func inherit(name string, o *Options, want direction) (*end, error) {
	v := o.withDefaults()
	var p attachment
	which := -1
	p.want = func(s *shm.Segment) error { return p.belongs(s, want, &which) }
	seg, detail, err := shm.Inherited(name, v.segment(&p))
	if err != nil {
		return nil, fmt.Errorf("conn: inherit %s: %w", name, err)
	}
	p.seg = seg
	e, err := newEnd(&p, which, parseDetail(detail), &v)
	if err != nil {
		return nil, fmt.Errorf("conn: inherit %s: %w", name, errors.Join(err, p.discard()))
	}
	return e, nil
}

// belongs finds out which end the participant is, and refuses one that does not
// do what want says.
func (p *attachment) belongs(s *shm.Segment, want direction, which *int) error {
	if *which = p.endOf(s.ID()); *which < 0 {
		return &shm.FormatError{Segment: s.Name(), Field: "pipe end",
			Got: s.ID(), Want: "a participant that has one"}
	}
	if is := p.may(*which); is != want {
		return fmt.Errorf("%w: it %v, not %v", ErrDirection, is, want)
	}
	return nil
}

// endOf returns which end a participant is, -1 if it is none.
func (p *attachment) endOf(id shm.ID) int {
	for i := range p.header.ends {
		if id != 0 && shm.ID(p.header.ends[i].Load()) == id {
			return i
		}
	}
	return -1
}

// may returns what an end of this pipe does.
func (p *attachment) may(which int) direction {
	switch {
	case len(p.rings) == 2:
		return bothWays
	case which == 0:
		return receives
	}
	return sends
}

// The detail that goes with an end to the child says which directions are
// open: "r", "w" or "rw".
func detailOf(d direction) string {
	s := ""
	if d&receives != 0 {
		s += "r"
	}
	if d&sends != 0 {
		s += "w"
	}
	return s
}

func parseDetail(s string) (d direction) {
	if strings.Contains(s, "r") {
		d |= receives
	}
	if strings.Contains(s, "w") {
		d |= sends
	}
	return d
}

// handover prepares the end for another process.
func (e *end) handover() (shm.Handover, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	d := e.open()
	if d == 0 {
		return shm.Handover{}, e.closed("pass")
	}
	e.phase.Store(phasePassing)
	if err := e.detach(d); err != nil {
		e.phase.Store(phaseOpen)
		return shm.Handover{}, e.failed("pass", d, err)
	}
	e.phase.Store(phaseMoved)
	e.cleanup.Stop()
	if b := e.side.Load(); b != nil {
		b.close() // the socket stays behind
	}
	return shm.Handover{Segment: e.seg, Move: true, Detail: detailOf(d)}, nil
}

// detach ends this process's use of the rings without giving up the roles,
// which are those of open, or changes nothing.
func (e *end) detach(open direction) error {
	if err := e.idle(); err != nil {
		return err
	}
	if e.out != nil {
		if err := e.out.Detach(); err != nil {
			return err
		}
	}
	if e.in == nil {
		return nil
	}
	err := e.in.Detach()
	if err == nil || e.out == nil {
		return err
	}
	// Somebody began to receive since idle has looked, or has received a part
	// of a message.
	return errors.Join(err, e.reattach(open))
}

// idle returns ring.ErrBusy while a call is under way or memory is on loan, or
// files wait to be received.
func (e *end) idle() error {
	if b := e.side.Load(); b != nil && (len(b.files) > 0 || len(b.turn) > 0) {
		return ring.ErrBusy // what has arrived would be lost
	}
	if w := e.w.Load(); w != nil && !w.Closed() {
		switch _, err := w.TryReserve(0); err {
		case nil:
			w.Abort()
		case ring.ErrBusy:
			return err
		}
	}
	if r := e.r.Load(); r != nil && !r.Closed() {
		if _, err := r.TryPoll(); err == ring.ErrBusy {
			return err
		}
	}
	return nil
}

// reattach takes up the ring that we send in again after it was detached.
func (e *end) reattach(open direction) error {
	s, err := examine(e.name, e.seg.Data())
	if err != nil {
		return err
	}
	r, err := ring.Over(e.seg, s.region(e.seg.Data(), e.which), e.opts.ring())
	if err != nil {
		return err
	}
	if open&sends != 0 {
		w, err := r.Writer()
		if err != nil {
			return err
		}
		e.w.Store(w)
	}
	e.out = r
	return nil
}

// Inherit implements shm.Inheritor, for package shm/proc.
func (*Conn) Inherit(name string) (any, error) { return Inherited(name, nil) }

// Inherit implements shm.Inheritor, for package shm/proc.
func (*RecvConn) Inherit(name string) (any, error) { return InheritedRecv(name, nil) }

// Inherit implements shm.Inheritor, for package shm/proc.
func (*SendConn) Inherit(name string) (any, error) { return InheritedSend(name, nil) }
