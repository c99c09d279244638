package wait

import (
	"slices"
	"sync/atomic"
)

// An entry is a word that goroutines are parked on: one at least, so that the
// memory is there.
type entry struct {
	word    *atomic.Uint32
	sole    bool
	bank    *bank
	v       uint32 // what the thread sleeps on
	fresh   bool   // v is not known yet
	waiters []*waiter

	// A wake-up may be meant for one waiter, and all who are ready see that it
	// is there. So few are told at a time, and the next, twice as many, when
	// those have had a chance to take it.
	batch int  // how many may be told at the next look, if more than a few
	told  int  // how many of those have not come yet
	more  bool // somebody was left over
}

// again has the thread look at the conditions of this word.
func (e *entry) again() {
	e.fresh = true
	e.bank.kick()
}

func (e *entry) add(w *waiter) {
	w.entry, w.index = e, len(e.waiters)
	e.waiters = append(e.waiters, w)
}

// drop takes a waiter out, which may be the last one.
func (e *entry) drop(w *waiter) {
	last := len(e.waiters) - 1
	e.waiters[w.index] = e.waiters[last]
	e.waiters[w.index].index = w.index
	e.waiters[last] = nil
	e.waiters = e.waiters[:last]
	w.entry = nil
}

// tell has a parked waiter look for itself. It calls came then.
func (e *entry) tell(w *waiter) {
	e.drop(w)
	e.told++
	w.unpark <- struct{}{}
}

// came notes that one who was told is running.
func (e *entry) came() {
	mux.Lock()
	defer mux.Unlock()
	if e.told--; e.told == 0 && e.more && len(e.waiters) > 0 {
		e.more = false
		e.again()
	}
}

// remove forgets a word that nobody is parked on any more.
func (e *entry) remove() {
	delete(mux.words, e.word)
	i := slices.Index(e.bank.entries, e)
	e.bank.entries = slices.Delete(e.bank.entries, i, i+1)
}

// mark shows a sleeper on a word that is new or has changed. It fails if the
// memory is gone: who waits must see that for himself.
func (e *entry) mark() (changed, ok bool) {
	defer func() { ok = !faulted(recover()) }()
	if !e.fresh && e.word.Load() == e.v {
		return false, true
	}
	e.fresh = false
	e.v = e.word.Or(waiters) | waiters //sync:asleep release: from here on wakers make the call
	sleeps.Add(1)
	return true, true
}

// few are told at a time at first: that costs less than to have the thread look
// again.
const few = 16

// look tells some of those who need not sleep, and reports whether there were any.
func (e *entry) look() (told bool) {
	defer func() {
		if faulted(recover()) {
			e.tellAll()
		}
	}()
	most := max(e.batch, few)
	n := most
	for i := 0; i < len(e.waiters) && n > 0; {
		w := e.waiters[i]
		if !w.c.Ready() {
			i++
			continue
		}
		if e.sole && len(e.waiters) == 1 {
			// Before the one who waits is told: afterwards the memory may
			// be gone.
			e.word.CompareAndSwap(e.v, e.v&^waiters)
		}
		e.tell(w)
		n--
		told = true
	}
	if e.more, e.batch = n == 0, 0; e.more {
		e.batch = 2 * most
	}
	if len(e.waiters) == 0 {
		e.remove()
	}
	return told
}

func (e *entry) tellAll() {
	for len(e.waiters) > 0 {
		e.tell(e.waiters[len(e.waiters)-1])
	}
	e.remove()
}

// faulted reports whether a panic was a fault on memory that is gone. Any other
// goes on.
func faulted(p any) bool {
	if p == nil {
		return false
	}
	if _, fault := p.(interface{ Addr() uintptr }); !fault {
		panic(p)
	}
	return true
}
