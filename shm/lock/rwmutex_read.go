package lock

import (
	"context"
	"errors"
	"math"
	"runtime"

	"github.com/sluice-ipc/sluice/internal/hook"
	"github.com/sluice-ipc/sluice/internal/race"
	"github.com/sluice-ipc/sluice/shm"
)

// RLock takes the lock for reading, beside other readers, and waits while a
// writer holds it or waits for it. An error comes without the lock:
// [ErrInconsistent], [ErrNotRecoverable], an error of the context, and
// [ErrClosed]. A context that is done already gets one attempt.
//
// From then on until RUnlock, Close takes no effect.
func (m *RWMutex) RLock(ctx context.Context) error {
	if err := m.spot.Seg.Retain(); err != nil {
		return wrap("read lock", m.spot.Name(), err)
	}
	ok, err := m.tryRead()
	if !ok && err == nil {
		err = m.waitToRead(ctx)
	}
	if err != nil {
		m.spot.Seg.Release()
		return wrap("read lock", m.spot.Name(), err)
	}
	return nil
}

// TryRLock takes the lock for reading if that is possible at once, and says
// whether it did. The errors are those of RLock.
func (m *RWMutex) TryRLock() (bool, error) {
	if err := m.spot.Seg.Retain(); err != nil {
		return false, wrap("read lock", m.spot.Name(), err)
	}
	ok, err := m.tryRead()
	if !ok && err == nil && m.l.probe() {
		ok, err = m.tryRead()
	}
	if !ok {
		m.spot.Seg.Release()
	}
	return ok, wrap("read lock", m.spot.Name(), err)
}

// RUnlock undoes one RLock, of any goroutine that uses this handle. If there is
// none to undo it changes nothing: [ErrNotLocked].
func (m *RWMutex) RUnlock() error {
	// What others have only announced is not there to be undone.
	for n := m.held.Load(); ; n = m.held.Load() {
		if n <= 0 {
			return wrap("read unlock", m.spot.Name(), ErrNotLocked)
		}
		if m.held.CompareAndSwap(n, n-1) {
			break
		}
	}
	m.withdraw()
	m.spot.Seg.Release()
	return nil
}

// RWith calls f with the lock held for reading, unless RLock returns an error.
func (m *RWMutex) RWith(ctx context.Context, f func() error) (err error) {
	if err := m.RLock(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.RUnlock()) }()
	return f()
}

// Readers returns the participants that hold the lock for reading, each once.
func (m *RWMutex) Readers() []shm.ID {
	var ids []shm.ID
	for i := range m.cells {
		if id, ok := m.reader(i); ok {
			ids = append(ids, id)
		}
	}
	runtime.KeepAlive(m)
	return ids
}

// waitToRead waits until there is neither a writer nor one that waits.
func (m *RWMutex) waitToRead(ctx context.Context) error {
	m.l.probe()
	a := newAsker((*claim)(&m.l), m.l.asked)
	defer a.free()
	for {
		if ok, err := m.tryRead(); ok || err != nil {
			return err
		}
		if a.late() {
			if err := ctx.Err(); err != nil {
				return err // also if somebody takes down at once what we ask
			}
			hook.At("lock.read.ask")
			a.ask()
		}
		if err := m.enter.wait(ctx, a); err != nil {
			return err
		}
		if !m.spot.Seg.Usable() {
			return m.spot.Seg.Retain() // which says why
		}
	}
}

// tryRead takes a read lock if it can be had now, and says whether it did.
//
// A reader announces itself and then looks for a writer; a writer takes the
// word and then looks for readers. One of them sees the other at least.
func (m *RWMutex) tryRead() (bool, error) {
	for {
		v := m.l.w.Load()
		if admits(v) {
			if err := m.announce(); err != nil {
				return false, err
			}
			hook.At("lock.read.look")
			v = m.l.w.Load() //sync:lock-word acquire: what the last writer did
			if admits(v) {
				race.Acquire(m.l.key)
				m.held.Add(1)
				return true, nil
			}
			m.withdraw()
		}
		if again, err := m.refused(v); !again {
			return false, err
		}
	}
}

