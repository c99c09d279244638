package ring

import (
	"errors"
	"fmt"
	"slices"
	"sync"
)

// Errors of loans and taken messages.
var (
	// ErrTooManyHeld means that this handle holds as many loans and taken
	// messages, or unfinished tasks, as QueueOptions.Hold allows.
	ErrTooManyHeld = errors.New("ring: too many messages held")

	// ErrNotHeld means that a loan or taken message is not held any more: it
	// has been given back, and every copy of it with it.
	ErrNotHeld = errors.New("ring: message is not held")
)

// holdings are the loans and taken messages of a handle, and the tasks that have
// not been finished: as many as there are places.
//
// Who is about to take or to lend claims a place first, and then holds something
// in it or vacates it. In between it has a lane, so that this takes a moment
// only: who sleeps has no place.
type holdings struct {
	mu      sync.Mutex
	all     []holding
	free    []int32
	tasks   []int32   // oldest first
	pending int       // places that are claimed
	queued  int       // goroutines that wait for one of those
	settled sync.Cond // one of them has been held or vacated
	lost    bool      // a call that had claimed one has ended in a fault
}

type holding struct {
	m    taken
	gen  uint32 // of this use of the place
	is   placeState
	kind heldAs
}

// A placeState says what a place is used for.
type placeState uint8

const (
	placeFree    placeState = iota
	placeClaimed            // by a call that is taking or lending
	placeHeld
	placeLeaving // by a call that is giving back
)

// heldAs says what a holding is.
type heldAs uint8

const (
	heldLoan heldAs = iota
	heldMessage
	heldTask // to be finished by TaskDone
)

func (h *holdings) init(n int) {
	h.settled.L = &h.mu
	h.all = make([]holding, n)
	h.free = make([]int32, n)
	h.tasks = make([]int32, 0, n)
	for i := range h.free {
		h.free[i] = int32(n - 1 - i)
	}
}

// A ticket says which holding is meant.
type ticket struct {
	i   int32
	gen uint32
}

// claim reserves a place, if fewer are held than there are. The caller has a
// lane.
func (h *holdings) claim() (ticket, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for len(h.free) == 0 {
		if h.pending == 0 || h.lost {
			return ticket{}, false
		}
		h.queued++
		h.settled.Wait()
		h.queued--
	}
	i := h.free[len(h.free)-1]
	h.free = h.free[:len(h.free)-1]
	p := &h.all[i]
	p.gen++
	p.is = placeClaimed
	h.pending++
	return ticket{i, p.gen}, true
}

// abandon ends the waiting for claims that nobody will settle.
func (h *holdings) abandon() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lost = true
	h.settled.Broadcast()
}

// settle ends a claim. It is called with mu held.
func (h *holdings) settle(p *holding) {
	if p.is == placeClaimed {
		if h.pending--; h.queued > 0 {
			h.settled.Broadcast()
		}
	}
}

// vacate frees the place of t.
func (h *holdings) vacate(t ticket) {
	h.mu.Lock()
	defer h.mu.Unlock()
	p := &h.all[t.i]
	h.settle(p)
	p.is = placeFree
	h.free = append(h.free, t.i)
	if h.queued > 0 {
		h.settled.Broadcast()
	}
}

// detain makes the claim of t a place that is in use for longer than a moment.
func (h *holdings) detain(t ticket) {
	h.mu.Lock()
	defer h.mu.Unlock()
	p := &h.all[t.i]
	h.settle(p)
	p.is = placeLeaving
}

// hold makes m the holding of t. It keeps the memory until giveUp; the caller
// has a lane, which keeps it until then.
func (q *queue) hold(t ticket, m taken, as heldAs) {
	q.refs.Add(1)
	h := &q.held
	h.mu.Lock()
	defer h.mu.Unlock()
	p := &h.all[t.i]
	h.settle(p)
	p.m, p.is, p.kind = m, placeHeld, as
	if as == heldTask {
		h.tasks = append(h.tasks, t.i)
	}
}

// surrender ends the holding of t, a loan or not, for a caller who then calls
// giveUp or, when it could not do what it wanted, restore.
func (q *queue) surrender(t ticket, loan bool) (taken, error) {
	if q == nil {
		return taken{}, ErrNotHeld
	}
	h := &q.held
	h.mu.Lock()
	defer h.mu.Unlock()
	p := &h.all[t.i]
	if p.gen != t.gen || p.is != placeHeld || (p.kind == heldLoan) != loan {
		return taken{}, fmt.Errorf("ring: %s: %w", q.name, ErrNotHeld)
	}
	p.is = placeLeaving
	if p.kind == heldTask {
		h.tasks = slices.DeleteFunc(h.tasks, func(i int32) bool { return i == t.i })
	}
	return p.m, nil
}

// restore undoes surrender, but for a task.
func (q *queue) restore(t ticket) {
	h := &q.held
	h.mu.Lock()
	h.all[t.i].is = placeHeld
	h.mu.Unlock()
}

// disowned returns why what has been surrendered is not ours any more, if so:
// others take us for dead, or will, and have given it to somebody else, or will.
// It must be left as it is then.
func (q *queue) disowned() error {
	if err := q.poisoned(); err != nil {
		return q.wrap("give back to", err)
	}
	return nil
}

// giveUp frees the place of what has been surrendered.
func (q *queue) giveUp(t ticket) {
	q.held.vacate(t)
	q.unref()
}

// nextTask surrenders the oldest task.
func (q *queue) nextTask() (ticket, taken, bool) {
	h := &q.held
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.tasks) == 0 {
		return ticket{}, taken{}, false
	}
	i := h.tasks[0]
	h.tasks = append(h.tasks[:0], h.tasks[1:]...)
	p := &h.all[i]
	p.is = placeLeaving
	return ticket{i, p.gen}, p.m, true
}

// atDesk runs f with the lane that serves what is given back outside of calls.
func (q *queue) atDesk(f func(l *lane)) {
	q.deskMu.Lock()
	defer q.deskMu.Unlock()
	f(&q.desk)
}

// releaseHeld ends a message that we hold outside any lane.
func (q *queue) releaseHeld(m taken) {
	q.deskMu.Lock()
	defer q.deskMu.Unlock()
	q.desk.release(m)
	q.wakeSpace()
}

func (q *queue) tooManyHeld() error {
	return fmt.Errorf("ring: %s: %w: %d", q.name, ErrTooManyHeld, len(q.held.all))
}
