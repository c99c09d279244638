//go:build linux

package soak_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sluice-ipc/sluice/internal/shmtest"
	"github.com/sluice-ipc/sluice/ring"
	"github.com/sluice-ipc/sluice/shm"
)

var (
	soakTime = flag.Duration("soak", 3*time.Second, "how long TestSoak goes on")
	soakSeed = flag.Uint64("soak.seed", 0, "seed of TestSoak; 0 is a new one")
	soakKill = flag.Duration("soak.kill", 0, "how often TestSoak kills; 0 is 50 ms, or a second under emulation")
	soakPlan = flag.String("soak.plan", "", "the only plan of TestSoak")
)

// An epoch is one run of the crew on a queue, up to the audit.
type epoch struct {
	t      *testing.T
	sum    *summary
	plan   *plan
	seed   uint64
	rnd    *rand.Rand
	q      port
	ledger *ledger
	stderr *os.File
	exits  chan exit

	producers, consumers []*hand
	ending               bool // children may end
	deaths               int
	deadProducers        int
	hand                 int // messages that the dead may have got and not written down
	before               ring.QueueStats
}

// TestSoak kills processes at random and accounts for every message.
func TestSoak(t *testing.T) {
	seed := *soakSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano()) % 1e9
	}
	t.Logf("seed %d", seed)
	prefix := fmt.Sprintf("soak-%d-", os.Getpid())
	shmtest.NoLeaks(t, "sluice-"+prefix)
	todo := plans
	if *soakPlan != "" {
		todo = nil
		for _, p := range plans {
			if p.Name == *soakPlan {
				todo = append(todo, p)
			}
		}
		if todo == nil {
			t.Fatalf("no plan %q", *soakPlan)
		}
	}
	sum := newSummary()
	length := min(max(*soakTime/10, 600*time.Millisecond), 5*time.Second)
	for i, end := 0, time.Now().Add(*soakTime); time.Now().Before(end) && !t.Failed(); i++ {
		p := todo[(int(seed%uint64(len(todo)))+i)%len(todo)].withDefaults()
		p.Seed = seed + uint64(i)<<20
		p.Queue = fmt.Sprintf("%s%d", prefix, i)
		live(t, sum, p, seed, min(length, time.Until(end)+time.Millisecond))
	}
	t.Log(sum)
}

// live makes a queue, runs one or more epochs on it, and sees that it goes away.
func live(t *testing.T, sum *summary, p plan, seed uint64, length time.Duration) {
	t.Helper()
	began := time.Now()
	q, err := openPort(&p, true)
	if err != nil {
		t.Fatal(err)
	}
	defer shm.Remove(p.Queue)
	defer q.Close()
	rnd := rand.New(rand.NewPCG(p.Seed, 0))
	epochs := 1 + rnd.IntN(2)
	if p.CloseEnd {
		epochs = 1
	}
	was := *sum
	for n := 1; n <= epochs && !t.Failed(); n++ {
		p.Epoch = n
		e := &epoch{t: t, sum: sum, plan: &p, seed: seed, rnd: rnd, q: q,
			producers: crewOf("producer"), consumers: crewOf("consumer"), exits: make(chan exit, 2*crew)}
		e.run(length / time.Duration(epochs))
	}
	t.Logf("%s: %s", p.Name, sum.since(&was, time.Since(began)))
}

// run is an epoch.
func (e *epoch) run(length time.Duration) {
	t := e.t
	t.Helper()
	fds := len(shmtest.FDs())
	var err error
	if e.ledger, err = newLedger(); err != nil {
		t.Fatal(err)
	}
	defer e.ledger.close()
	if e.stderr, err = os.CreateTemp("", "soak-stderr-"); err != nil {
		t.Fatal(err)
	}
	os.Remove(e.stderr.Name())
	defer e.stderr.Close()
	defer e.endAll(t)
	e.before = e.q.Stats()
	for i := range crew {
		e.start(e.consumers[i])
		e.start(e.producers[i])
	}
	e.havoc(length)
	e.finish()
	if !t.Failed() {
		e.settle(fds)
	}
	if !t.Failed() {
		e.audit()
	}
}

// period is how often one is killed.
func period() time.Duration {
	if *soakKill > 0 {
		return *soakKill
	}
	if os.Getenv("SLUICE_EMULATED") == "1" {
		return time.Second // it takes that long to start one
	}
	return 50 * time.Millisecond
}

// havoc kills and replaces until the time is over.
func (e *epoch) havoc(length time.Duration) {
	end := time.NewTimer(length)
	defer end.Stop()
	e.until(func() bool {
		select {
		case <-end.C:
			return true
		default:
			return false
		}
	}, "at work", true)
}

// until goes on killing, and replacing whom it has killed, until cond holds.
func (e *epoch) until(cond func() bool, where string, replace bool) {
	e.t.Helper()
	kills := time.NewTicker(period())
	defer kills.Stop()
	looks := time.NewTicker(5 * time.Millisecond)
	defer looks.Stop()
	all := append(append([]*hand(nil), e.producers...), e.consumers...)
	moved, last := e.moved(), time.Now()
	for !e.t.Failed() {
		select {
		case x := <-e.exits:
			e.heed(x)
		case <-kills.C:
			e.strike(all, replace)
		case <-looks.C:
			if cond() {
				return
			}
			if m := e.moved(); m != moved {
				moved, last = m, time.Now()
			} else if time.Since(last) > shmtest.Watchdog() {
				e.hangs(where)
			}
		}
	}
}

// strike kills one, or stops one if that is in the plan.
func (e *epoch) strike(all []*hand, replace bool) {
	if h := e.victim(all); h != nil && e.plan.Stops && e.rnd.IntN(3) == 0 && !h.stopped {
		e.stop(h)
	}
	h := e.victim(all)
	if h == nil {
		return
	}
	e.kill(h)
	if replace || h.role == "consumer" {
		e.start(h)
	}
}

// moved is a number that changes whenever something happens.
func (e *epoch) moved() (n uint64) {
	for i := range hands {
		n += e.ledger.outbox(i).count.Load() + e.ledger.inbox(i).count.Load()
	}
	return n
}

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
	began := time.Now()
	for !e.t.Failed() && !cond() {
		select {
		case x := <-e.exits:
			e.heed(x)
		case <-looks.C:
			if time.Since(began) > shmtest.Watchdog() {
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
