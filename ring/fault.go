package ring

import (
	"runtime/debug"

	"github.com/sluice-ipc/sluice/internal/mem"
	"github.com/sluice-ipc/sluice/shm"
)

// armFaults makes faults on memory panics in this goroutine and returns what
// was set before.
func armFaults() bool { return debug.SetPanicOnFault(true) }

// recoverFault, deferred, ends what armFaults began and turns a fault into an
// error. Another panic goes on.
func (r *Ring) recoverFault(err *error, before bool) {
	debug.SetPanicOnFault(before)
	if p := recover(); p != nil {
		*err = r.fault(p)
	}
}

// fault turns a panic that the runtime raised for an address in the ring into
// an error, and lets any other go on.
func (r *Ring) fault(p any) error {
	a, ok := p.(interface {
		error
		Addr() uintptr
	})
	if !ok {
		panic(p)
	}
	at, ok := mem.Offset(r.bytes, a.Addr())
	if !ok || at < -controlSize {
		panic(p)
	}
	if r.seg != nil {
		if base, ok := mem.Offset(r.seg.Data(), a.Addr()); ok {
			return &shm.FaultError{Segment: r.name, Offset: r.seg.DataOffset() + int64(base)}
		}
	}
	return &shm.FaultError{Segment: r.name, Offset: int64(at) + controlSize}
}

// recoverFault is Ring.recoverFault for a call inside the writer's gate, which
// the fault has thrown out of the call.
func (w *Writer) recoverFault(err *error, before bool) {
	debug.SetPanicOnFault(before)
	if p := recover(); p != nil {
		w.err = w.r.fault(p)
		*err = w.err
		w.first, w.pos, w.room, w.batch = 0, w.pub, -1, false
		w.gate.Unblock()
		w.gate.Leave()
	}
}

// recoverFault is Ring.recoverFault for a call inside the reader's gate.
func (rd *Reader) recoverFault(err *error, before bool) {
	debug.SetPanicOnFault(before)
	if p := recover(); p != nil {
		rd.err = rd.r.fault(p)
		*err = rd.err
		rd.loaned = false
		rd.gate.Unblock()
		rd.gate.Leave()
	}
}
