package ring

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/sluice-ipc/sluice/internal/mem"
	"github.com/sluice-ipc/sluice/internal/wait"
	"github.com/sluice-ipc/sluice/shm"
)

// ErrTooManyDone means a TaskDone without a task of this handle's that is
// unfinished.
var ErrTooManyDone = errors.New("ring: task done more often than got")

// JoinableQueue is a queue whose messages are tasks: each remains unfinished
// from Put until TaskDone, or the Release of a Message, and Join waits until
// none is.
//
// The methods are those of Queue and those below. A task belongs to the handle
// that got it. When its process dies before TaskDone, or closes the handle,
// another consumer gets the task, so that it is neither lost nor waited for in
// vain. QueueOptions.Hold bounds how many tasks a handle may have at a time.
type JoinableQueue[T any] struct{ *Queue[T] }

// CreateJoinableQueue is CreateQueue for tasks.
func CreateJoinableQueue[T any](name string, o *QueueOptions) (JoinableQueue[T], error) {
	return joinableOf(CreateQueue[T](name, o.forTasks()))
}

// OpenJoinableQueue is OpenQueue for tasks. It fails for a queue that was not
// made as joinable.
func OpenJoinableQueue[T any](name string, o *QueueOptions) (JoinableQueue[T], error) {
	return joinableOf(OpenQueue[T](name, o.forTasks()))
}

// OpenOrCreateJoinableQueue is OpenOrCreateQueue for tasks.
func OpenOrCreateJoinableQueue[T any](name string, o *QueueOptions) (JoinableQueue[T], error) {
	return joinableOf(OpenOrCreateQueue[T](name, o.forTasks()))
}

// AnonymousJoinableQueue is AnonymousQueue for tasks.
func AnonymousJoinableQueue[T any](label string, o *QueueOptions) (JoinableQueue[T], error) {
	return joinableOf(AnonymousQueue[T](label, o.forTasks()))
}

// InheritedJoinableQueue is InheritedQueue for tasks.
func InheritedJoinableQueue[T any](name string, o *QueueOptions) (JoinableQueue[T], error) {
	return joinableOf(InheritedQueue[T](name, o.forTasks()))
}

// JoinableQueueFromFile is QueueFromFile for tasks.
func JoinableQueueFromFile[T any](f *os.File, o *QueueOptions) (JoinableQueue[T], error) {
	return joinableOf(QueueFromFile[T](f, o.forTasks()))
}

func (o *QueueOptions) forTasks() *QueueOptions {
	var v QueueOptions
	if o != nil {
		v = *o
	}
	v.joinable = true
	return &v
}

func joinableOf[T any](q *Queue[T], err error) (JoinableQueue[T], error) {
	if err != nil {
		return JoinableQueue[T]{}, err
	}
	return JoinableQueue[T]{q}, nil
}

// getTask is Get for a joinable queue: the message becomes a task of ours.
func (q *Queue[T]) getTask(ctx context.Context, block bool) (v T, err error) {
	var t ticket
	l, m, err := q.q.recv(ctx, block, &t)
	if err != nil {
		return v, err
	}
	var b []byte
	simple := q.isSimple(m)
	if simple {
		mem.Load(q.plain, q.q.bytesOf(m.c, m.n), &v)
	} else {
		b, err = q.q.contents(nil, m)
	}
	q.q.wakeSpace()
	q.q.hold(t, m, heldTask)
	l.leave()
	if err == nil && !simple {
		v, err = q.decode(b)
	}
	switch {
	case err != nil: // an error is no task
		q.q.endTask(t, q.q.releaseHeld)
	case q.q.closed.Load(): // Close may have looked for tasks before ours
		if q.q.endTask(t, q.q.requeue) {
			var zero T
			return zero, q.q.wrap("get from", ErrClosed)
		}
	}
	return v, err
}

// endTask gives back a task in the way of f, unless somebody else has.
func (q *queue) endTask(t ticket, f func(m taken)) bool {
	m, err := q.surrender(t, false)
	if err != nil {
		return false
	}
	defer q.giveUp(t)
	if q.poisoned() == nil {
		f(m)
	}
	return true
}

