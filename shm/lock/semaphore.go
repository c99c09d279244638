package lock

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"sync/atomic"

	"github.com/sluice-ipc/sluice/internal/mem"
	"github.com/sluice-ipc/sluice/internal/place"
	"github.com/sluice-ipc/sluice/shm"
)

// MaxPermits is how many permits a semaphore has at most.
const MaxPermits = 4096

// Semaphore is a number of permits, of which a process takes one at a time.
//
// There are two ways to use it. A permit that Acquire takes is held by the
// participant until it gives it back: when it dies, or leaves, the permit is
// free for others. A permit that Consume takes is gone, and any participant that
// holds none makes a new one with Release: so it says that something has
// happened, and a death undoes nothing.
//
// There are never more permits than [Options].Max, so a semaphore whose Max
// equals Permits is bounded: Release fails unless something was taken.
//
// Nobody is overtaken for long: who has waited for a millisecond gets a permit
// before those who come later, unless these use TryAcquire or TryConsume.
//
// Finding a permit takes longer the more there are and the fewer are free. With
// one to spare for everybody it is one step.
type Semaphore struct {
	spot    place.Spot
	me      uint64
	key     uint64 // for the race detector
	permits int    // what the semaphore began with
	cells   []atomic.Uint64
	room    room
	asked   *atomic.Uint32 // shared: somebody has waited for long
	hint    atomic.Int32   // where the last permit was taken or given back
	held    atomic.Int64   // permits of this handle's; each has a Retain
}

// Where the words of a semaphore lie. A cell for each permit follows.
const (
	semShape = 8 // Max in bits 32-63, Permits below
	semEvent = 16
	semAsked = 20
	semCells = mem.FalseShare
)

func (*Semaphore) kind() string { return "semaphore" }

func (*Semaphore) size(o *Options, _ int) (int64, error) {
	shape, err := o.shape()
	return cellsEnd(shape), err
}

// cellsEnd returns how many bytes a semaphore of that shape takes.
func cellsEnd(shape uint64) int64 { return place.Round(semCells + 8*int64(shape>>32)) }

// shape returns what the word of that name says for these options.
func (o *Options) shape() (uint64, error) {
	permits, most := o.Permits, o.Max
	if most == 0 {
		if permits == 0 {
			permits = 1
		}
		most = permits
		if permits < 1 || permits > MaxPermits {
			return 0, &OptionError{"Permits", o.Permits, fmt.Sprintf("1 to %d, or 0 to Max", MaxPermits)}
		}
	}
	switch {
	case most < 1 || most > MaxPermits:
		return 0, &OptionError{"Max", o.Max, fmt.Sprintf("1 to %d", MaxPermits)}
	case permits < 0 || permits > most:
		return 0, &OptionError{"Permits", o.Permits, fmt.Sprintf("0 to Max, %d", most)}
	}
	return uint64(most)<<32 | uint64(permits), nil
}

// lay writes the shape of a semaphore in a segment of its own, before anybody
// else can attach to it without saying the shape.
func (*Semaphore) lay(b []byte, o *Options) {
	shape, _ := o.shape()
	mem.At[atomic.Uint64](b, semShape).Store(shape)
}

func (s *Semaphore) attach(p place.Spot, o *Options) error {
	shape, err := o.shape()
	if err != nil {
		return err
	}
	want := shape
	if o.Permits == 0 && o.Max == 0 {
		want = 0 // whatever there is
	}
	got, err := p.Claim(semShape, "permits (<<32: most)", want)
	if err == nil && got == 0 {
		got, err = p.Claim(semShape, "permits (<<32: most)", shape)
	}
	if err != nil {
		return err
	}
	most, permits := got>>32, got&math.MaxUint32
	if most < 1 || most > MaxPermits || permits > most || p.Off+cellsEnd(got) > p.Seg.Size() {
		return &shm.FormatError{Segment: p.Name(), Field: "permits (<<32: most)", Got: got, Want: "what fits"}
	}
	p.Data = p.Seg.Data()[p.Off : p.Off+cellsEnd(got)]
	s.spot, s.permits, s.me, s.key = p, int(permits), uint64(p.Seg.ID()), p.Key()
	s.cells = mem.Slice[atomic.Uint64](p.Data, semCells, int(most))
	s.room = newRoom(mem.Uint32(p.Data, semEvent), p.Seg)
	s.asked = mem.Uint32(p.Data, semAsked)
	// Everybody begins on a line of his own, where there are enough.
	s.hint.Store(int32(p.Seg.ID().Slot() * mem.FalseShare / 8 % int(most)))
	return nil
}

