//go:build linux

package shm

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-ipc/sluice/internal/hook"
	"github.com/sluice-ipc/sluice/internal/race"
	"github.com/sluice-ipc/sluice/internal/shmtest"
	"github.com/sluice-ipc/sluice/internal/sys"
)

func init() { roles["racer"] = racer }

// How the race is proven to have been clean.
//
// A name that has ceased to lead to an inode never leads to it again: nothing
// is linked twice. So a participant that finds, as its last act before it
// closes, that the name leads to its segment knows that the name did so ever
// since it joined; and since a name leads to one inode only, no other segment
// was live under it meanwhile. If the name does not lead there any more, then
// somebody has removed it, which is allowed, or replaced the segment under a
// live participant, which is the failure. Removals are told apart by who did
// them: each says which inode it removed. And a segment that was replaced is
// marked RETIRED; a participant must never see that mark.
//
// A racer that is killed says nothing; what it held needs no proof any more,
// and what it removed in its last moment is counted as one unknown removal.

// A ledger is what the parent knows.
type ledger struct {
	removed  map[string]bool // inodes that somebody says to have removed
	unknown  int             // removers that died before they could say
	orphaned map[string]bool // inodes that a participant lost the name of
	count    map[string]int
}

func (l *ledger) note(t *testing.T, line string) {
	what, arg, _ := strings.Cut(line, " ")
	l.count[what]++
	switch what {
	case "removed":
		l.removed[arg] = true
	case "orphaned":
		l.orphaned[arg] = true
	case "retired", "failed":
		t.Errorf("a racer says %q", line)
	}
}

// check is called with all racers at rest.
func (l *ledger) check(t *testing.T) {
	t.Helper()
	unexplained := 0
	for id := range l.orphaned {
		if !l.removed[id] {
			unexplained++
		}
	}
	if unexplained > l.unknown {
		t.Fatalf("%d segments lost their name under a live participant, "+
			"%d unexplained removals", unexplained, l.unknown)
	}
}

// Several processes race for one name, in rounds. In each round all of them
// do a few things at random; one may be killed on the way, by itself at a
// chosen place or by us at any instruction. In every other round nobody removes
// the name, so that there every lost name is a failure.
func TestRaceForAName(t *testing.T) {
	noLeaks(t)
	rounds := 1000
	if testing.Short() || race.Enabled {
		rounds = 60
	}
	const n = 4
	name := testName(t)
	l := &ledger{removed: map[string]bool{}, orphaned: map[string]bool{}, count: map[string]int{}}
	racers := make([]*shmtest.Child, n)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	for round := range rounds {
		l.round(t, rng, racers, name, round%2 == 1)
	}
	for _, c := range racers {
		if c != nil {
			c.Exit()
		}
	}
	t.Logf("%d rounds: %v, %d removals unknown", rounds, l.count, l.unknown)
	for _, what := range []string{"created", "joined", "replaced", "removed", "died", "held"} {
		if l.count[what] == 0 {
			t.Errorf("the race was not one: nothing was %s", what)
		}
	}
}

// round lets all racers act once.
func (l *ledger) round(t *testing.T, rng *rand.Rand, racers []*shmtest.Child, name string, remove bool) {
	n := len(racers)
	victim, place, shot := rng.IntN(2*n), rng.IntN(18), -1
	for i := range racers {
		if racers[i] == nil {
			racers[i] = shmtest.Start(t, "racer", name)
		}
	}
	for i, c := range racers {
		die := -1
		if i == victim && place < 12 {
			die = place
		}
		c.Send("%d %t %d", rng.Uint64(), remove, die)
	}
	if victim < n && place >= 12 {
		shot = victim
		for range rng.IntN(200_000) { // some time, no matter how long
		}
		l.count["shot"]++
		syscall.Kill(racers[victim].Pid(), syscall.SIGKILL)
	}
	for i, c := range racers {
		// Who was shot may have come to rest before.
		if !l.hear(t, c) || i == shot && !l.hear(t, c) {
			c.Wait()
			racers[i] = nil
			l.count["died"]++
		}
	}
	l.check(t)
}