// TaskDone finishes the oldest unfinished task that this handle has got with Get.
// It returns ErrTooManyDone if there is none. On a handle that has failed it returns
// shm.ErrLost or *shm.FaultError, as every call does, and leaves the task to the
// consumer that gets it then.
//
// Goroutines that share a handle finish each other's tasks in this way, which
// matters when the process dies: what is delivered again is what is not finished.
// They should have a handle each, or Take and Release their tasks.
func (q JoinableQueue[T]) TaskDone() error {
	if q.q.closed.Load() {
		return q.q.wrap("finish a task of", ErrClosed)
	}
	t, m, ok := q.q.nextTask()
	if !ok {
		return fmt.Errorf("ring: %s: %w", q.q.name, ErrTooManyDone)
	}
	defer q.q.giveUp(t)
	if err := q.q.disowned(); err != nil {
		return err
	}
	return q.q.guardAway(func() error { q.q.releaseHeld(m); return nil })
}

// Unfinished returns how many tasks have been put and are not finished, by any
// process. After Close it is 0.
func (q JoinableQueue[T]) Unfinished() (n int) {
	q.q.look(func() { n = q.q.unfinished() })
	return n
}

// Join waits until it finds that no task is unfinished. While it sleeps whoever has
// finished a task looks too, before that call returns, so that it does not matter
// if new tasks come before Join is awake. What is over before anybody looks goes
// unseen, and Join waits on: a new task was put while the last one was being
// finished, or its worker died in the middle of that, or Join was not asleep: it
// spins first, for some 50 µs, and with SpinAlways all the time.
//
// It returns the context's error if that is done first, and ErrClosed after Close.
// Any number of processes may wait.
func (q JoinableQueue[T]) Join(ctx context.Context) error {
	if err := q.q.retain(); err != nil {
		return q.q.wrap("join", err)
	}
	defer q.q.release()
	if q.q.opts.Guard {
		return q.q.guard(func() error { return q.q.join(ctx) })
	}
	return q.q.join(ctx)
}

func (q *queue) join(ctx context.Context) error {
	d := allDone{q, q.size.pos(q.findTail()), q.ctl.zero.Load()}
	err := q.idle.Wait(ctx, &d, wait.NewSpinner(q.opts.Spin))
	if err == nil {
		err = q.poisoned()
	}
	if err == nil && q.closed.Load() && !d.was() {
		err = ErrClosed
	}
	if err != nil {
		return q.wrap("join", err)
	}
	return nil
}

// allDone is what Join waits for.
type allDone struct {
	q    *queue
	from uint64 // the tail when Join began
	zero uint64 // what the queue's word zero said then
}

func (d *allDone) Ready() bool {
	return d.q.closed.Load() || d.q.poisoned() != nil || d.was()
}

// was reports whether we know of an instant without unfinished tasks: it is now,
// or who finished the last one of them says so. All that was put before Join
// began lies before the position where that was.
func (d *allDone) was() bool {
	if z := d.q.ctl.zero.Load(); z != d.zero && d.q.isPosition(z) && signedDiff(z, d.from, d.q.size.positions()) >= 0 {
		return true
	}
	return d.q.unfinished() == 0
}

func (q *queue) isPosition(p uint64) bool { return p < q.size.positions() }

// wakeJoin wakes those who wait in Join if no task is unfinished, and leaves a
// note for those who look when there are tasks again.
func (q *queue) wakeJoin() {
	if q.ctl.idle.Load()&1 == 0 { // nobody sleeps
		return
	}
	q.ctl.idle.Or(0) // of two who finish at a time, one sees what the other has counted
	t := q.size.pos(q.findTail())
	if q.unfinished() != 0 {
		return
	}
	if z := q.ctl.zero.Load(); !q.isPosition(z) || signedDiff(t, z, q.size.positions()) > 0 {
		q.ctl.zero.CompareAndSwap(z, t) // else somebody else has, as good as we
	}
	q.idle.WakeAll()
}

// Handover implements shm.Handle: the child joins the queue as a participant of
// its own, with InheritedJoinableQueue.
func (q JoinableQueue[T]) Handover() (shm.Handover, error) { return q.Queue.Handover() }

// Inherit implements shm.Inheritor, for package shm/proc.
func (JoinableQueue[T]) Inherit(name string) (any, error) {
	return InheritedJoinableQueue[T](name, nil)
}
