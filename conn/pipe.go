package conn

import (
	"errors"
	"fmt"

	"github.com/sluice-ipc/sluice/ring"
	"github.com/sluice-ipc/sluice/shm"
)

// maxParticipants is the two ends and some room for those who look on.
const maxParticipants = 8

// Options tunes a pipe, and the handles on its ends in this process. The zero
// value is ready to use, and so is nil.
type Options struct {
	// Size is the number of bytes that each direction holds, as in
	// ring.Options: a power of two, 1 MiB by default. An inherited end has
	// the size that the pipe was made with.
	Size int

	// MaxMessage is the largest message in bytes that this handle sends or
	// receives: 1 GiB by default. Messages above half of Size travel in
	// pieces and need not fit the ring.
	MaxMessage int

	// Spin is how a blocked call passes the time before it sleeps. The
	// default is ring.SpinAdaptive.
	Spin ring.Spin

	// Codec turns objects into messages and back. The default is CBOR.
	// Both ends must use the same.
	Codec Codec

	// Label names the pipe in errors and in the system's lists of mappings.
	// The default is "pipe". An inherited end has the label that the pipe
	// was made with.
	Label string

	// Prefault makes all pages present at once, Lock keeps them in memory
	// and HugePages asks for huge ones, as in shm.Options.
	Prefault, Lock, HugePages bool
}

func (o *Options) withDefaults() Options {
	var v Options
	if o != nil {
		v = *o
	}
	if v.MaxMessage <= 0 {
		v.MaxMessage = ring.DefaultMaxMessage
	}
	if v.Codec == nil {
		v.Codec = CBOR
	}
	if v.Label == "" {
		v.Label = "pipe"
	}
	return v
}

// ring returns the options of the pipe's rings.
func (o *Options) ring() *ring.Options {
	return &ring.Options{Size: o.Size, MaxMessage: o.MaxMessage, Spin: o.Spin}
}

// segment returns the options under which this process attaches. What attach
// finds is left in p.
func (o *Options) segment(p *attachment) *shm.Options {
	return &shm.Options{
		Kind: shm.KindPipe, Version: layoutVersion,
		MaxParticipants: maxParticipants,
		Prefault:        o.Prefault, Lock: o.Lock, HugePages: o.HugePages,
		Attach: func(s *shm.Segment) (shm.Repairer, error) {
			return p, p.attach(s, o)
		},
	}
}

// Pipe makes a connection in anonymous shared memory and returns its two ends,
// both of which send and receive. Each end is a participant of its own, so that
// one of them can be passed to another process. Both must be closed, or passed.
//
// It takes two descriptors, and twice Options.Size of memory, all of which is
// reserved at once: no room is a *shm.NoSpaceError.
func Pipe(o *Options) (a, b *Conn, err error) {
	ends, err := makePipe(o, 2)
	if err != nil {
		return nil, nil, fmt.Errorf("conn: make pipe: %w", err)
	}
	return newConn(ends[0]), newConn(ends[1]), nil
}

// SimplexPipe makes a connection in one direction: what is sent into w arrives
// at r. Apart from that it is like Pipe.
func SimplexPipe(o *Options) (r *RecvConn, w *SendConn, err error) {
	ends, err := makePipe(o, 1)
	if err != nil {
		return nil, nil, fmt.Errorf("conn: make pipe: %w", err)
	}
	return newRecvConn(ends[0]), newSendConn(ends[1]), nil
}

// makePipe makes a pipe of one or two rings and attaches to it twice.
func makePipe(o *Options, rings int) (ends [2]*end, err error) {
	v := o.withDefaults()
	stride, err := ring.RegionSize(v.Size)
	if err != nil {
		return ends, err
	}
	s := shape{rings, stride}
	var p [2]attachment
	defer func() {
		if err != nil {
			err = errors.Join(err, p[0].discard(), p[1].discard())
		}
	}()
	so := v.segment(&p[0])
	so.Size = int64(s.size())
	so.Init = func(b []byte) error { return s.initialise(b, v.ring()) }
	if p[0].seg, err = shm.Anonymous(v.Label, so); err != nil {
		return ends, err
	}
	f, err := p[0].seg.File()
	if err != nil {
		return ends, err
	}
	defer f.Close()
	if p[1].seg, err = shm.FromFile(f, v.segment(&p[1])); err != nil {
		return ends, err
	}
	for i := range ends {
		p[0].header.ends[i].Store(uint64(p[i].seg.ID()))
	}
	for i := range ends {
		if ends[i], err = newEnd(&p[i], i, bothWays, &v); err != nil {
			return ends, err
		}
	}
	return ends, nil
}

// An attachment is this process's view of a pipe's memory, before and after it
// becomes an end.
type attachment struct {
	seg    *shm.Segment
	header *header
	rings  []*ring.Ring
	want   func(s *shm.Segment) error // may refuse; nil: all is welcome
}

// attach is the Attach function of shm.Options.
func (p *attachment) attach(s *shm.Segment, o *Options) error {
	b := s.Data()
	sh, err := examine(s.Name(), b)
	if err != nil {
		return err
	}
	if n := s.Slots(); n > maxParticipants { // each can make us watch a process
		return &shm.FormatError{Segment: s.Name(), Field: "participants", Got: n, Want: fmt.Sprint("at most ", maxParticipants)}
	}
	p.header = headerOf(b)
	p.rings = nil // a segment that was given up may have come before
	for i := range sh.rings {
		r, err := ring.Over(s, sh.region(b, i), o.ring())
		if err != nil {
			return err
		}
		p.rings = append(p.rings, r)
	}
	if p.want != nil {
		return p.want(s)
	}
	return nil
}

// Repair implements shm.Repairer.
func (p *attachment) Repair(dead shm.ID) (clean bool) {
	clean = true
	for _, r := range p.rings {
		clean = r.Repair(dead) && clean
	}
	return clean
}

// discard gives up everything that the attachment holds, its roles included.
func (p *attachment) discard() error {
	var err error
	for _, r := range p.rings {
		err = errors.Join(err, r.Close())
	}
	if p.seg != nil {
		err = errors.Join(err, p.seg.Close())
	}
	return err
}
