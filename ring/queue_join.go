package ring

import (
	"context"
	"errors"
	"fmt"

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
// A task belongs to the handle that got it. When its process dies before
// TaskDone, or closes the handle, another consumer gets the task, so that it is
// neither lost nor waited for in vain. QueueOptions.Hold bounds how many tasks a
// handle may have at a time.
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
	if !q.q.joinable() {
		err := &FormatError{q.q.name, "flags", uint64(q.q.geo.flags), uint64(q.q.geo.flags | flagJoinable)}
		return JoinableQueue[T]{}, joinErrors(err, q.Close())
	}
	return JoinableQueue[T]{q}, nil
}

// TaskDone finishes the oldest unfinished task that this handle has got. It
// returns ErrTooManyDone if there is none.
func (q JoinableQueue[T]) TaskDone() error {
	if q.q.closed.Load() {
		return q.q.wrap("finish a task of", ErrClosed)
	}
	t, m, ok := q.q.nextTask()
	if !ok {
		return fmt.Errorf("ring: %s: %w", q.q.name, ErrTooManyDone)
	}
	q.q.releaseHeld(m)
	q.q.vacate(t)
	return nil
}

// Unfinished returns how many tasks have been put and are not finished, by any
// process.
func (q JoinableQueue[T]) Unfinished() int {
	if q.q.retain() != nil {
		return 0
	}
	defer q.q.release()
	return q.q.unfinished()
}

// Join waits until there was an instant, after the call began, at which no task
// was unfinished. It returns the context's error if that is done first, and
// ErrClosed after Close.
func (q JoinableQueue[T]) Join(ctx context.Context) error {
	if err := q.q.retain(); err != nil {
		return q.q.wrap("join", err)
	}
	defer q.q.release()
	err := q.q.drain.Wait(ctx, allDone{q.q}, wait.NewSpinner(q.q.opts.Spin))
	switch {
	case err != nil:
		return q.q.wrap("join", err)
	case q.q.closed.Load():
		return q.q.wrap("join", ErrClosed)
	}
	return q.q.poisoned()
}

// allDone is what Join waits for.
type allDone struct{ q *queue }

func (a allDone) Ready() bool { return a.q.closed.Load() || a.q.unfinished() == 0 }

// Handover implements shm.Handle.
func (q JoinableQueue[T]) Handover() (shm.Handover, error) { return q.Queue.Handover() }
