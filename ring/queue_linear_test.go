//go:build linux

package ring_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/sluice-ipc/sluice/internal/mem"
	"github.com/sluice-ipc/sluice/internal/race"
	"github.com/sluice-ipc/sluice/internal/shmtest"
	"github.com/sluice-ipc/sluice/ring"
	"github.com/sluice-ipc/sluice/shm"
)

func init() { roles["history"] = historyClient }

// What a recorded history is made of.
const (
	linearCap      = 4
	linearChildren = 3
	linearThreads  = 2 // goroutines of each
	linearOps      = 60
	linearMost     = 3000                             // calls of one client in a history; who is to be killed goes on till then
	linearClients  = linearChildren*linearThreads + 1 // and the test itself
)

// What clients do. A Take is followed by Release or Requeue of what it got.
const (
	opPut = iota + 1
	opGet
	opTake
	opRelease
	opRequeue
	opRecover // the repair of a client that was killed
)

// What comes of it.
const (
	isPending = iota // the client was killed in the middle
	isDone
	isRefused // full, empty
)

// A record is a call as it stands in the log, which is memory that the children
// share with the test, so that it is there when they are not. Its times come from
// a counter there: a call that returned before another began has the lower ones.
type record struct {
	op, value, call, ret, result atomic.Uint64
}

// A ledger is the log.
type ledger struct {
	seg   *shm.Segment
	clock *atomic.Uint64
	calls [][]record // by client
}

func ledgerOf(s *shm.Segment) *ledger {
	l := &ledger{seg: s, clock: mem.Uint64(s.Data(), 0)}
	for i := range linearClients {
		l.calls = append(l.calls, mem.Slice[record](s.Data(), 128+i*linearMost*40, linearMost))
	}
	return l
}

// A scribe logs the calls of one client.
type scribe struct {
	l     *ledger
	calls []record
}

// call logs a call, which f makes.
func (s *scribe) call(op, value uint64, f func() (uint64, error)) (uint64, bool) {
	r := &s.calls[0]
	s.calls = s.calls[1:]
	r.value.Store(value)
	r.call.Store(s.l.clock.Add(1))
	r.op.Store(op)
	v, err := f()
	switch {
	case err == ring.ErrFull || err == ring.ErrEmpty:
		r.result.Store(isRefused)
	case err != nil:
		panic(err)
	default:
		r.value.Store(v)
		r.result.Store(isDone)
	}
	r.ret.Store(s.l.clock.Add(1))
	return v, err == nil
}

// some makes n operations, each with one call or two.
func (s *scribe) some(q *ring.Queue[uint64], r *rand.Rand, client, n int) {
	for i := range n {
		switch r.IntN(6) {
		case 0, 1, 2:
			v := uint64(client*2000 + i + 1)
			s.call(opPut, v, func() (uint64, error) { return v, q.TryPut(v) })
		case 3, 4:
			s.call(opGet, 0, q.TryGet)
		default:
			var m ring.Message
			v, ok := s.call(opTake, 0, func() (v uint64, err error) {
				if m, err = q.TryTake(); err == nil {
					v, err = q.Value(m)
				}
				return v, err
			})
			if !ok {
				continue
			}
			op, end := uint64(opRelease), m.Release
			if r.IntN(2) == 0 {
				op, end = opRequeue, m.Requeue
			}
			s.call(op, v, func() (uint64, error) { return v, end() })
		}
	}
}

// historyClient does what it is told until it is killed.
func historyClient(args []string) int {
	q := must(ring.OpenQueue[uint64](args[0], nil))
	l := ledgerOf(must(shm.Open(args[1], nil)))
	var no, seed, ops int
	fmt.Sscan(args[2], &no)
	for {
		line, ok := shmtest.Hear()
		if !ok {
			q.Close()
			l.seg.Close()
			return 0
		}
		fmt.Sscan(line, &seed, &ops)
		var wg sync.WaitGroup
		for i := range linearThreads {
			client := no*linearThreads + i
			wg.Go(func() {
				s := &scribe{l, l.calls[client]}
				s.some(q, rand.New(rand.NewPCG(uint64(seed), uint64(client))), client, ops)
			})
		}
		wg.Wait()
		shmtest.Say("done")
	}
}

// The state of a queue, as strings of runes. Of what killed clients had taken
// each rune is preceded by the client.
type linearState struct{ ring, orphans, lost string }

