package shm

// The word pins counts what keeps the mapping and the slot:
//
//	bit 0        closed: no new pins
//	bit 1        poisoned: no new pins
//	bit 2        down: somebody runs teardown, once
//	bits 3..63   pins, one of which is the open handle's own
const (
	pinClosed = 1 << iota
	pinPoisoned
	pinDown
	onePin
)

// Retain pins the mapping and the participant slot until [Segment.Release], so
// that a Close in between takes effect only then. It fails with an error that
// satisfies errors.Is(err, os.ErrClosed) after Close, and with that of
// [Segment.Err] once the segment is poisoned.
func (s *Segment) Retain() error {
	if s.pins.Add(onePin)&(pinClosed|pinPoisoned) == 0 {
		return nil
	}
	s.Release()
	if err := s.Err(); err != nil {
		return wrap("use", s.name, err)
	}
	return wrap("use", s.name, ErrClosed)
}

// Release undoes one [Segment.Retain] that succeeded.
func (s *Segment) Release() { s.unpin() }

// unpin drops a pin, and whoever drops the last one of a closed segment tears
// it down.
func (s *Segment) unpin() error {
	n := s.pins.Add(-onePin)
	if n&pinClosed == 0 || n >= onePin || n&pinDown != 0 {
		return nil
	}
	// A Retain that is about to fail may be counted in between; it then
	// takes our place.
	for n < onePin && n&pinDown == 0 {
		if s.pins.CompareAndSwap(n, n|pinDown) {
			return s.teardown()
		}
		n = s.pins.Load()
	}
	return nil
}

// Keep keeps the memory mapped until [Segment.Unkeep], Close or not, for what
// reads and writes it without a call to Retain each time. Unlike Retain it keeps
// no participant: after Close the memory is that of somebody who has left.
//
// Preconditions: the segment is not closed, or is being kept.
func (s *Segment) Keep() { s.maps.Add(1) }

// Unkeep undoes one [Segment.Keep]. It reports why the memory could not be
// unmapped.
func (s *Segment) Unkeep() error {
	if s.maps.Add(-1) != 0 {
		return nil
	}
	unregister(s)
	return s.mapping.Unmap()
}
