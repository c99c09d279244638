package shm

import (
	"runtime"
	"runtime/debug"
)

// Guard calls f and returns its error; if f touches memory of a segment that
// is gone, because somebody truncated its file, Guard returns a [FaultError]
// instead of letting the process end. It works for the calling goroutine only.
// Any other panic or fault goes on as it would without Guard.
//
// After a FaultError the segment is poisoned: all that can be done with it, and
// with what is built on it, is to close it. f was left in the middle, so locks
// that it took without a deferred unlock stay locked.
//
// Only segments with a name need it: an anonymous one is sealed, and nobody
// can truncate it.
func Guard(f func() error) (err error) {
	old := debug.SetPanicOnFault(true)
	defer debug.SetPanicOnFault(old)
	defer func() {
		if r := recover(); r != nil {
			err = faultOf(r)
		}
	}()
	return f()
}

// faultOf turns the panic that r was recovered from into a FaultError, or goes
// on with it.
func faultOf(r any) error {
	e, ok := r.(interface {
		runtime.Error
		Addr() uintptr
	})
	if !ok {
		panic(r)
	}
	s, off := segmentAt(e.Addr())
	if s == nil {
		panic(r)
	}
	err := &FaultError{Segment: s.name, Offset: off}
	s.poison(err)
	return err
}
