//go:build linux

package lock_test

import (
	"encoding/binary"
	"strconv"
	"sync"
	"testing"

	"github.com/sluice-ipc/sluice/internal/shmtest"
	"github.com/sluice-ipc/sluice/shm"
	"github.com/sluice-ipc/sluice/shm/lock"
)

func init() {
	roles["obey"] = obey
	roles["count"] = count
}

// obey does with a mutex what it is told, and says what came of it.
func obey(args []string) int {
	m := must(lock.Open[lock.Mutex](args[0], nil))
	shmtest.Say("%d", m.Segment().ID())
	for {
		cmd, ok := shmtest.Hear()
		if !ok {
			return 0
		}
		switch cmd {
		case "lock":
			shmtest.Say("%s", name(m.Lock(bg)))
		case "unlock":
			shmtest.Say("%s", name(m.Unlock()))
		case "mark":
			shmtest.Say("%s", name(m.MarkConsistent()))
		case "try":
			ok, err := m.TryLock()
			shmtest.Say("%v %s", ok, name(err))
		case "turns": // as fast as it can, until it is killed
			for {
				check(m.Lock(bg))
				check(m.Unlock())
			}
		}
	}
}

// obedient starts a child that obeys, and returns who it is.
func obedient(t testing.TB, file string) (*shmtest.Child, shm.ID) {
	t.Helper()
	c := shmtest.Start(t, "obey", file)
	return c, shm.ID(must(strconv.ParseUint(c.Line(), 10, 64)))
}

// do tells a child to do something, and what is to come of it.
func do(t testing.TB, c *shmtest.Child, cmd, want string) {
	t.Helper()
	c.Send("%s", cmd)
	c.Expect(want)
}

// field is a segment with a mutex and a counter behind it.
func field(t testing.TB) (s *shm.Segment, file string) {
	t.Helper()
	file = fresh(t)
	s = must(shm.Create(file, &shm.Options{Size: 256, MaxParticipants: 8}))
	t.Cleanup(func() { s.Close() })
	return s, file
}

// count counts from several goroutines, some of them with a token.
func count(args []string) int {
	turns := must(strconv.Atoi(args[1]))
	s := must(shm.Open(args[0], nil))
	m := must(lock.At[lock.Mutex](s, 0, nil))
	shmtest.Say("ready")
	shmtest.Hear()
	var wg sync.WaitGroup
	for g := range 2 {
		wg.Go(func() { countTurns(m, g, turns, s.Data()[128:]) })
	}
	wg.Wait()
	return 0
}

func countTurns(m *lock.Mutex, g, turns int, counter []byte) {
	o := m.Owner()
	for range turns {
		if g == 1 {
			check(o.Lock(bg))
			check(o.Lock(bg))
		} else {
			check(m.Lock(bg))
		}
		increment(counter)
		if g == 1 {
			check(o.Unlock())
			check(o.Unlock())
		} else {
			check(m.Unlock())
		}
	}
}

func TestProcessesExcludeEachOther(t *testing.T) {
	s, file := field(t)
	turns := shorten(10_000)
	var cs []*shmtest.Child
	for range 3 {
		c := shmtest.Start(t, "count", file, strconv.Itoa(turns))
		c.Expect("ready")
		cs = append(cs, c)
	}
	for _, c := range cs {
		c.Send("go")
	}
	m := must(lock.At[lock.Mutex](s, 0, nil))
	countTurns(m, 0, turns, s.Data()[128:])
	for _, c := range cs {
		c.Exit()
	}
	if n := binary.LittleEndian.Uint64(s.Data()[128:]); n != 7*uint64(turns) {
		t.Errorf("counted to %d, want %d", n, 7*turns)
	}
}
