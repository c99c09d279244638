package wait

import (
	"context"
	"errors"
	"runtime"
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

// refusals counts those who had to park because there were enough already.
var refusals atomic.Uint64

// directly reports whether another goroutine may sleep in a call of its own; it
// is then counted in directs until it no longer does.
func directly() bool {
	if directs.Add(1) <= maxDirect || !sys.HaveWaitv() {
		return true
	}
	directs.Add(-1)
	refusals.Add(1)
	return false
}

// direct is loop for a goroutine that may sleep in a call of its own. It returns
// errMove when others need that more.
//
// Its thread keeps the P for some 20 µs, until the runtime takes that away from it.
// So where several wait by turns, in a server say, those that can run do so first:
// each would sleep with a P that another one needs.
func (w *waiter) direct(ctx context.Context) error {
	defer directs.Add(-1)
	if directs.Load() > 1 {
		runtime.Gosched()
		if w.c.Ready() {
			return nil
		}
	}
	defer w.disarm(w.arm(ctx))
	return w.loop(ctx)
}

// mux has all goroutines that are parked. Its lock is held for short times only,
// but for the fence of one who marks a word.
var mux struct {
	sync.Mutex
	words map[*atomic.Uint32]*entry
	banks []*bank
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
		e := w.park()
		if e == nil {
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
		e.came()
		if w.c.Ready() {
			return nil
		}
	}
}

// park enters w into the entry of its word, unless its condition holds.
func (w *waiter) park() *entry {
	mux.Lock()
	defer mux.Unlock() // also when touching the word faults
	e := mux.words[w.e.word]
	if e == nil {
		w.e.word.Load() // who faults on it is the one who waits, not the thread
		e = newEntry(w.e)
	} else if !e.fresh && e.word.Load() == e.v { //sync:asleep release: the flag in v was there before the fence of who marked it
		if w.c.Ready() {
			return nil
		}
		e.add(w)
		return e
	}
	e.add(w)
	e.again()
	return e
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

// refused is how long a thread waits that is not let sleep on its words: by the
// kernel, for a reason that may pass, or by who changes them all the time.
const refused = time.Millisecond

// inVain is how often in a row words may change without anybody being ready for
// it. Whoever does that is broken, or means harm, and has those wait who sleep on
// this thread, but not the others.
const inVain = 64

// run is the goroutine whose thread sleeps. It ends when there is nobody left to
// sleep for.
func (b *bank) run() {
	debug.SetPanicOnFault(true) // of this goroutine: see entry.mark and entry.look
	for vain := 0; ; {
		mux.Lock()
		if b.settle() {
			vain++
		} else {
			vain = 0
		}
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
		if vain > inVain {
			<-time.After(refused)
		}
		err := b.vector.Wait()
		if err != nil && !errors.Is(err, errors.ErrUnsupported) {
			<-time.After(refused) // no memory, say: all is looked at again then
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
// holds, and shows a sleeper for the others. It reports whether peers have changed
// words and nobody was ready.
func (b *bank) settle() (vain bool) {
	var marked []*entry
	for i := len(b.entries) - 1; i >= 0; i-- {
		e := b.entries[i]
		ours := e.fresh
		switch changed, ok := e.mark(); {
		case !ok:
			e.tellAll()
		case changed:
			marked = append(marked, e)
			vain = vain || !ours
		}
	}
	if len(marked) == 0 {
		return false
	}
	fence()
	for _, e := range marked {
		if e.look() {
			vain = false
		}
	}
	return vain
}

// giveUp has everybody look for himself, because the call is gone.
func (b *bank) giveUp() {
	for len(b.entries) > 0 {
		b.entries[len(b.entries)-1].tellAll()
	}
}
