//go:build linux

package soak_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/sluice-ipc/sluice/internal/shmtest"
	"github.com/sluice-ipc/sluice/ring"
	"github.com/sluice-ipc/sluice/shm"
)

var (
	soakTime = flag.Duration("soak", 0, "how long TestSoak goes on; 0 is 3 s, or 1 s if -short")
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
	ending               bool   // children may end
	left                 uint64 // processes that were not killed
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
	long := *soakTime
	switch {
	case long > 0:
	case testing.Short():
		long = time.Second
	default:
		long = 3 * time.Second
	}
	length := min(max(long/10, 600*time.Millisecond), 5*time.Second)
	for i, end := 0, time.Now().Add(long); time.Now().Before(end) && !t.Failed(); i++ {
		p := todo[(int(seed%uint64(len(todo)))+i)%len(todo)].withDefaults()
		p.Seed = seed + uint64(i)<<20
		p.Queue = fmt.Sprintf("%s%d", prefix, i)
		live(t, sum, p, seed, min(length, time.Until(end)+time.Millisecond))
	}
	t.Log(sum)
	if !t.Failed() {
		t.Log("0 lost, 0 torn, 0 unexplained duplicates, 0 phantoms, 0 out of order, " +
			"0 chunks, slots, files or descriptors left")
	}
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
	p.Keep = rnd.IntN(2) == 0
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

// havoc kills and replaces until the time is over. It ends while things move: a
// hang would not be seen once the producers are told to leave.
func (e *epoch) havoc(length time.Duration) {
	end := time.Now().Add(length)
	var moved uint64
	e.until(func() bool {
		switch {
		case time.Now().Before(end), e.deaths == 0:
			return false
		case moved == 0:
			moved = e.moved()
		}
		return e.moved() != moved || e.full()
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
	var still standstill
	var struck uint64
	for !e.t.Failed() {
		select {
		case x := <-e.exits:
			if e.heed(x) && (replace || x.h.role == "consumer") {
				e.start(x.h)
			}
		case <-kills.C:
			// On a machine that is slow to start processes there would
			// soon be none but those that start.
			if n := e.delivered(); n != struck {
				struck = n
				e.strike(all)
			}
		case <-looks.C:
			if cond() {
				return
			}
			d := still.look(e.moved())
			e.sum.still = max(e.sum.still, d)
			if d > shmtest.Watchdog() {
				e.hangs(where)
			}
		}
	}
}

// A standstill is how long nothing has moved. Time in which we were stopped
// ourselves does not count.
type standstill struct {
	moved  uint64
	since  time.Time
	looked time.Time
}

// look returns how long moved has been what it is.
func (s *standstill) look(moved uint64) time.Duration {
	now := time.Now()
	if moved != s.moved || now.Sub(s.looked) > time.Second {
		s.moved, s.since = moved, now
	}
	s.looked = now
	return now.Sub(s.since)
}

// strike kills one, and stops one if that is in the plan.
func (e *epoch) strike(all []*hand) {
	if h := e.victim(all); h != nil && e.plan.Stops && e.rnd.IntN(3) == 0 && !h.stopped {
		e.stop(h)
	}
	if h := e.victim(all); h != nil {
		e.kill(h)
	}
}

// moved is how many messages have been delivered, and how many processes have
// left. What a producer begins is no sign of life: it may fail for ever.
func (e *epoch) moved() uint64 { return e.delivered() + e.left }

func (e *epoch) delivered() (n uint64) {
	for i := range hands {
		n += e.ledger.inbox(i).count.Load()
	}
	return n
}

// full reports whether the producers have no room left in their accounts.
func (e *epoch) full() bool {
	for slot := range crew {
		for g := range e.plan.Crowd {
			if e.ledger.outbox(slot*crowd+g).count.Load()+crowdBatch < puts {
				return false
			}
		}
	}
	return true
}
