package wait

import (
	"context"
	"errors"
	"math"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/sluice-ipc/sluice/internal/hook"
	"github.com/sluice-ipc/sluice/internal/mem"
	"github.com/sluice-ipc/sluice/internal/sys"
)

// The shared word of an event:
//
//	bit  0     somebody may be asleep on the word
//	bits 1     unused, zero
//	bits 2-31  sequence, bumped by every wake
const (
	waiters  = 1
	sequence = 4
)

// A Cond is what a waiter waits for. Ready must be cheap. It is called by the
// waiting goroutine and, while that one is asleep, by the host's tick.
type Cond interface{ Ready() bool }

// A Host is told who sleeps, so that it can heal what a killed waker left.
// Awake returns only when no Tick of s is running or will run again.
type Host interface {
	Asleep(s Sleeper)
	Awake(s Sleeper)
}

// A Sleeper is one sleeping goroutine, as its host sees it. Tick wakes it when
// its condition holds, and does nothing otherwise.
type Sleeper interface{ Tick() }

// Event is this process's handle on an eventcount in shared memory.
type Event struct {
	word *atomic.Uint32 // shared
	host Host           // may be nil: then nobody heals
	sole bool           // nobody else sleeps on the word
}

// NewEvent returns a handle on word, which starts as zero.
func NewEvent(word *atomic.Uint32, host Host) *Event {
	return &Event{word: word, host: host}
}

// NewSoleEvent is NewEvent for a word on which one goroutine at most sleeps at a
// time, of all processes. It takes its flag down itself when it need not sleep
// after all, which saves the waker a call.
func NewSoleEvent(word *atomic.Uint32, host Host) *Event {
	return &Event{word: word, host: host, sole: true}
}

var sleeps atomic.Uint64

// Sleeps returns how often goroutines of this process have shown themselves as
// sleepers. For each of them a waker makes one system call at most.
func Sleeps() uint64 { return sleeps.Load() }

// Wake wakes one sleeper. The caller has already published what it waits for.
// A waiter that is woken and does not take the work must pass the wake-up on.
func (e *Event) Wake() {
	hook.At("wait.wake.look")
	if e.word.Load()&waiters == 0 { //sync:asleep acquire: a flag set before our publishing is seen
		return
	}
	v := e.word.Add(sequence)
	hook.At("wait.wake.one")
	if n, _ := sys.FutexWake(mem.Raw(e.word), 1); n > 0 {
		return
	}
	// Nobody was asleep: the flag is left over from a sleeper that died or
	// gave up. Clearing it alone would lose one that slept in between, so
	// change the word first and then wake everybody.
	if e.word.CompareAndSwap(v, (v+sequence)&^waiters) {
		sys.FutexWake(mem.Raw(e.word), math.MaxInt32)
	}
}

// WakeAll wakes every sleeper, with one system call and none if nobody sleeps.
func (e *Event) WakeAll() {
	hook.At("wait.wake.look")
	if e.word.Load()&waiters == 0 { //sync:asleep acquire: a flag set before our publishing is seen
		return
	}
	e.flush()
}

// flush takes the flag down, changes the word and wakes everybody. Each step
// finishes whatever a peer does to the word. Whoever sets the flag again in
// between either sees the new sequence or is woken.
func (e *Event) flush() {
	e.word.And(^uint32(waiters))
	e.word.Add(sequence)
	hook.At("wait.wake.all")
	sys.FutexWake(mem.Raw(e.word), math.MaxInt32)
}

// Rouse is WakeAll for a Close: it wakes sleepers also when a peer, stopped or dead
// on its way to waking them, has taken their flag down.
func (e *Event) Rouse() { e.flush() }

// flushIfThere is flush for a goroutine that nobody guards against faults.
func (e *Event) flushIfThere() {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() { faulted(recover()) }()
	e.flush()
}

// Wait returns nil once c is ready, spinning as s allows and then sleeping. It
// returns the context's error when that is done first, and the kernel's when
// the word cannot be slept on.
func (e *Event) Wait(ctx context.Context, c Cond, s *Spinner) error {
	if s.Spin(c) {
		return nil
	}
	return e.Sleep(ctx, c, s)
}

