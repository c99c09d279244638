package lock

import (
	"hash/fnv"
	"os"

	"github.com/sluice-ipc/sluice/internal/place"
	"github.com/sluice-ipc/sluice/shm"
)

// version is that of the layout of everything in this package.
const version = 1

// Options tunes a lock. The zero value is ready to use, and so is nil.
type Options struct {
	// Permits is how many permits a semaphore begins with. Max is the most
	// it can have, at most MaxPermits; a semaphore with Max equal to Permits
	// is bounded. If both are 0 there is one permit; if only Max is 0, it is
	// Permits.
	Permits, Max int

	// Parties is how many calls of Wait a barrier lets go together, 1 to
	// MaxParties.
	//
	// These fields are the creator's. Who attaches leaves them 0, or has to
	// say the same.
	Parties int

	// Action is run by a barrier's last party to arrive, before any goes on.
	// Every process gives its own. Its error, or panic, breaks the barrier.
	Action func() error

	// Mutex is the lock that a condition belongs to. The default is one of
	// its own; see [Cond.Mutex].
	Mutex *Mutex

	// Segment says how a segment is made or attached to. Size, Kind, Version,
	// Fingerprint, ElemType, Init and Attach are set by this package. It
	// means nothing to At.
	Segment shm.Options
}

func (o *Options) orZero() *Options {
	if o == nil {
		return new(Options)
	}
	return o
}

// object is a lock of this package, T, seen through a pointer.
type object[T any] interface {
	*T
	// kind names the lock. It needs no receiver.
	kind() string
	// size returns how many bytes the lock takes, or why the options make no
	// sense. It needs no receiver.
	size(o *Options, slots int) (int64, error)
	// attach makes the handle one on the lock at p, tagged already.
	attach(p place.Spot, o *Options) error
}

// layer is a lock that writes something before anybody else can attach to its
// segment. lay needs no receiver, and the options make sense.
type layer interface{ lay(b []byte, o *Options) }

// maker is a lock that cannot be made with all the options that suffice to attach
// to one. enough needs no receiver.
type maker interface{ enough(o *Options) error }

// Create makes a lock in a new segment of that name, as shm.Create does.
func Create[T any, P object[T]](name string, o *Options) (*T, error) {
	if err := enough[T, P](o); err != nil {
		return nil, err
	}
	return open[T, P](o, func(so *shm.Options) (*shm.Segment, error) { return shm.Create(name, so) })
}

// Open attaches to the lock in the segment of that name, as shm.Open does.
func Open[T any, P object[T]](name string, o *Options) (*T, error) {
	return open[T, P](o, func(so *shm.Options) (*shm.Segment, error) { return shm.Open(name, so) })
}

// OpenOrCreate attaches to the lock of that name, or makes it.
func OpenOrCreate[T any, P object[T]](name string, o *Options) (*T, error) {
	return open[T, P](o, func(so *shm.Options) (*shm.Segment, error) { return shm.OpenOrCreate(name, so) })
}

// Anonymous makes a lock that has no name, to be passed to children with
// shm.Pass or sent to other processes. The label appears in errors.
func Anonymous[T any, P object[T]](label string, o *Options) (*T, error) {
	if err := enough[T, P](o); err != nil {
		return nil, err
	}
	return open[T, P](o, func(so *shm.Options) (*shm.Segment, error) { return shm.Anonymous(label, so) })
}

// Inherited attaches to the lock that the parent passed to this process under
// that name with shm.Pass.
func Inherited[T any, P object[T]](name string, o *Options) (*T, error) {
	return open[T, P](o, place.Inherited(name))
}

// FromFile attaches to the lock whose segment f is open on: one that came over a
// Unix socket, or the Segment().File() of another handle. f stays the caller's.
func FromFile[T any, P object[T]](f *os.File, o *Options) (*T, error) {
	return open[T, P](o, func(so *shm.Options) (*shm.Segment, error) { return shm.FromFile(f, so) })
}

// At returns a handle on the lock at byte off of the data of s, which is the
// caller's and stays open for as long as the lock is used; closing the handle
// does nothing. off is a multiple of 128. Memory that is zero is a lock that
// nobody holds. It takes [Size] bytes, and those who share it say the same
// options.
func At[T any, P object[T]](s *shm.Segment, off int64, o *Options) (*T, error) {
	h := P(new(T))
	o = o.orZero()
	size, err := h.size(o, s.Slots())
	if err != nil {
		return nil, err
	}
	p, err := place.At(s, off, size)
	if err != nil {
		return nil, wrap("place", h.kind(), err)
	}
	return use[T, P](p, o)
}

// Size returns how many bytes a lock takes in a segment with that many slots
// for participants, see [shm.Segment.Slots] and [shm.Options]; 0 is the default
// there. It is a multiple of 128.
func Size[T any, P object[T]](slots int, o *Options) (int64, error) {
	if slots == 0 {
		slots = place.DefaultSlots
	}
	return P(nil).size(o.orZero(), slots)
}

// enough says what is missing in the options for a new lock, before there is
// anything that would have to be removed.
func enough[T any, P object[T]](o *Options) error {
	if m, ok := any(P(nil)).(maker); ok {
		return m.enough(o.orZero())
	}
	return nil
}

func open[T any, P object[T]](o *Options, get place.Get) (*T, error) {
	var none P
	o = o.orZero()
	if _, err := none.size(o, place.DefaultSlots); err != nil {
		return nil, err
	}
	spec := &place.Spec{
		Kind: shm.KindLock, Version: version,
		Fingerprint: tag(none.kind()), ElemType: none.kind(),
		Size: func(slots int) int64 { n, _ := none.size(o, slots); return n },
	}
	if l, ok := any(none).(layer); ok {
		spec.Init = func(b []byte) { l.lay(b, o) }
	}
	p, err := place.Open(spec, o.Segment, get)
	if err != nil {
		return nil, err
	}
	h, err := use[T, P](p, o)
	if err != nil {
		p.Close()
		return nil, err
	}
	return h, nil
}

// use returns a handle on the lock at p.
func use[T any, P object[T]](p place.Spot, o *Options) (*T, error) {
	h := P(new(T))
	if err := p.Seg.Retain(); err != nil {
		return nil, err
	}
	defer p.Seg.Release()
	if _, err := p.Claim(0, "kind of lock", tag(h.kind())); err != nil {
		return nil, err
	}
	if err := h.attach(p, o); err != nil {
		return nil, err
	}
	place.Hold((*T)(h), &p)
	return (*T)(h), nil
}

// tag is what the first word of each lock says.
func tag(kind string) uint64 {
	h := fnv.New64a()
	h.Write([]byte("sluice lock v1 " + kind))
	return h.Sum64()
}