// Acquire takes a permit and waits until there is one: an error of the context
// and [ErrClosed] come without. A context that is done already gets one attempt.
//
// From then on until Release, Close takes no effect.
func (s *Semaphore) Acquire(ctx context.Context) error {
	if err := s.spot.Seg.Retain(); err != nil {
		return wrap("acquire", s.spot.Name(), err)
	}
	if s.asked.Load() != 0 || !s.take(s.me) {
		if err := s.wait(ctx, s.me); err != nil {
			s.spot.Seg.Release()
			return wrap("acquire", s.spot.Name(), err)
		}
	}
	s.held.Add(1)
	return nil
}

// TryAcquire takes a permit if one is free now, and says whether it did. Where
// permits come and go faster than it can look at all of them it may miss one.
func (s *Semaphore) TryAcquire() (bool, error) {
	if err := s.spot.Seg.Retain(); err != nil {
		return false, wrap("acquire", s.spot.Name(), err)
	}
	if s.take(s.me) || s.probe() && s.take(s.me) {
		s.held.Add(1)
		return true, nil
	}
	s.spot.Seg.Release()
	return false, nil
}

// Consume is Acquire of a permit that nobody gives back.
func (s *Semaphore) Consume(ctx context.Context) error {
	if err := s.spot.Seg.Retain(); err != nil {
		return wrap("consume", s.spot.Name(), err)
	}
	defer s.spot.Seg.Release()
	if s.asked.Load() == 0 && s.take(absent) {
		return nil
	}
	return wrap("consume", s.spot.Name(), s.wait(ctx, absent))
}

// TryConsume is TryAcquire of a permit that nobody gives back.
func (s *Semaphore) TryConsume() (bool, error) {
	if err := s.spot.Seg.Retain(); err != nil {
		return false, wrap("consume", s.spot.Name(), err)
	}
	defer s.spot.Seg.Release()
	return s.take(absent) || s.probe() && s.take(absent), nil
}

// Release gives back a permit that this handle has acquired; any goroutine may.
// If it has none, Release makes a new permit, unless there are Max of them, held
// and free: [ErrOverRelease], and nothing is changed.
func (s *Semaphore) Release() error {
	if s.giving() {
		err := s.giveBack()
		s.spot.Seg.Release()
		return wrap("release", s.spot.Name(), err)
	}
	if err := s.spot.Seg.Retain(); err != nil {
		return wrap("release", s.spot.Name(), err)
	}
	defer s.spot.Seg.Release()
	return wrap("release", s.spot.Name(), s.add())
}

// Value returns how many permits are free at the moment, with those of the dead
// as soon as somebody has noticed their deaths.
func (s *Semaphore) Value() int { return s.count(permitFree) }

// Max returns how many permits there are at most.
func (s *Semaphore) Max() int { return len(s.cells) }

// Held returns how many permits this handle has acquired and not released.
func (s *Semaphore) Held() int { return int(s.held.Load()) }

// With calls f with a permit, unless Acquire returns an error.
func (s *Semaphore) With(ctx context.Context, f func() error) (err error) {
	if err := s.Acquire(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Release()) }()
	return f()
}

// String says how many permits are free and held.
func (s *Semaphore) String() string {
	return fmt.Sprintf("lock.Semaphore(%s, %d permits free, %d held, of %d)",
		s.spot.Name(), s.Value(), s.count(permitOurs)+s.count(permitTheirs), s.Max())
}

func (s *Semaphore) count(what state) (n int) {
	for i := range s.cells {
		if s.state(i, s.cells[i].Load()) == what {
			n++
		}
	}
	runtime.KeepAlive(s)
	return n
}

// Segment returns the segment in which the semaphore lies.
func (s *Semaphore) Segment() *shm.Segment { return s.spot.Seg }

// Close gives up this handle. Waiting calls return [ErrClosed]; permits that are
// held through the handle stay so until they are released. Closing a handle that
// came from At does nothing.
func (s *Semaphore) Close() error { return s.spot.Close() }

// Handover implements shm.Handle: the child gets a handle of its own, with
// [Inherited], and no permit.
func (s *Semaphore) Handover() (shm.Handover, error) { return s.spot.Handover() }
