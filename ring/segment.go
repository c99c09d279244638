package ring

import (
	"github.com/sluice-ipc/sluice/shm"
)

// Create makes a ring in a new segment of that name, as shm.Create does.
func Create(name string, o *Options) (*Ring, error) {
	return open(o, func(so *shm.Options) (*shm.Segment, error) { return shm.Create(name, so) })
}

// Open attaches to the ring in the segment of that name, as shm.Open does.
func Open(name string, o *Options) (*Ring, error) {
	return open(o, func(so *shm.Options) (*shm.Segment, error) { return shm.Open(name, so) })
}

// OpenOrCreate attaches to the ring of that name, or makes it.
func OpenOrCreate(name string, o *Options) (*Ring, error) {
	return open(o, func(so *shm.Options) (*shm.Segment, error) { return shm.OpenOrCreate(name, so) })
}

// Anonymous makes a ring that has no name, to be passed to children or sent to
// other processes. The label appears in errors.
func Anonymous(label string, o *Options) (*Ring, error) {
	return open(o, func(so *shm.Options) (*shm.Segment, error) { return shm.Anonymous(label, so) })
}

// Inherited attaches to the ring that the parent passed to this process under
// that name with shm.Pass.
func Inherited(name string, o *Options) (*Ring, error) {
	return open(o, func(so *shm.Options) (*shm.Segment, error) {
		s, _, err := shm.Inherited(name, so)
		return s, err
	})
}

// open runs get with options under which the segment is laid out as a ring and
// repaired as one.
func open(o *Options, get func(*shm.Options) (*shm.Segment, error)) (*Ring, error) {
	v := o.withDefaults()
	v.Host = nil
	capacity, err := capacityFor(v.Size)
	if err != nil {
		return nil, err
	}
	var r *Ring
	so := v.Segment
	so.Kind, so.Version = shm.KindRing, layoutVersion
	so.Size = int64(controlSize + capacity)
	so.Init = func(b []byte) error {
		initialise(b, capacity, v.start)
		return nil
	}
	so.Attach = func(s *shm.Segment) (_ shm.Repairer, err error) {
		if r, err = attach(s.Name(), s.Data(), &v); err != nil {
			return nil, err
		}
		r.bind(s)
		return r, nil
	}
	seg, err := get(&so)
	if err != nil {
		return nil, err
	}
	r.seg, r.owned = seg, true
	return r, nil
}

// Over attaches to a ring in a part of a segment that holds other things as
// well. It is meant for the Attach function of shm.Options: the caller passes
// a participant's death on to Repair, and closes the segment.
func Over(s *shm.Segment, b []byte, o *Options) (*Ring, error) {
	r, err := attach(s.Name(), b, o)
	if err != nil {
		return nil, err
	}
	r.bind(s)
	r.seg = s
	return r, nil
}

// Handover implements shm.Handle: the child joins the ring as a participant of
// its own.
func (r *Ring) Handover() (shm.Handover, error) {
	if r.seg == nil {
		return shm.Handover{}, r.wrap("pass", ErrNoSegment)
	}
	return shm.Handover{Segment: r.seg}, nil
}

// Inherit implements shm.Inheritor, for package shm/proc.
func (*Ring) Inherit(name string) (any, error) { return Inherited(name, nil) }