// A step is what a client did or may have done.
type step struct {
	op     int
	client int
	value  rune
	result int
}

func without(s string, r rune) string { return strings.Replace(s, string(r), "", 1) }

func with(s string, r rune) string {
	rs := append([]rune(s), r)
	slices.Sort(rs)
	return string(rs)
}

// takings are what a client may get from a queue, and what is left: the oldest
// message, or any of those that were put back.
func (st linearState) takings() map[rune]linearState {
	all := map[rune]linearState{}
	for _, r := range st.orphans {
		all[r] = linearState{st.ring, without(st.orphans, r), st.lost}
	}
	for _, r := range st.ring {
		all[r] = linearState{without(st.ring, r), st.orphans, st.lost}
		break
	}
	return all
}

// next returns the states in which s may leave the queue.
func (st linearState) next(s step) (all []linearState) {
	if s.result == isPending && s.op != opRecover {
		all = append(all, st) // it did not happen
	}
	switch full := len([]rune(st.ring)) == linearCap; s.op {
	case opPut:
		if full == (s.result == isRefused) || s.result == isPending && !full {
			if !full {
				st.ring += string(s.value)
			}
			all = append(all, st)
		}
	case opGet, opTake:
		for r, left := range st.takings() {
			switch {
			case s.result == isDone && r == s.value:
				all = append(all, left)
			case s.result == isPending:
				left2 := left
				left2.lost += string(rune('A'+s.client)) + string(r)
				all = append(all, left2) // and is recovered
				if s.op == opGet {
					all = append(all, left) // and got it
				}
			}
		}
		if s.result == isRefused && len(st.takings()) == 0 {
			all = append(all, st)
		}
	case opRelease:
		if s.result == isPending {
			lost := st
			lost.lost += string(rune('A'+s.client)) + string(s.value)
			all = append(all, lost)
		} else {
			all = append(all, st)
		}
	case opRequeue:
		st.orphans = with(st.orphans, s.value)
		all = []linearState{st} // if not by it, by its repair
	case opRecover:
		rs := []rune(st.lost)
		st.lost = ""
		for i := 0; i < len(rs); i += 2 {
			if rs[i] == rune('A'+s.client) {
				st.orphans = with(st.orphans, rs[i+1])
			} else {
				st.lost += string(rs[i : i+2])
			}
		}
		all = append(all, st)
	}
	return all
}

var linearModel = func() porcupine.Model {
	m := porcupine.NondeterministicModel{
		Init: func() []any { return []any{linearState{}} },
		Step: func(state, input, _ any) (all []any) {
			for _, st := range state.(linearState).next(input.(step)) {
				all = append(all, st)
			}
			return all
		},
		DescribeOperation: func(input, _ any) string { return fmt.Sprintf("%+v", input) },
	}
	return m.ToModel()
}()

// A lifeEnd is the time of a client's death and of its repair.
type lifeEnd struct{ from, to uint64 }

// history returns what the clients did.
func (l *ledger) history(dead map[int]lifeEnd) (ops []porcupine.Operation) {
	for client := range l.calls {
		k, killed := dead[client/linearThreads]
		var held rune // taken and not given back
		for i := range l.calls[client] {
			r := &l.calls[client][i]
			s := step{int(r.op.Load()), client, rune(r.value.Load()), int(r.result.Load())}
			if s.op == 0 {
				break
			}
			end := r.ret.Load()
			if end == 0 { // also when the result stands there already
				s.result, end = isPending, k.to
			}
			if held = 0; s.op == opTake && s.result == isDone {
				held = s.value
			}
			ops = append(ops, porcupine.Operation{ClientId: client, Input: s, Call: int64(r.call.Load()), Return: int64(end)})
		}
		if !killed {
			continue
		}
		rec := porcupine.Operation{ClientId: client, Call: int64(k.from), Return: int64(k.to)}
		rec.Input = step{op: opRecover, client: client}
		if held != 0 {
			rec.Input = step{op: opRequeue, client: client, value: held, result: isDone}
		}
		ops = append(ops, rec)
	}
	return ops
}

// clear forgets everything.
func (l *ledger) clear() {
	clear(l.seg.Data())
}

