package value

import (
	"fmt"
	"runtime"
	"sync/atomic"

	"github.com/sluice-ipc/sluice/shm"
)

// View is the memory of an array, without a copy and without any order: other
// processes change it at any time, and what this process does to it is seen by
// them at some time. Who wants more holds [Array.Mutex] meanwhile, as the locking
// calls of all processes do.
//
// A view keeps the memory, and its array's place among the participants, until it
// is released, or collected. The slice alone keeps neither.
type View[T Number] struct {
	items []T
	loan  *loan
}

// A loan is a Retain that is given back once.
type loan struct {
	seg  *shm.Segment
	over atomic.Bool
}

func (l *loan) end() {
	if !l.over.Swap(true) {
		l.seg.Release()
	}
}

// View returns a view of all elements. [ErrClosed]: the array has been closed.
func (a *Array[T]) View() (*View[T], error) {
	if err := a.spot.Seg.Retain(); err != nil {
		return nil, wrap("view", a.spot.Name(), err)
	}
	v := &View[T]{items: a.items, loan: &loan{seg: a.spot.Seg}}
	runtime.AddCleanup(v, (*loan).end, v.loan)
	return v, nil
}

// Slice returns the memory. It must not be touched once the view has been
// released, or is no longer reachable; keep it that way with runtime.KeepAlive, or
// by deferring Release. Slice panics if the view has been released.
func (v *View[T]) Slice() []T {
	if v.loan.over.Load() {
		panic(fmt.Sprintf("value: the view of an array in %s has been released", v.loan.seg.Name()))
	}
	return v.items
}

// Release gives the memory back. Doing it again does nothing.
func (v *View[T]) Release() { v.loan.end() }
