//go:build linux

package lock_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/sluice-ipc/sluice/internal/cpu"
	"github.com/sluice-ipc/sluice/internal/mem"
	"github.com/sluice-ipc/sluice/internal/shmtest"
	"github.com/sluice-ipc/sluice/shm"
	"github.com/sluice-ipc/sluice/shm/lock"
)

func init() {
	roles["rw-crowd"] = rwCrowd
	roles["rw-hot"] = rwHot
	roles["rw-hold"] = rwHold
}

// rwCrowd reads and writes until it is told to end, or for so many turns. It says
// how often it wrote.
func rwCrowd(args []string) int {
	l := openLedger(must(shm.Open(args[0], nil)))
	shmtest.Say("ready")
	wrote := 0
	for i := range must(strconv.Atoi(args[1])) {
		if rand.IntN(4) > 0 {
			err := l.RLock(bg)
			if errors.Is(err, lock.ErrInconsistent) {
				continue
			}
			check(err)
			a, _ := l.read()
			cpu.Pause(50)
			if _, b := l.read(); a != b {
				panic(fmt.Sprintf("turn %d: a reader sees %d and %d", i, a, b))
			}
			check(l.RUnlock())
			continue
		}
		ok, err := i%2 == 0, error(nil)
		if ok {
			err = l.Lock(bg)
		} else {
			ok, err = l.TryLock()
		}
		if !ok {
			check(err)
			continue
		}
		if err := l.told(err, l.bumpSlowly); !errors.Is(err, lock.ErrOwnerDied) {
			check(err)
		}
		wrote++
	}
	shmtest.Say("%d", wrote)
	shmtest.Hear()
	return 0
}

// bumpSlowly is bump with some time between the words, to be killed in.
func (l ledgerRW) bumpSlowly() {
	a, b := l.read()
	binary.LittleEndian.PutUint64(l.words, a+1)
	for range 100 {
		cpu.Pause(10)
	}
	binary.LittleEndian.PutUint64(l.words[8:], b+1)
}

// Processes that read and write exclude each other.
func TestProcessesReadAndWrite(t *testing.T) {
	h, file := newLedger(t, 1)
	var all []*shmtest.Child
	for range 4 {
		all = append(all, shmtest.Start(t, "rw-crowd", file, strconv.Itoa(shorten(20_000))))
	}
	wrote := 0
	for _, c := range all {
		c.Expect("ready")
		wrote += must(strconv.Atoi(c.Line()))
		c.Exit()
	}
	if n := h[0].whole(t); int(n) != wrote {
		t.Errorf("written %d times, and it says %d", wrote, n)
	}
	h[0].goesOn(t)
}

// The same while they die: nobody hangs, and nobody sees anything half done.
func TestProcessesReadWriteAndDie(t *testing.T) {
	h, file := newLedger(t, 1)
	a := h[0]
	deaths := 60
	if shorten(10) == 1 {
		deaths = 10
	}
	start := func() *shmtest.Child {
		c := shmtest.Start(t, "rw-crowd", file, "1000000000")
		c.Expect("ready")
		return c
	}
	all := []*shmtest.Child{start(), start(), start()}
	died := 0
	for i := range deaths {
		n := mem.At[atomic.Uint64](a.words, 0)
		before := n.Load()
		shmtest.Eventually(t, func() bool { return n.Load() > before+20 }, "they write on")
		all[i%3].Kill()
		err := a.write(within(t), a.bump)
		if errors.Is(err, lock.ErrOwnerDied) {
			died++
		} else {
			wantErr(t, "Lock", err, nil)
		}
		all[i%3] = start()
	}
	for _, c := range all {
		c.Kill()
	}
	a.mend(t)
	t.Logf("%d of %d died as writers, and it was we who were told", died, deaths)
	a.goesOn(t)
}

func rwHot(args []string) int {
	l := openLedger(must(shm.Open(args[0], nil)))
	shmtest.Say("ready")
	for {
		take, work, leave := l.RLock, func() { l.read() }, l.RUnlock
		if args[1] == "write" {
			take, work, leave = l.Lock, l.bump, l.Unlock
		}
		err := take(bg)
		if errors.Is(err, lock.ErrOwnerDied) {
			shmtest.Hear() // the others are being killed, and we are next
		}
		check(err)
		work()
		check(leave())
	}
}

// A writer gets in among readers that do nothing but read, and a reader among
// writers, again and again.
func TestNobodyIsKeptOut(t *testing.T) {
	for _, hot := range []string{"read", "write"} {
		t.Run("hot to "+hot, func(t *testing.T) {
			h, file := newLedger(t, 1)
			a := h[0]
			var all []*shmtest.Child
			for range 3 {
				c := shmtest.Start(t, "rw-hot", file, hot)
				c.Expect("ready")
				all = append(all, c)
			}
			n := mem.At[atomic.Uint64](a.words, 0)
			for range shorten(1000) {
				if hot == "write" {
					before := n.Load()
					shmtest.Eventually(t, func() bool { return n.Load() > before }, "they write on")
				}
				if hot == "read" {
					wantErr(t, "Lock", a.Lock(within(t)), nil)
					a.bump()
					check(a.Unlock())
				} else {
					wantErr(t, "RLock", a.RLock(within(t)), nil)
					a.whole(t)
					check(a.RUnlock())
				}
			}
			for _, c := range all {
				c.Kill()
			}
			a.mend(t)
		})
	}
}

