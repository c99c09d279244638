//go:build linux && sluice_hooks

package shm

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"testing"

	"github.com/sluice-ipc/sluice/internal/hook"
	"github.com/sluice-ipc/sluice/internal/shmtest"
)

func init() { roles["stepper"] = stepper }

// An operation is what a process is killed or stopped in, at each of its steps.
type operation struct {
	name string
	// before prepares what the child finds under the name, and what lives
	// meanwhile; it returns whoever stays in the old segment.
	before func(t testing.TB, name string) *Segment
	run    func(name string) (*Segment, error)
}

var opts = Options{Size: 4096, MaxParticipants: 4, Kind: KindQueue,
	Attach: func(*Segment) (Repairer, error) { return forgiving{}, nil }}

func nothing(testing.TB, string) *Segment { return nil }

// abandoned leaves a segment that nobody is in, with one dead participant.
func abandoned(t testing.TB, name string) *Segment {
	s := must(Create(name, &opts))(t)
	c, _ := startMember(t, s)
	c.Kill()
	s.Close()
	return nil
}

// inhabited leaves a segment with a live and a dead participant.
func inhabited(t testing.TB, name string) *Segment {
	s := must(Create(name, &opts))(t)
	c, _ := startMember(t, s)
	c.Kill()
	return s
}

var operations = []operation{
	{"create", nothing, func(name string) (*Segment, error) { return Create(name, &opts) }},
	{"replace", abandoned, func(name string) (*Segment, error) { return Create(name, &opts) }},
	{"open", inhabited, func(name string) (*Segment, error) { return Open(name, &opts) }},
	{"revive", abandoned, func(name string) (*Segment, error) { return OpenOrCreate(name, &opts) }},
	{"close", inhabited, func(name string) (*Segment, error) {
		s, err := Open(name, &opts)
		if err == nil {
			err = s.Close()
		}
		return nil, err
	}},
	{"remove", inhabited, func(name string) (*Segment, error) { return nil, Remove(name) }},
	{"remove the dead", abandoned, func(name string) (*Segment, error) { return nil, Remove(name) }},
}

// stepper performs an operation, and says which steps it came by and how often.
func stepper(args []string) int {
	i, _ := strconv.Atoi(args[0])
	s, err := operations[i].run(args[1])
	if err != nil {
		return complain("%v", err)
	}
	var steps []string
	for _, step := range hook.Steps() {
		steps = append(steps, fmt.Sprintf("%s:%d", step, hook.Count(step)))
	}
	shmtest.Say("%s", strings.Join(steps, " "))
	shmtest.Hear()
	if s != nil {
		s.Close()
	}
	return 0
}

// eachStep runs body for each arrival of the operation at a step.
func eachStep(t *testing.T, body func(t *testing.T, i int, step string)) {
	for i, op := range operations {
		name := testName(t)
		live := op.before(t, name)
		c := shmtest.Start(t, "stepper", strconv.Itoa(i), name)
		steps := strings.Fields(c.Line())
		c.Exit()
		if live != nil {
			live.Close()
		}
		Remove(name)
		if len(steps) < 2 {
			t.Errorf("%s has the steps %q", op.name, steps)
		}
		for _, step := range steps {
			at, count, _ := strings.Cut(step, ":")
			n, _ := strconv.Atoi(count)
			for k := 1; k <= n; k++ {
				t.Run(fmt.Sprintf("%s at %s %d", op.name, at, k), func(t *testing.T) {
					body(t, i, fmt.Sprintf("%s:%d", at, k))
				})
			}
		}
	}
}

// Killed at any step, nothing is left that the next one does not put right.
func TestKilledAtEachStep(t *testing.T) {
	eachStep(t, func(t *testing.T, i int, step string) {
		noLeaks(t)
		name := testName(t)
		live := operations[i].before(t, name)
		c := shmtest.Command(t, "stepper", strconv.Itoa(i), name)
		c.Cmd.Env = append(c.Cmd.Env, "SLUICE_HOOK="+step+":kill")
		c.Start()
		if code := c.Wait(); code != -1 {
			t.Fatalf("it ended with %d, not by the hook", code)
		}
		if live != nil {
			alone(t, live)
		}
		s := must(OpenOrCreate(name, &opts))(t)
		if live != nil && live.UUID() == s.UUID() {
			live.Close()
		} else if live != nil {
			defer live.Close()
		}
		alone(t, s)
		if _, err := Create(name, &opts); !errors.Is(err, fs.ErrExist) {
			t.Errorf("Create over a live one: %v", err)
		}
		s.Close()
		closing(t, must(Create(name, &opts))(t))
	})
}

// alone checks that nobody but us is in a segment, once it has been looked at.
func alone(t testing.TB, s *Segment) {
	t.Helper()
	s.CheckPeers()
	if p := s.Participants(); len(p) != 1 || !p[0].Self {
		t.Errorf("participants: %+v", p)
	}
	if err := s.Err(); err != nil {
		t.Error(err)
	}
}

// Stopped at any step, it holds up nobody who is in a segment already, and
// others who use the name for no longer than they say. Nobody is taken for dead.
// When it goes on it succeeds, or fails with an error that says why.
func TestStoppedAtEachStep(t *testing.T) {
	eachStep(t, func(t *testing.T, i int, step string) {
		noLeaks(t)
		name := testName(t)
		live := operations[i].before(t, name)
		c := shmtest.Command(t, "stepper", strconv.Itoa(i), name)
		c.Cmd.Env = append(c.Cmd.Env, "SLUICE_HOOK="+step+":stop")
		c.Start()
		c.AwaitStop()
		if live != nil {
			defer live.Close()
			live.CheckPeers()
			if live.Err() != nil || live.Gone(live.ID()) {
				t.Errorf("who was in the segment suffers: %v", live.Err())
			}
			if p := live.Participants(); len(p) > 2 {
				t.Errorf("the dead one is still there: %+v", p)
			}
		}
		s, err := OpenOrCreate(name, &opts)
		if err == nil {
			s.CheckPeers()
			defer s.Close()
		} else if !errors.Is(err, ErrBusy) {
			t.Errorf("OpenOrCreate: %v", err)
		}
		c.Cont()
		if line, ok := c.Next(); ok {
			t.Logf("it went on: %s", line)
			c.Exit()
		} else if code := c.Wait(); code != 1 || err != nil {
			t.Errorf("it ended with %d", code)
		}
	})
}

// A joiner saw a free slot and was stopped. When it goes on, somebody else has
// had that slot and died in it, unrepaired: the slot is not free any more.
func TestSlotChangesUnderAJoiner(t *testing.T) {
	noLeaks(t)
	name := testName(t)
	s := closing(t, must(Create(name, &Options{Size: 1, Kind: KindQueue}))(t))
	c := shmtest.Command(t, "member", name)
	c.Cmd.Env = append(c.Cmd.Env, "SLUICE_HOOK=shm.join.lock:1:stop")
	c.Start()
	c.AwaitStop()
	other, dead := startMember(t, s)
	other.Kill()
	if !s.Gone(dead) || !isState(s.word(dead), Dead) {
		t.Fatalf("the slot's word is %#x, want dead", s.word(dead))
	}
	c.Cont()
	if id := hearID(t, c); id.Slot() == dead.Slot() {
		t.Errorf("the joiner is %v, in the slot of the dead %v", id, dead)
	}
	c.Exit()
}
