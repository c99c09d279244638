//go:build linux && sluice_hooks

package ring_test

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/sluice-ipc/sluice/internal/hook"
	"github.com/sluice-ipc/sluice/internal/shmtest"
	"github.com/sluice-ipc/sluice/ring"
)

// stepsEnv asks an actor which steps its act comes by.
const stepsEnv = "SLUICE_TEST_STEPS"

func init() {
	around = tellSteps
	roles["bystander"] = bystander
	acts["abort chain"] = actAbort
	acts["adopt"] = actAdopt
	acts["reap both"] = actReapBoth
	acts["put batch"] = actPutBatch
	acts["get batch"] = actGetBatch
}

// bystander does nothing with the queue.
func bystander(args []string) int {
	openMail[small](args[0])
	shmtest.Say("attached")
	shmtest.Hear()
	return 0
}

// tellSteps does an act, and has told say by which arrivals at which steps it
// came, if it is asked to.
func tellSteps(act func()) {
	before := map[string]int{}
	for _, s := range hook.Steps() {
		before[s] = hook.Count(s)
	}
	act()
	if os.Getenv(stepsEnv) == "" {
		return
	}
	var came []string
	for _, s := range hook.Steps() {
		for n := before[s] + 1; n <= min(hook.Count(s), before[s]+3); n++ {
			if strings.HasPrefix(s, "queue.") {
				came = append(came, fmt.Sprintf("%s:%d", s, n))
			}
		}
	}
	told = func() any { return strings.Join(came, " ") }
}

// askSteps runs the child of an act to its end, and returns by what it came.
func askSteps(c *shmtest.Child) []string {
	c.Cmd.Env = append(c.Cmd.Env, stepsEnv+"=1")
	c.Start()
	steps := strings.Fields(c.Line())
	c.Kill()
	return steps
}

func actAbort(name string) func() {
	q := openMail[big](name)
	check(q.Put(bg, write[big](0)))
	return func() { check(must(q.Loan(bg, 8*len(big{}))).Abort()) }
}

func actAdopt(name string) func() {
	q := openMail[small](name)
	return func() { must(q.Get(bg)) }
}

// actReapBoth repairs one that had put letter 0, and one that had nearly taken it.
func actReapBoth(name string) func() {
	q := openMail[small](name)
	open := func() *ring.Queue[small] { return openMail[small](name) }
	open().Close() // what the runtime opens, it opens now
	loseAll(2, func() {
		from, to := open(), open()
		check(from.Put(bg, write[small](0)))
		ring.HalfTake(to)
	})
	return q.Segment().CheckPeers
}

func actPutBatch(name string) func() {
	q := openMail[small](name)
	vs := []small{write[small](0), write[small](1), write[small](2)}
	return func() { must(q.PutBatch(bg, vs)) }
}

func actGetBatch(name string) func() {
	q := openMail[small](name)
	vs := make([]small, 3)
	return func() { must(q.GetBatch(bg, vs)) }
}

var batchOptions = ring.QueueOptions{ChunkSize: 64, Capacity: 4}

// hooked are killings of which there are too many instructions.
var hooked = []killing{
	{"abort chain", 3, killedPut[big]("abort chain", 0, []int{0}), 1},
	{"adopt", 2, killedAdopter, 1},
	{"reap both", 9, reapedBoth, 1},
	{"put batch", 9, killedBatch("put batch", 0, []int{}, []int{0}, []int{0, 1}, []int{0, 1, 2}), 1},
	{"get batch", 12, killedBatch("get batch", 4, []int{0, 1, 2, 3}, []int{1, 2, 3}, []int{2, 3}, []int{3}), 1},
}

// killedAdopter is for one that dies of a letter that another one put back.
func killedAdopter(t testing.TB, kill func(*shmtest.Child), all bool) {
	q, name := newMail[small](t, ring.QueueOptions{}, nearWrap)
	check(q.TryPut(write[small](0)))
	check(q.TryPut(write[small](1)))
	check(must(q.Take(bg)).Requeue())
	kill(shmtest.Command(t, "mail", "adopt", name))
	q.Segment().CheckPeers()
	got := collect(t, q)
	last := got[len(got)-1]
	if last != (delivery{1, 0}) || len(got) > 2 || all && len(got) != 1 ||
		len(got) == 2 && (got[0].i != 0 || got[0].tries < 1 || got[0].tries > 2) {
		t.Fatalf("%v came", got)
	}
	settled(t, q)
	rounds(t, q)
}

// reapedBoth is for a putter that is repaired when the one that took its letter is
// known to be dead and not repaired.
func reapedBoth(t testing.TB, kill func(*shmtest.Child), _ bool) {
	var o ring.QueueOptions
	o.Segment.MaxParticipants = 4
	q, name := newMail[small](t, o, nearWrap)
	kill(shmtest.Command(t, "mail", "reap both", name))
	for range 2 { // the putter is put off until the other one is known to be dead
		q.Segment().CheckPeers()
	}
	exactly(t, collect(t, q), delivery{0, 1})
	settled(t, q)
	rounds(t, q)
}

