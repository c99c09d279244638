//go:build linux

package soak_test

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-ipc/sluice/internal/hook"
	"github.com/sluice-ipc/sluice/internal/shmtest"
)

// A hand is one of the eight: a process, or its replacement.
type hand struct {
	role        string
	slot        int
	incarnation int
	cmd         *exec.Cmd
	stdin       io.Closer
	killed      bool // by us
	given       bool // up: its end is no news
	stopped     bool
	out         bool // it has ended
	killedIn    map[int]bool
}

// An exit is the end of a process.
type exit struct {
	h   *hand
	cmd *exec.Cmd
	err error
}

// start starts a process in the hand's place.
func (e *epoch) start(h *hand) {
	e.t.Helper()
	h.incarnation++
	c := shmtest.Command(e.t, h.role, e.plan.encode(), strconv.Itoa(h.slot), strconv.Itoa(h.incarnation))
	cmd := c.Cmd
	cmd.ExtraFiles = []*os.File{e.ledger.file}
	cmd.Stderr = e.stderr
	cmd.Env = append(cmd.Env, "GOTRACEBACK=all")
	stdin, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		e.t.Fatalf("start a %s: %v", h.role, err)
	}
	h.cmd, h.stdin = cmd, stdin
	h.killed, h.given, h.stopped, h.out = false, false, false, false
	go func() { e.exits <- exit{h, cmd, cmd.Wait()} }()
}

// kill ends a hand with SIGKILL. Its end comes to heed.
func (e *epoch) kill(h *hand) {
	h.killed = true
	h.cmd.Process.Kill() // fails if it has ended by itself
}

// bury writes down what a hand was doing when it was killed.
func (e *epoch) bury(h *hand) {
	h.killedIn[h.incarnation] = true
	for g := range e.plan.Crowd {
		t := e.tallyOf(h, g)
		e.sum.kills[h.role+" "+verbs[t.doing.Load()]]++
		if h.role == "consumer" {
			e.hand += int(t.hand.Load())
		}
		t.hand.Store(0)
		t.doing.Store(starting)
	}
	e.deaths++
	if h.role == "producer" {
		e.deadProducers++
	}
	e.sum.killed++
}

func (e *epoch) tallyOf(h *hand, g int) *tally {
	if h.role == "producer" {
		return e.ledger.outbox(h.slot*crowd + g).tally
	}
	return e.ledger.inbox(h.slot*crowd + g).tally
}

// heed takes note of the end of a process, and reports whether it was killed: by
// us, or, at a named step, by itself.
func (e *epoch) heed(x exit) (killed bool) {
	h := x.h
	h.out = true
	h.stdin.Close()
	ws, ok := x.cmd.ProcessState.Sys().(syscall.WaitStatus)
	switch {
	case ok && ws.Signaled() && ws.Signal() == syscall.SIGKILL && (h.killed || hook.Enabled):
		e.bury(h)
		return true
	case h.given:
	case x.err != nil:
		e.violation("a %s ended: %v\n%s", h.role, x.err, e.said())
	case !e.ending:
		e.violation("a %s ended by itself", h.role)
	}
	e.left++
	return false
}

// said returns what the children have written to their standard error.
func (e *epoch) said() string {
	b := make([]byte, 256<<10)
	n, _ := e.stderr.ReadAt(b, 0)
	return string(b[:n])
}

// stop stops a hand for a while.
func (e *epoch) stop(h *hand) {
	h.stopped = true
	e.sum.stops++
	h.cmd.Process.Signal(syscall.SIGSTOP)
	cmd := h.cmd
	time.AfterFunc(time.Duration(1+e.rnd.IntN(500))*time.Millisecond, func() {
		cmd.Process.Signal(syscall.SIGCONT)
	})
}

// victim picks one of the hands that are at work.
func (e *epoch) victim(all []*hand) *hand {
	var in []*hand
	for _, h := range all {
		if !h.out && !h.killed {
			in = append(in, h)
		}
	}
	if len(in) == 0 {
		return nil
	}
	return in[e.rnd.IntN(len(in))]
}

// violation fails the test.
func (e *epoch) violation(format string, args ...any) {
	e.t.Helper()
	e.t.Errorf("%s: %s", e.what(), fmt.Sprintf(format, args...))
}

func (e *epoch) what() string {
	return fmt.Sprintf("seed %d, plan %q, epoch %d", e.seed, e.plan.Name, e.plan.Epoch)
}

// hangs dumps what is known when nothing moves, and ends the test.
func (e *epoch) hangs(where string) {
	e.t.Helper()
	e.t.Errorf("%s: nothing moves: %s\n%s", e.what(), where, describe(e.q))
	for _, h := range append(e.producers, e.consumers...) {
		if !h.out {
			for g := range e.plan.Crowd {
				t := e.tallyOf(h, g)
				e.t.Logf("%s %d pid %d: %s, %d so far", h.role, h.slot, h.cmd.Process.Pid, verbs[t.doing.Load()], t.count.Load())
			}
			h.cmd.Process.Signal(syscall.SIGCONT)
			h.cmd.Process.Signal(syscall.SIGQUIT)
			h.given = true
		}
	}
	for _, h := range append(e.producers, e.consumers...) {
		for !h.out {
			e.heed(<-e.exits)
		}
	}
	e.t.Fatalf("%s", e.said())
}

// crewOf makes the hands of one kind.
func crewOf(role string) []*hand {
	all := make([]*hand, crew)
	for i := range all {
		all[i] = &hand{role: role, slot: i, out: true, killedIn: map[int]bool{}}
	}
	return all
}

// endAll kills what is left, when the test ends early.
func (e *epoch) endAll(t testing.TB) {
	for _, h := range append(e.producers, e.consumers...) {
		if h.cmd != nil && !h.out {
			h.killed = true
			h.cmd.Process.Kill()
		}
	}
	for _, h := range append(e.producers, e.consumers...) {
		for h.cmd != nil && !h.out {
			e.heed(<-e.exits)
		}
	}
}
