package lock

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"

	"github.com/sluice-ipc/sluice/internal/mem"
	"github.com/sluice-ipc/sluice/internal/place"
	"github.com/sluice-ipc/sluice/internal/race"
	"github.com/sluice-ipc/sluice/shm"
)

// RWMutex is a lock that one writer holds, or any number of readers.
//
// The writer's side is that of a [Mutex]: it belongs to the participant, and
// when it dies the next writer gets [ErrOwnerDied]. Until that one has called
// MarkConsistent, readers get [ErrInconsistent] instead of the lock. Read locks
// are counted by participant: those of a dead one are void at once, and change
// nothing for the others, since who reads leaves nothing half done.
//
// A writer that waits keeps new readers out, so who has a read lock must not ask
// for another one before giving it back: it may wait for ever, for a writer that
// waits for it. Readers that have missed a turn, and waited for a millisecond, go
// before the writers that have not got the lock by then. So neither side is kept
// out for long by the other.
//
// Taking a read lock changes one word, that no other participant changes.
// Taking the lock for writing looks at one word for each slot of the segment.
type RWMutex struct {
	spot  place.Spot
	l     word           // the writer's
	cells []cell         // by slot
	own   *atomic.Uint64 // our cell
	inc   uint32         // our incarnation
	drain room           // where the one writer waits for readers to leave
	slot  atomic.Int32   // whose leaving it waits for
	held  atomic.Int64   // read locks that this handle gave out
	enter room           // where readers wait for the writer to leave
}

// Where the words of an RWMutex lie. A cell for each slot follows.
const (
	rwWord  = 8
	rwEvent = 16 // writers that wait for each other
	rwDrain = 20
	rwEnter = 24
	rwAsked = 28 // readers have waited for long: see word.asked
	rwCells = mem.FalseShare
)

// A cell counts the read locks of one participant. It says which owner of the
// slot that is (bits 32-63) and how many (bits 0-31), so that what somebody has
// left behind says nothing of the slot's next owner. Only its participant
// changes it.
type cell struct {
	n atomic.Uint64
	_ [mem.FalseShare - 8]byte
}

func (*RWMutex) kind() string { return "rwmutex" }

func (*RWMutex) size(_ *Options, slots int) (int64, error) {
	return rwCells + mem.FalseShare*int64(slots), nil
}

func (m *RWMutex) attach(p place.Spot, _ *Options) error {
	m.spot = p
	m.l = newWord(p, rwWord, rwEvent)
	m.l.take |= entering
	m.l.asked = mem.Uint32(p.Data, rwAsked)
	m.drain = newRoom(mem.Uint32(p.Data, rwDrain), p.Seg)
	m.enter = newRoom(mem.Uint32(p.Data, rwEnter), p.Seg)
	m.cells = mem.Slice[cell](p.Data, rwCells, p.Seg.Slots())
	m.own = &m.cells[p.Seg.ID().Slot()].n
	m.inc = p.Seg.ID().Incarnation()
	return nil
}

// Lock takes the lock for writing, and waits until nobody else has it.
// [ErrOwnerDied] comes with the lock held; all other errors without it:
// [ErrNotRecoverable], an error of the context, and [ErrClosed]. A context that
// is done already gets one attempt.
//
// Who dies while it waits has changed nothing, and nobody is told.
//
// From then on until Unlock, Close takes no effect.
func (m *RWMutex) Lock(ctx context.Context) error {
	if err := m.spot.Seg.Retain(); err != nil {
		return wrap("lock", m.spot.Name(), err)
	}
	return m.taken(m.lock(ctx))
}

func (m *RWMutex) lock(ctx context.Context) error {
	var told error
	if m.l.asked.Load() != 0 || !m.l.quick() {
		told = m.l.lock(ctx)
		if told != nil && !errors.Is(told, ErrOwnerDied) {
			return told
		}
	}
	if err := m.await(ctx); err != nil {
		m.giveUp()
		return err
	}
	race.Acquire(m.l.key) // of the readers
	if err := m.l.strip(entering); err != nil {
		return err
	}
	return told
}

// taken passes on what an attempt has come to.
func (m *RWMutex) taken(err error) error {
	if err == nil {
		return nil
	}
	if !errors.Is(err, ErrOwnerDied) {
		m.spot.Seg.Release()
	}
	return wrap("lock", m.spot.Name(), err)
}