// rwHold takes what it is told, and holds it.
func rwHold(args []string) int {
	l := openLedger(must(shm.Open(args[0], nil)))
	if args[1] == "write" {
		check(l.Lock(bg))
	} else {
		check(l.RLock(bg))
		check(l.RLock(bg))
	}
	shmtest.Say("%d", l.Segment().ID())
	if line, _ := shmtest.Hear(); line == "die" {
		select {}
	}
	if args[1] == "write" {
		check(l.Unlock())
	} else {
		check(l.RUnlock())
		check(l.RUnlock())
	}
	shmtest.Say("done")
	shmtest.Hear()
	return 0
}

// holder starts a child that holds something.
func holder(t *testing.T, role, file, what string) (*shmtest.Child, shm.ID) {
	t.Helper()
	c := shmtest.Start(t, role, file, what)
	return c, shm.ID(must(strconv.ParseUint(c.Line(), 10, 64)))
}

// Who waits for one that dies is let in, and who waits for a stopped one is not.
func TestReaderOrWriterDiesOrStops(t *testing.T) {
	for _, what := range []string{"read", "write"} {
		t.Run(what, func(t *testing.T) {
			bothSensors(t, func(t *testing.T) {
				h, file := newLedger(t, 3)
				a, b := h[0], h[1]
				c, id := holder(t, "rw-hold", file, what)
				if s := a.String(); what == "write" && !strings.Contains(s, fmt.Sprintf("held by process %d, ", c.Pid())) ||
					what == "read" && !strings.Contains(s, "free, 1 readers") {
					t.Errorf("%q does not name process %d", s, c.Pid())
				}
				c.Stop()
				for range 20 {
					a.Segment().CheckPeers()
				}
				tryLock(t, a.RWMutex, false, nil)
				tryRLock(t, a.RWMutex, what == "read", nil)
				if what == "read" {
					check(a.RUnlock())
				}
				writer := asleep(t, func() error { return a.Lock(within(t)) })
				if a.Segment().Gone(id) {
					t.Fatal("the stopped one is gone")
				}
				c.Kill()
				told := got(t, writer)
				if what == "write" {
					wantErr(t, "Lock under the writer's death", told, lock.ErrOwnerDied)
					reader := asleep(t, func() error { return b.RLock(within(t)) })
					check(a.MarkConsistent())
					check(a.Unlock())
					wantErr(t, "RLock", got(t, reader), nil)
					check(b.RUnlock())
				} else {
					wantErr(t, "Lock under a reader's death", told, nil)
					check(a.Unlock())
				}
				a.goesOn(t, h[1:]...)
			})
		})
	}
	t.Run("readers wait", func(t *testing.T) {
		h, file := newLedger(t, 2)
		c, _ := holder(t, "rw-hold", file, "write")
		reader := asleep(t, func() error { return h[0].RLock(within(t)) })
		c.Kill()
		wantErr(t, "RLock under the writer's death", got(t, reader), lock.ErrInconsistent)
		tryRLock(t, h[1].RWMutex, false, lock.ErrInconsistent)
		if h[1].mend(t) != "died" {
			t.Error("nobody is told")
		}
		h[0].goesOn(t, h[1])
	})
	t.Run("stopped and continued", func(t *testing.T) {
		h, file := newLedger(t, 1)
		for _, what := range []string{"read", "write"} {
			c, _ := holder(t, "rw-hold", file, what)
			c.Stop()
			writer := asleep(t, func() error { return h[0].Lock(within(t)) })
			c.Cont()
			c.Send("go on")
			c.Expect("done")
			wantErr(t, "Lock", got(t, writer), nil)
			check(h[0].Unlock())
			c.Exit()
		}
		h[0].goesOn(t)
	})
}

// The first attempt after a death finds it, also one that must not wait.
func TestTryAfterADeath(t *testing.T) {
	h, file := newLedger(t, 1)
	a := h[0]
	done, cancel := context.WithCancel(bg)
	cancel()
	dies := func(what string) {
		c, _ := holder(t, "rw-hold", file, what)
		c.Kill()
	}
	dies("read")
	tryLock(t, a.RWMutex, true, nil)
	check(a.Unlock())
	dies("read")
	wantErr(t, "Lock with a context that is done", a.Lock(done), nil)
	check(a.Unlock())
	dies("write")
	tryRLock(t, a.RWMutex, false, lock.ErrInconsistent)
	tryLock(t, a.RWMutex, true, lock.ErrOwnerDied)
	check(a.MarkConsistent())
	check(a.Unlock())
	dies("write")
	wantErr(t, "RLock with a context that is done", a.RLock(done), lock.ErrInconsistent)
	wantErr(t, "Lock with a context that is done", a.Lock(done), lock.ErrOwnerDied)
	check(a.MarkConsistent())
	check(a.Unlock())
	a.goesOn(t)
}
