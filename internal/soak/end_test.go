//go:build linux

package soak_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"time"

	"github.com/sluice-ipc/sluice/internal/shmtest"
)

// finish lets the producers end, then the queue become empty, then the
// consumers end. Consumers are killed all the while.
func (e *epoch) finish() {
	e.t.Helper()
	if e.t.Failed() {
		return
	}
	e.ending = true
	if e.plan.CloseEnd {
		if err := e.q.CloseSend(); err != nil {
			e.violation("CloseSend: %v", err)
		}
		e.until(func() bool { return gone(e.producers) && gone(e.consumers) }, "at the end", false)
		return
	}
	for _, h := range e.producers {
		h.stdin.Close()
	}
	joined := e.join()
	e.until(func() bool { return gone(e.producers) }, "producers leave", false)
	e.until(func() bool { return e.q.Stats().Depth == 0 }, "the queue empties", false)
	for _, h := range e.consumers {
		h.stdin.Close()
	}
	e.await(func() bool { return gone(e.consumers) }, "consumers leave")
	e.drain()
	if joined != nil {
		e.await(func() bool { return len(joined) == 1 }, "Join ends")
	}
}

// await waits for cond without killing.
func (e *epoch) await(cond func() bool, where string) {
	e.t.Helper()
	looks := time.NewTicker(time.Millisecond)
	defer looks.Stop()
	var still standstill
	for !e.t.Failed() && !cond() {
		select {
		case x := <-e.exits:
			e.heed(x)
		case <-looks.C:
			if still.look(e.moved()) > shmtest.Watchdog() {
				e.hangs(where)
			}
		}
	}
}

func gone(all []*hand) bool {
	for _, h := range all {
		if !h.out {
			return false
		}
	}
	return true
}

// join waits for the tasks of a joinable queue.
func (e *epoch) join() chan error {
	t, ok := e.q.(tasks)
	if !ok {
		return nil
	}
	ch := make(chan error, 1)
	go func() {
		err := t.tasks.Join(context.Background())
		if err != nil {
			e.violation("Join: %v", err)
		}
		ch <- err
	}()
	return ch
}

// drain takes what the last ones left, as one more consumer.
func (e *epoch) drain() {
	e.t.Helper()
	e.await(func() bool {
		e.q.Segment().CheckPeers()
		return len(e.q.Segment().Participants()) == 1
	}, "dead slots become free")
	in := e.ledger.inbox(ours)
	for {
		m, err := e.q.TryTake()
		if nothing(err) || errors.Is(err, io.EOF) && e.plan.CloseEnd {
			return
		}
		if err != nil {
			e.violation("TryTake at the end: %v", err)
			return
		}
		if e.ledger.end().Load() != 0 && m.Deliveries() == 0 {
			e.violation("a message came behind the end")
		}
		id, err := examine(m.Len(), e.plan.Epoch, m.Pieces())
		if err != nil {
			e.violation("what was left, deliveries %d: %v", m.Deliveries(), err)
		}
		in.add(id, 1, m.Deliveries(), finished)
		if err := m.Release(); err != nil {
			e.violation("Release at the end: %v", err)
		}
	}
}

// settle holds that nothing is left: the queue is as new, and so are we.
func (e *epoch) settle(fds int) {
	e.t.Helper()
	e.drain()
	s := e.q.Stats()
	if s.FreeChunks != s.Chunks || s.Held != 0 || s.Orphans != 0 || s.Depth != 0 || s.Unfinished != 0 || s.Puts != s.Gets {
		e.violation("something is left: %+v\n%s", s, describe(e.q))
	}
	if e.plan.CloseEnd {
		if _, err := e.q.TryTake(); err != io.EOF {
			e.violation("after the end: %v", err)
		}
	}
	e.sum.recovered += s.Recovered - e.before.Recovered
	e.sum.redelivered += s.Redelivered - e.before.Redelivered
	e.sum.dropped += s.Dropped - e.before.Dropped
	shmtest.Eventually(e.t, func() bool {
		return len(shmtest.FDs()) <= fds+2 // the ledger, and what the children say
	}, "descriptors: %s", strings.Join(shmtest.FDs(), "\n"))
}