// hear notes what a racer has to say of a round, false if it died.
func (l *ledger) hear(t *testing.T, c *shmtest.Child) bool {
	for last := ""; ; {
		line, ok := c.Next()
		if !ok {
			if last == "removing" {
				l.unknown++
			}
			return false
		}
		if line == "rest" {
			return true
		}
		l.note(t, line)
		last = line
	}
}

// A racer holds at most one segment, also from one round to the next.
type racerState struct {
	name, path string
	s          *Segment
	die        int // which chance to die is taken
	rng        *rand.Rand
}

func racer(args []string) int {
	r := &racerState{name: args[0]}
	r.path, _ = pathOf(r.name)
	hook.Set(dawdle) // widens every window, in a build that has hooks
	for {
		line, ok := shmtest.Hear()
		if !ok {
			r.die = -1
			r.close()
			return 0
		}
		var seed uint64
		var remove bool
		if _, err := fmt.Sscan(line, &seed, &remove, &r.die); err != nil {
			return complain("%q: %v", line, err)
		}
		r.rng = rand.New(rand.NewPCG(seed, 1))
		for range 6 {
			r.act(remove)
		}
		shmtest.Say("rest")
	}
}

// dawdle takes its time at some steps, so that others get between two.
func dawdle(step string) {
	if rand.IntN(4) == 0 {
		time.Sleep(rand.N(500 * time.Microsecond))
	}
}

// chance is a place to die.
func (r *racerState) chance() {
	if r.die--; r.die == -1 {
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
}

func (r *racerState) act(remove bool) {
	r.chance()
	k := r.rng.IntN(10)
	if remove && k == 0 {
		r.remove()
		return
	}
	if r.s != nil {
		if k < 7 {
			r.close()
		} else {
			r.verify()
		}
		return
	}
	r.enter(k, remove)
	r.verify()
}

// enter tries to become a participant in one of three ways.
func (r *racerState) enter(k int, remove bool) {
	o := &Options{Size: 4096, MaxParticipants: 8,
		Init:   func([]byte) error { r.chance(); return nil },
		Attach: func(*Segment) (Repairer, error) { r.chance(); return nil, nil }}
	before, err := sys.StatPath(r.path) // zero if there is nothing
	switch {
	case k < 4:
		r.s, err = Create(r.name, o)
	case k < 7:
		r.s, err = OpenOrCreate(r.name, o)
	default:
		r.s, err = Open(r.name, o)
	}
	switch {
	case err == nil && !r.s.Created():
		shmtest.Say("joined")
	case err == nil && before.Ino != 0 && !remove:
		shmtest.Say("replaced")
	case err == nil:
		shmtest.Say("created")
	case errors.Is(err, fs.ErrExist), errors.Is(err, fs.ErrNotExist):
		shmtest.Say("refused")
	case errors.Is(err, ErrBusy):
		shmtest.Say("busy")
	default:
		shmtest.Say("failed %v", err)
	}
}

// verify says whether the name still leads to what we hold.
func (r *racerState) verify() {
	if r.s == nil {
		return
	}
	shmtest.Say("held")
	if r.s.ctl.lifecycle.Load() != lifeOpen {
		shmtest.Say("retired %s", inode(r.s.file))
	}
	if err := leadsTo(r.path, r.s.file); err == errAgain {
		shmtest.Say("orphaned %s", inode(r.s.file))
	} else if err != nil {
		shmtest.Say("failed %v", err)
	}
}

func (r *racerState) close() {
	if r.s == nil {
		return
	}
	r.verify()
	r.chance()
	if err := r.s.Close(); err != nil {
		shmtest.Say("failed %v", err)
	}
	r.s = nil
}

// remove is Remove, which does not say what it removed.
func (r *racerState) remove() {
	shmtest.Say("removing")
	var id sys.FileID
	err := until(func() (err error) {
		id, err = unlink(r.path, r.name)
		return err
	})
	switch {
	case err == nil:
		shmtest.Say("removed %s", inode(id))
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, ErrBusy):
		shmtest.Say("refused")
	default:
		shmtest.Say("failed %v", err)
	}
}

func inode(id sys.FileID) string {
	return strconv.FormatUint(id.Ino, 10)
}