// Sleep is Wait after s has spun in vain.
func (e *Event) Sleep(ctx context.Context, c Cond, s *Spinner) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.mode == Always {
		return e.spin(ctx, c, s)
	}
	return e.sleep(ctx, c)
}

// spin waits without ever sleeping. It is announced to the host like a sleep,
// so that the peers are watched.
func (e *Event) spin(ctx context.Context, c Cond, s *Spinner) error {
	w := newWaiter(e, c)
	w.awake = true
	defer w.free()
	if e.host != nil {
		e.host.Asleep(w)
		defer e.host.Awake(w)
	}
	for !s.Spin(c) {
		if err := ctx.Err(); err != nil {
			return err
		}
		// Whoever we wait for may need this CPU.
		sys.Yield()
	}
	return nil
}

func (e *Event) sleep(ctx context.Context, c Cond) error {
	w := newWaiter(e, c)
	defer w.free() // also when touching the word faults
	if e.host != nil {
		e.host.Asleep(w)
		defer e.host.Awake(w)
	}
	err := errMove
	if directly() {
		err = w.direct(ctx)
	}
	if err == errMove {
		err = w.loopParked(ctx)
	}
	if err != nil {
		e.pass(c)
	}
	return err
}

// pass hands on a wake-up that may have been meant for a waiter which is giving
// up, so that the work it announced does not lie about.
func (e *Event) pass(c Cond) {
	if c.Ready() {
		e.Wake()
	}
}

// loop sleeps until the condition holds or the context is done.
func (w *waiter) loop(ctx context.Context) error {
	deadline, err := deadlineOf(ctx)
	if err != nil {
		return err
	}
	s := newStay()
	for {
		hook.At("wait.sleep.flag")
		v := w.e.word.Or(waiters) | waiters //sync:asleep release: from here on wakers make the call
		sleeps.Add(1)
		fence()
		hook.At("wait.sleep.recheck")
		if w.c.Ready() {
			w.e.unmark(v)
			return nil
		}
		if w.cancelled.Load() != 0 {
			w.e.unmark(v)
			return ctx.Err()
		}
		end, moves := s.end(deadline)
		if err := w.e.futex(w, v, end); err != nil {
			w.e.unmark(v)
			switch {
			case !errors.Is(err, sys.ErrTimeout):
				return err
			case !moves:
				return timeout(ctx, w.c)
			case s.over():
				return errMove
			}
			continue
		}
		if w.c.Ready() {
			return nil
		}
	}
}

// unmark takes the flag down for a waiter that does not sleep, where no other
// can rely on it.
func (e *Event) unmark(v uint32) {
	if e.sole {
		e.word.CompareAndSwap(v, v&^waiters)
	}
}

// futex sleeps once, while the word is still v.
func (e *Event) futex(w *waiter, v uint32, deadline int64) error {
	if w.armed && sys.HaveWaitv() {
		err := sys.FutexWait2(mem.Raw(e.word), v, mem.Raw(&w.cancelled), 0, deadline)
		if errors.Is(err, errors.ErrUnsupported) {
			return nil // from now on; who cancelled may have relied on it, so look
		}
		return err
	}
	return sys.FutexWait(mem.Raw(e.word), v, deadline)
}

func timeout(ctx context.Context, c Cond) error {
	if c.Ready() {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return context.DeadlineExceeded // the context's own timer is a little late
}

// deadlineOf returns the context's deadline on the futex clock, 0 for none.
func deadlineOf(ctx context.Context) (int64, error) {
	t, ok := ctx.Deadline()
	if !ok {
		return 0, ctx.Err()
	}
	left := time.Until(t)
	if left <= 0 {
		return 0, context.DeadlineExceeded
	}
	if left > 365*24*time.Hour {
		return 0, ctx.Err()
	}
	return sys.Monotonic() + int64(left), ctx.Err()
}