// admits reports whether a word of that value lets readers in.
func admits(v uint64) bool { return v&(ownerBits|inconsistent|lost) == 0 }

// refused says what keeps readers out when the word is v, or that it may be
// gone: it is when that was somebody's who has died.
func (m *RWMutex) refused(v uint64) (again bool, err error) {
	switch owner := v & ownerBits; {
	case v&lost != 0:
		return false, ErrNotRecoverable
	case owner == 0:
		return false, ErrInconsistent
	case !over(m.spot.Seg, owner):
		return false, nil
	}
	next := v & inconsistent
	if v&entering == 0 {
		next = inconsistent
	}
	hook.At("lock.read.bury")
	if m.l.w.CompareAndSwap(v, next) {
		m.l.room.ev.Wake()
		m.enter.ev.WakeAll()
	}
	return true, nil
}

// announce counts one more read lock of ours.
func (m *RWMutex) announce() error {
	n := m.own
	for {
		v := n.Load()
		next := v + 1
		switch {
		case uint32(v>>32) != m.inc:
			next = uint64(m.inc)<<32 | 1 // what is there was another's
		case uint32(v) == math.MaxUint32:
			return &shm.FormatError{Segment: m.spot.Name(), Field: "read locks", Got: uint32(v), Want: "fewer"}
		}
		hook.At("lock.read.announce")
		if n.CompareAndSwap(v, next) { //sync:lock-readers release: that we read, or look whether we may
			return nil
		}
	}
}

// withdraw counts one read lock of ours less, unless there is none.
func (m *RWMutex) withdraw() bool {
	n := m.own
	for {
		v := n.Load()
		if uint32(v>>32) != m.inc || uint32(v) == 0 {
			return false
		}
		hook.At("lock.read.leave")
		race.Release(m.l.key)
		if n.CompareAndSwap(v, v-1) { //sync:lock-readers release: we have read
			if uint32(v) == 1 {
				m.drain.ev.Wake()
			}
			return true
		}
	}
}

// empty reports whether a cell counts nothing, which most do.
func (c *cell) empty() bool {
	return uint32(c.n.Load()) == 0 //sync:lock-readers acquire: that its participant has read
}

// reader returns who has read locks in slot i, if somebody does.
func (m *RWMutex) reader(i int) (shm.ID, bool) {
	v := m.cells[i].n.Load() //sync:lock-readers acquire: who reads, and that the others have read
	id := uint64(i)<<32 | v>>32
	return shm.ID(id), uint32(v) != 0 && !over(m.spot.Seg, id)
}

// empty reports whether nobody reads. Of those who have died since somebody
// looked, it finds out.
func (m *RWMutex) empty() bool {
	for i := range m.cells {
		if m.cells[i].empty() {
			continue
		}
		if id, ok := m.reader(i); ok && !m.spot.Seg.Gone(id) {
			return false
		}
	}
	return true
}

// await waits until nobody reads. The word is ours, so that nobody new comes in.
func (m *RWMutex) await(ctx context.Context) error {
	for i := range m.cells {
		if m.cells[i].empty() {
			continue
		}
		id, ok := m.reader(i)
		if !ok || m.spot.Seg.Gone(id) {
			continue
		}
		m.slot.Store(int32(i))
		for ok {
			if err := m.drain.wait(ctx, (*left)(m)); err != nil {
				return err
			}
			if !m.spot.Seg.Usable() {
				return m.spot.Seg.Retain() // which says why
			}
			_, ok = m.reader(i)
		}
	}
	return nil
}

// left is the condition of a writer that waits for the readers of one slot.
type left RWMutex

// Ready reports whether there are none any more.
func (c *left) Ready() bool {
	_, ok := (*RWMutex)(c).reader(int(c.slot.Load()))
	return !ok || !c.spot.Seg.Usable()
}
