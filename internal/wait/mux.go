package wait

import (
	"context"
	"errors"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-ipc/sluice/internal/mem"
	"github.com/sluice-ipc/sluice/internal/sys"
)

// A goroutine asleep in a futex call holds a thread. A few may, and wake up as
// fast as the kernel can; beyond those, goroutines park, and a thread sleeps on
// the words of 127 events for all who wait for them. It does for them what
// waiter.loop does for one: show a sleeper, look at the conditions, sleep while
// the word does not change.

// maxDirect is how many goroutines of the process sleep in a call of their own.
// Tests change it.
var maxDirect int32 = 16

var directs atomic.Int32

// directly reports whether another goroutine may sleep in a call of its own; it
// is then counted in directs until it no longer does.
func directly() bool {
	if directs.Add(1) <= maxDirect || !sys.HaveWaitv() {
		return true
	}
	directs.Add(-1)
	return false
}

// mux has all goroutines that are parked. Its lock is held for short times only,
// but for the fence of one who marks a word.
var mux struct {
	sync.Mutex
	words map[*atomic.Uint32]*entry
	banks []*bank
}

// An entry is a word that goroutines are parked on: one at least, so that the
// memory is there.
type entry struct {
	word    *atomic.Uint32
	sole    bool
	bank    *bank
	v       uint32 // what the thread sleeps on
	fresh   bool   // v is not known yet
	waiters []*waiter
}

// A bank is a thread and the words it sleeps on.
type bank struct {
	entries []*entry
	running bool
	armed   bool          // the thread sleeps, or is about to, on what entries was
	turn    uint64        // changes each time it no longer does
	turned  sync.Cond     // waits for that
	kicked  bool          // control has been changed in this turn
	control atomic.Uint32 // private futex word: changed to have the thread look
	vector  sys.Vector
}

// loopParked is loop for a goroutine that parks.
func (w *waiter) loopParked(ctx context.Context) error {
	for {
		if !sys.HaveWaitv() { // gone since we looked
			defer w.disarm(w.arm(ctx))
			return w.loop(ctx)
		}
		if w.park() {
			return nil
		}
		select {
		case <-w.unpark:
		case <-ctx.Done():
			if !w.leave() {
				return ctx.Err()
			}
			<-w.unpark
		}
		if w.c.Ready() {
			return nil
		}
	}
}

// park enters w into the entry of its word, unless its condition holds.
func (w *waiter) park() (ready bool) {
	mux.Lock()
	defer mux.Unlock() // also when touching the word faults
	e := mux.words[w.e.word]
	if e == nil {
		w.e.word.Load() // who faults on it is the one who waits, not the thread
		e = newEntry(w.e)
	} else if !e.fresh && e.word.Load() == e.v { //sync:asleep release: the flag in v was there before the fence of who marked it
		if w.c.Ready() {
			return true
		}
		e.add(w)
		return false
	}
	e.add(w)
	e.fresh = true
	e.bank.kick()
	return false
}

// newEntry finds a bank for a word, and starts its thread if it has none.
func newEntry(ev *Event) *entry {
	i := slices.IndexFunc(mux.banks, func(b *bank) bool { return len(b.entries) < sys.VectorSize-1 })
	if i < 0 {
		b := new(bank)
		b.turned.L = &mux.Mutex
		mux.banks = append(mux.banks, b)
		i = len(mux.banks) - 1
	}
	b := mux.banks[i]
	e := &entry{word: ev.word, sole: ev.sole, bank: b}
	if mux.words == nil {
		mux.words = make(map[*atomic.Uint32]*entry)
	}
	mux.words[e.word] = e
	b.entries = append(b.entries, e)
	if !b.running {
		b.running = true
		go b.run()
	}
	return e
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

// tell has a parked waiter look for itself.
func (e *entry) tell(w *waiter) {
	e.drop(w)
	w.unpark <- struct{}{}
}

// leave takes out a waiter whose context is done. It reports whether the waiter
// was told to look before.
func (w *waiter) leave() (told bool) {
	mux.Lock()
	defer mux.Unlock()
	e := w.entry
	if e == nil {
		return true
	}
	e.drop(w)
	if len(e.waiters) == 0 {
		// A thread that slept on could be the one that a peer wakes, in vain,
		// and looks at the word, which may be gone when we return.
		e.remove()
		e.bank.evict()
	}
	return false
}

// remove forgets a word that nobody is parked on any more.
func (e *entry) remove() {
	delete(mux.words, e.word)
	i := slices.Index(e.bank.entries, e)
	e.bank.entries = slices.Delete(e.bank.entries, i, i+1)
}

// kick has the thread look at its entries.
func (b *bank) kick() {
	if b.armed && !b.kicked {
		b.kicked = true
		b.control.Add(1)
		sys.FutexWakePrivate(mem.Raw(&b.control), 1)
	}
}

// evict waits until the thread no longer sleeps on what entries was.
func (b *bank) evict() {
	for turn := b.turn; b.armed && b.turn == turn; {
		b.kick()
		b.turned.Wait()
	}
}

// refused is how long a thread waits that the kernel does not let sleep on its
// words for a reason that may pass.
const refused = time.Millisecond

// run is the goroutine whose thread sleeps. It ends when there is nobody left to
// sleep for.
func (b *bank) run() {
	debug.SetPanicOnFault(true) // of this goroutine: see entry.mark and entry.look
	for {
		mux.Lock()
		b.settle()
		if len(b.entries) == 0 {
			b.vector.Reset() // it points to words of others
			b.running = false
			mux.Unlock()
			return
		}
		b.vector.Reset()
		b.vector.Add(mem.Raw(&b.control), b.control.Load(), true)
		for _, e := range b.entries {
			b.vector.Add(mem.Raw(e.word), e.v, false)
		}
		b.armed = true
		mux.Unlock()
		err := b.vector.Wait()
		if err != nil && !errors.Is(err, errors.ErrUnsupported) {
			time.Sleep(refused) // no memory, say: all is looked at again then
		}
		mux.Lock()
		b.armed, b.kicked = false, false
		b.turn++
		b.turned.Broadcast()
		if errors.Is(err, errors.ErrUnsupported) {
			b.giveUp()
		}
		mux.Unlock()
	}
}

// settle looks at all words that have changed, tells those whose condition
// holds, and shows a sleeper for the others.
func (b *bank) settle() {
	var marked []*entry
	for i := len(b.entries) - 1; i >= 0; i-- {
		e := b.entries[i]
		switch changed, ok := e.mark(); {
		case !ok:
			e.tellAll()
		case changed:
			marked = append(marked, e)
		}
	}
	if len(marked) == 0 {
		return
	}
	fence()
	for _, e := range marked {
		e.look()
	}
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

// look tells those who need not sleep.
func (e *entry) look() {
	defer func() {
		if faulted(recover()) {
			e.tellAll()
		}
	}()
	for i := len(e.waiters) - 1; i >= 0; i-- {
		if w := e.waiters[i]; w.c.Ready() {
			if e.sole && len(e.waiters) == 1 {
				// Before the one who waits is told: afterwards the memory
				// may be gone.
				e.word.CompareAndSwap(e.v, e.v&^waiters)
			}
			e.tell(w)
		}
	}
	if len(e.waiters) == 0 {
		e.remove()
	}
}

func (e *entry) tellAll() {
	for len(e.waiters) > 0 {
		e.tell(e.waiters[len(e.waiters)-1])
	}
	e.remove()
}

// giveUp has everybody look for himself, because the call is gone.
func (b *bank) giveUp() {
	for len(b.entries) > 0 {
		b.entries[len(b.entries)-1].tellAll()
	}
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