// TryLock takes the lock for writing if that is possible at once, and says
// whether it did. The errors are those of Lock: with [ErrOwnerDied] it is true.
func (m *RWMutex) TryLock() (bool, error) {
	if err := m.spot.Seg.Retain(); err != nil {
		return false, wrap("lock", m.spot.Name(), err)
	}
	ok, err := m.try()
	if !ok && err == nil {
		m.spot.Seg.Release()
	}
	return ok, m.taken(err)
}

func (m *RWMutex) try() (bool, error) {
	if !m.empty() {
		return false, nil // without keeping other readers out for a moment
	}
	m.l.probe()
	ok, told := m.l.try(true)
	if !ok {
		return false, told
	}
	if !m.empty() {
		m.giveUp()
		return false, nil
	}
	race.Acquire(m.l.key) // of the readers
	if err := m.l.strip(entering); err != nil {
		return false, err
	}
	return true, told
}

// giveUp gives the word up before its owner was let in.
func (m *RWMutex) giveUp() {
	if m.spot.Seg.Err() == nil { // else the others take us for dead anyway
		m.l.unlock(true)
		m.enter.ev.WakeAll()
	}
}

// Unlock gives up what Lock took. What this handle does not hold stays as it
// is: [ErrNotLocked], [ErrNotOwner].
func (m *RWMutex) Unlock() error { return m.unlock(false) }

func (m *RWMutex) unlock(abandon bool) error {
	err := m.entered()
	if err == nil {
		err = m.l.unlock(abandon)
	}
	if err != nil {
		return wrap("unlock", m.spot.Name(), err)
	}
	m.enter.ev.WakeAll()
	m.spot.Seg.Release()
	return nil
}

// entered says that nobody holds the lock while somebody of ours only waits for
// the readers to leave.
func (m *RWMutex) entered() error {
	if v := m.l.w.Load(); v&ownerBits == m.l.me && v&entering != 0 {
		return ErrNotLocked
	}
	return nil
}

// MarkConsistent says that what the lock protects is as it should be again,
// after [ErrOwnerDied], and lets readers in after Unlock. Only the owner can say
// that.
func (m *RWMutex) MarkConsistent() error {
	err := m.entered()
	if err == nil {
		err = m.l.mark()
	}
	return wrap("mark", m.spot.Name(), err)
}

// Held reports whether some goroutine holds the lock for writing through this
// handle.
func (m *RWMutex) Held() bool {
	v := m.l.w.Load()
	runtime.KeepAlive(m)
	return v&(ownerBits|entering) == m.l.me
}

// Holder returns who holds the lock for writing, or waits for the readers to
// leave and keeps new ones out, dead or alive; and 0 if nobody does.
func (m *RWMutex) Holder() shm.ID {
	v := m.l.w.Load()
	runtime.KeepAlive(m)
	return shm.ID(v & ownerBits)
}

// With calls f with the lock held for writing. It does not call it when Lock
// returns an error, [ErrOwnerDied] included, which leaves things to the next
// one: see Lock.
func (m *RWMutex) With(ctx context.Context, f func() error) (err error) {
	if err := m.Lock(ctx); err != nil {
		if errors.Is(err, ErrOwnerDied) {
			m.unlock(true)
		}
		return err
	}
	defer func() { err = errors.Join(err, m.Unlock()) }()
	return f()
}

// String says who holds the lock for writing, and how many participants read.
func (m *RWMutex) String() string {
	return fmt.Sprintf("lock.RWMutex(%s, %s, %d readers)",
		m.spot.Name(), describe(m.spot.Seg, m.Holder()), len(m.Readers()))
}

// Segment returns the segment in which the lock lies.
func (m *RWMutex) Segment() *shm.Segment { return m.spot.Seg }

// Close gives up this handle. Waiting calls return [ErrClosed]; what is held
// through the handle stays so until it is unlocked. Closing a handle that came
// from At does nothing.
func (m *RWMutex) Close() error { return m.spot.Close() }

// Handover implements shm.Handle: the child gets a handle of its own, with
// [Inherited], and no lock.
func (m *RWMutex) Handover() (shm.Handover, error) { return m.spot.Handover() }