// Recorded histories of several processes, some of which are killed in the
// middle, are such as one list of messages could have had, whose calls happen one
// at a time.
func TestQueueIsLinearizable(t *testing.T) {
	rounds := 300
	switch {
	case testing.Short():
		rounds = 12
	case race.Enabled:
		rounds = 30
	}
	name, log := queueName(t), queueName(t)
	q := must(ring.CreateQueue[uint64](name, &ring.QueueOptions{Capacity: linearCap, Segment: shm.Options{MaxParticipants: 8}}))
	defer q.Close()
	l := ledgerOf(must(shm.Create(log, &shm.Options{Size: 128 + linearClients*linearMost*40})))
	defer l.seg.Close()
	children := make([]*shmtest.Child, linearChildren)
	var calls, pending, kills, undecided int
	for round := range rounds {
		l.clear()
		for i, c := range children {
			if c == nil {
				children[i] = shmtest.Start(t, "history", name, log, fmt.Sprint(i))
			}
		}
		dead := killSome(t, l, q, children, round)
		kills += len(dead)
		drain := &scribe{l, l.calls[linearClients-1]}
		for more := true; more; {
			_, more = drain.call(opGet, 0, q.TryGet)
		}
		ops := l.history(dead)
		calls += len(ops)
		for _, op := range ops {
			if s := op.Input.(step); s.op != opRecover && s.result == isPending {
				pending++
			}
		}
		switch porcupine.CheckOperationsTimeout(linearModel, ops, 30*time.Second) {
		case porcupine.Illegal:
			t.Fatalf("round %d is not linearizable:\n%s", round, script(ops))
		case porcupine.Unknown:
			undecided++
		}
		if s := q.Stats(); s.FreeChunks != s.Chunks {
			t.Fatalf("round %d: chunks are missing: %+v\n%s", round, s, ring.ChunkStates(q))
		}
	}
	t.Logf("%d histories of %d calls, %d kills, %d calls cut off; %d undecided", rounds, calls, kills, pending, undecided)
	if pending == 0 && !testing.Short() {
		t.Error("no call was cut off")
	}
	if undecided > rounds/2 {
		t.Error("too many histories could not be decided")
	}
	for _, c := range children {
		if c != nil {
			c.Exit()
		}
	}
}

// killSome lets the children go and kills some of them on their way.
func killSome(t *testing.T, l *ledger, q *ring.Queue[uint64], children []*shmtest.Child, round int) map[int]lifeEnd {
	r := rand.New(rand.NewPCG(3, uint64(round)))
	dead := map[int]lifeEnd{}
	victims := r.Perm(linearChildren)[:r.IntN(linearChildren)]
	for i, c := range children {
		ops := linearOps
		if slices.Contains(victims, i) {
			ops = linearMost / 2 // of two calls each at most
		}
		c.Send("%d %d", round, ops)
	}
	for _, i := range victims {
		at := uint64(r.IntN(linearClients * linearOps))
		for start := time.Now(); l.clock.Load() < at && !idle(l, children); { // a poll that sleeps would come late
			if runtime.Gosched(); time.Since(start) > shmtest.Watchdog() {
				t.Fatalf("the clock stands at %d of %d", l.clock.Load(), at)
			}
		}
		k := lifeEnd{from: l.clock.Add(1)}
		children[i].Kill()
		for gone := false; !gone; {
			q.Segment().CheckPeers()
			gone = !slices.ContainsFunc(q.Stats().Participants, func(p shm.Participant) bool { return p.State == shm.Dead })
		}
		k.to = l.clock.Add(1)
		children[i] = nil
		dead[i] = k
	}
	for _, c := range children {
		if c != nil {
			c.Expect("done")
		}
	}
	return dead
}

// idle reports whether the children have nothing to do any more, as far as can be
// seen.
func idle(l *ledger, children []*shmtest.Child) bool {
	for client := range linearClients - 1 {
		if children[client/linearThreads] != nil && l.calls[client][linearOps-1].ret.Load() == 0 {
			return false
		}
	}
	return true
}

// script describes a history that fails.
func script(ops []porcupine.Operation) string {
	slices.SortFunc(ops, func(a, b porcupine.Operation) int { return int(a.Call - b.Call) })
	var b strings.Builder
	for _, op := range ops {
		s := op.Input.(step)
		fmt.Fprintf(&b, "%4d to %4d  client %d %s %d: %s\n", op.Call, min(op.Return, math.MaxInt32), op.ClientId,
			[]string{"", "put", "get", "take", "release", "requeue", "recover"}[s.op], s.value,
			[]string{"cut off", "done", "refused"}[s.result])
	}
	return b.String()
}
