//go:build linux

package ring_test

import (
	"context"
	"errors"
	"path/filepath"
	"testing"

	"github.com/sluice-ipc/sluice/ring"
	"github.com/sluice-ipc/sluice/shm"
)

// An heir is what lostTo leaves: another participant, and what the chunks say once
// it has what was ours.
type heir struct {
	q          ring.JoinableQueue[[]byte]
	states     string
	unfinished int
}

// lostTo makes q lose its lock. An heir repairs, and takes over with inherit;
// then q learns of it.
func lostTo(t *testing.T, q ring.JoinableQueue[[]byte], inherit func(q ring.JoinableQueue[[]byte]) error) heir {
	t.Helper()
	loseLock(t, filepath.Base(q.Name()))
	other := must(ring.OpenJoinableQueue[[]byte](q.Name(), nil))
	t.Cleanup(func() { other.Close() })
	if err := inherit(other); err != nil {
		t.Fatalf("the heir got nothing: %v", err)
	}
	q.Segment().CheckPeers()
	if err := q.Segment().Err(); !errors.Is(err, shm.ErrLost) {
		t.Fatalf("the loss went unnoticed: %v", err)
	}
	return heir{other, ring.ChunkStates(other.Queue), other.Unfinished()}
}

// untouched fails if anybody else has changed a chunk, or counted a task.
func (h heir) untouched(t *testing.T) {
	t.Helper()
	if s := ring.ChunkStates(h.q.Queue); s != h.states {
		t.Errorf("the heir's chunks were\n%sand are\n%s", h.states, s)
	}
	if n := h.q.Unfinished(); n != h.unfinished {
		t.Errorf("%d tasks are unfinished, want %d", n, h.unfinished)
	}
}

// takeIt takes the message that was somebody else's.
func takeIt(q ring.JoinableQueue[[]byte]) error { return second(q.TryTake()) }

// newHoldings makes a queue with one message, under a name. Long loans take all
// the chunks that they can have.
func newHoldings(t *testing.T, o ring.QueueOptions) ring.JoinableQueue[[]byte] {
	t.Helper()
	o.Capacity, o.ChunkSize, o.Bytes, o.Lanes = 4, 300, 3000, 1
	o.Segment.MaxParticipants = 2
	name := queueName(t)
	must0(must(ring.CreateJoinableQueue[[]byte](name, &o)).Close())
	q := must(ring.OpenJoinableQueue[[]byte](name, &o)) // whose descriptor bears the name
	t.Cleanup(func() { q.Close() })
	must0(q.TryPut([]byte("hello")))
	return q
}

// What a handle held when it lost its lock is somebody else's, who may have been
// given it already: to give it back must change nothing.
func TestLostHandleGivesNothingBack(t *testing.T) {
	held := func(back func(m ring.Message) error) func(q ring.JoinableQueue[[]byte]) func() error {
		return func(q ring.JoinableQueue[[]byte]) func() error {
			m := must(q.TryTake())
			return func() error { return back(m) }
		}
	}
	for name, hold := range map[string]func(q ring.JoinableQueue[[]byte]) func() error{
		"Release": held(ring.Message.Release),
		"Requeue": held(ring.Message.Requeue),
		"TaskDone": func(q ring.JoinableQueue[[]byte]) func() error {
			must(q.TryGet())
			return q.TaskDone
		},
	} {
		for _, guard := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				q := newHoldings(t, ring.QueueOptions{Guard: guard})
				back := hold(q)
				h := lostTo(t, q, takeIt)
				if err := back(); !errors.Is(err, shm.ErrLost) {
					t.Errorf("%s = %v", name, err)
				}
				h.untouched(t)
				if err := back(); !errors.Is(err, ring.ErrNotHeld) && !errors.Is(err, ring.ErrTooManyDone) {
					t.Errorf("%s once more = %v", name, err)
				}
			})
		}
	}
}

// So it is with what was lent: others have been given the chunks.
func TestLostHandleKeepsOffLoans(t *testing.T) {
	q := newHoldings(t, ring.QueueOptions{})
	get(t, q.Queue)
	must0(q.TaskDone())
	all := q.MaxMessage()
	loan := must(q.TryLoan(all))
	h := lostTo(t, q, func(q ring.JoinableQueue[[]byte]) error { return second(q.TryLoan(all)) })
	for name, call := range map[string]func() error{
		"TryCommit": loan.TryCommit,
		"Commit":    func() error { return loan.Commit(bg) },
	} {
		if err := call(); !errors.Is(err, shm.ErrLost) {
			t.Errorf("%s = %v", name, err)
		}
	}
	if err := loan.Abort(); !errors.Is(err, shm.ErrLost) {
		t.Errorf("Abort = %v", err)
	}
	h.untouched(t)
	if err := loan.Abort(); !errors.Is(err, ring.ErrNotHeld) {
		t.Errorf("Abort once more = %v", err)
	}
}

// Close puts unfinished tasks back, unless they are another's by then.
func TestLostHandleClosesWithoutItsTasks(t *testing.T) {
	q := newHoldings(t, ring.QueueOptions{})
	must(q.TryGet())
	h := lostTo(t, q, takeIt)
	if err := q.Close(); err != nil {
		t.Errorf("Close = %v", err)
	}
	h.untouched(t)
}

// A handler of dead letters may run for so long that its letter is another's when
// it has done with it.
func TestLostHandleBuriesNothing(t *testing.T) {
	oops := errors.New("oops")
	for _, fails := range []error{nil, oops} {
		var q ring.JoinableQueue[[]byte]
		var h heir
		q = newHoldings(t, ring.QueueOptions{MaxDeliveries: 1, DeadLetter: func(context.Context, []byte, int) error {
			h = lostTo(t, q, takeIt)
			return fails
		}})
		must0(must(q.TryTake()).Requeue())
		err := second(q.TryGet())
		if fails == nil && !errors.Is(err, shm.ErrLost) || fails != nil && !errors.Is(err, oops) {
			t.Errorf("TryGet = %v", err)
		}
		h.untouched(t)
	}
}