// killedBatch is for one that dies of a batch, of n letters that are there; what
// comes then is one of may.
func killedBatch(act string, n int, may ...[]int) func(testing.TB, func(*shmtest.Child), bool) {
	return func(t testing.TB, kill func(*shmtest.Child), all bool) {
		q, name := newMail[small](t, batchOptions, 1<<40-2)
		for i := range n {
			check(q.TryPut(write[small](i)))
		}
		kill(shmtest.Command(t, "mail", act, name))
		q.Segment().CheckPeers()
		got := numbers(collect(t, q))
		which := slices.IndexFunc(may, func(m []int) bool { return slices.Equal(m, got) })
		if which < 0 || all && which != len(may)-1 {
			t.Fatalf("%v came, want one of %v (the last: %v)", got, may, all)
		}
		settled(t, q)
		rounds(t, q)
	}
}

// killAt kills a child at a step, or at its end when it does not come by it.
func killAt(step string) func(*shmtest.Child) {
	return func(c *shmtest.Child) {
		c.Cmd.Env = append(c.Cmd.Env, "SLUICE_HOOK="+step+":kill")
		c.Start()
		c.Hang()
		c.Wait()
	}
}

// stopAt stops a child at a step, by which it comes.
func stopAt(step string) func(*shmtest.Child) {
	return func(c *shmtest.Child) {
		c.Cmd.Env = append(c.Cmd.Env, "SLUICE_HOOK="+step+":stop")
		c.Start()
		c.AwaitStop()
	}
}

// Whoever uses a queue may be killed at every step.
func TestQueueKillAtEveryStep(t *testing.T) {
	for _, k := range slices.Concat(killings, reapers, hooked) {
		t.Run(k.act, func(t *testing.T) {
			var steps []string
			k.body(t, func(c *shmtest.Child) { steps = askSteps(c) }, true)
			t.Logf("%d steps: %v", len(steps), steps)
			atLeast(t, 2, len(steps))
			for _, step := range steps {
				t.Run(step, func(t *testing.T) {
					k.body(t, killAt(step), false)
				})
			}
		})
	}
}

// Whoever uses a queue may be stopped at every step.
func TestQueueStopAtEveryStep(t *testing.T) {
	for _, s := range stoppings() {
		t.Run(s.act, func(t *testing.T) {
			_, name := s.mail(t)
			steps := askSteps(shmtest.Command(t, "mail", s.act, name))
			t.Logf("%d steps: %v", len(steps), steps)
			atLeast(t, 3, len(steps))
			for _, step := range steps {
				t.Run(step, func(t *testing.T) { s.at(t, stopAt(step), "") })
				if s.gets {
					t.Run(step+" beside a dead one", func(t *testing.T) {
						s.at(t, stopAt(step), "looking")
					})
				}
			}
		})
	}
}

// Whoever uses a queue may be killed at every step while another one stands at any
// step of the same.
func TestQueueKillBesideAStopped(t *testing.T) {
	for _, k := range couples {
		t.Run(k.act, func(t *testing.T) {
			_, name := k.prepare(t)
			others := askSteps(shmtest.Command(t, "mail", k.other, name))
			_, name = k.prepare(t)
			steps := askSteps(shmtest.Command(t, "mail", k.act, name))
			atLeast(t, 3, min(len(others), len(steps)))
			t.Logf("%d by %d steps", len(others), len(steps))
			for _, other := range others {
				for _, step := range steps {
					t.Run(other+" and "+step, func(t *testing.T) {
						k.at(t, stopAt(other), killAt(step), false)
					})
				}
			}
		})
	}
}

// A consumer that is woken by a repair, and sees that the dead one's slot is not
// free yet, comes to the end when it is.
func TestEndBehindARepair(t *testing.T) {
	q, name := newMail[small](t, ring.QueueOptions{Spin: ring.SpinNever}, 0)
	c := shmtest.Start(t, "bystander", name)
	c.Expect("attached")
	check(q.CloseSend())
	c.Kill()
	var held atomic.Bool
	repaired, free := make(chan bool), make(chan bool)
	hook.Set(func(step string) {
		if step == "shm.repair.free" && held.CompareAndSwap(false, true) {
			close(repaired)
			<-free
		}
	})
	defer hook.Set(nil)
	go q.Segment().CheckPeers()
	<-repaired
	end := blocked(func() error { _, err := q.Get(bg); return err })
	shmtest.Eventually(t, func() bool { return q.Stats().ConsumersWaiting > 0 }, "the consumer sleeps")
	close(free)
	var err error
	shmtest.Eventually(t, func() bool {
		select {
		case err = <-end:
			return true
		default:
			return false
		}
	}, "the consumer comes to the end")
	if err != io.EOF {
		t.Fatalf("at the end: %v", err)
	}
}
