//go:build linux && (amd64 || arm64)

package shmtest_test

import (
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"testing"

	"github.com/sluice-ipc/sluice/internal/mem"
	"github.com/sluice-ipc/sluice/internal/shmtest"
)

const toySize = 4096

func init() {
	roles["toy"], roles["panics"], roles["exits"] = toy, panics, exits
	roles["blocks"], roles["spins"], roles["hands over"] = blocks, spins, handsOver
}

// The toy operation is three stores with system calls between them.
func toy(args []string) int {
	words := mapToy(args[0])
	shmtest.Trace(func() {
		mem.Uint64(words, 0).Store(1)
		syscall.Getppid()
		mem.Uint64(words, 8).Store(2)
		mem.Uint64(words, 16).Store(3)
		syscall.Write(int(os.Stdout.Fd()), []byte("written\n"))
	})
	shmtest.Say("done")
	return 0
}

// panics is an operation that recovers from a fault of its own.
func panics(args []string) int {
	words := mapToy(args[0])
	shmtest.Trace(func() {
		defer func() { recover() }()
		var p *uint64
		*p = 1
	})
	mem.Uint64(words, 0).Store(1)
	return 0
}

// exits ends in the midst of its operation.
func exits([]string) int {
	shmtest.Trace(func() { os.Exit(5) })
	return 0
}

var arrived int

// spins never ends.
func spins([]string) int {
	shmtest.Trace(func() {
		for n := 0; ; n++ {
			arrived = n
		}
	})
	return 0
}

// handsOver has an operation that waits for another thread.
func handsOver([]string) int {
	ask, answer := make(chan int), make(chan int)
	go func() {
		runtime.LockOSThread()
		answer <- 1 + <-ask
	}()
	shmtest.Trace(func() {
		ask <- 41
		shmtest.Say("%d", <-answer)
	})
	return 0
}

// blocks waits for ever in its operation.
func blocks([]string) int {
	shmtest.Trace(func() { shmtest.Hear() })
	return 0
}

func mapToy(name string) []byte {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		panic(err)
	}
	b, err := syscall.Mmap(int(f.Fd()), 0, toySize,
		syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	if err != nil {
		panic(err)
	}
	return b
}

// newToy makes the toy's memory and returns its file's name too.
func newToy(t testing.TB, dir string) ([]byte, string) {
	t.Helper()
	f, err := os.CreateTemp(dir, "")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(toySize); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, filepath.Base(f.Name()))
	t.Cleanup(func() { os.Remove(name) })
	return shmtest.MapFile(t, f, toySize), name
}

// stores returns how many of the toy's stores are seen, and fails the test if
// they are not the first ones.
func stores(t testing.TB, words []byte) int {
	t.Helper()
	n := 0
	for i := range 3 {
		switch v := mem.Uint64(words, 8*i).Load(); {
		case v == uint64(i)+1 && n == i:
			n++
		case v != 0:
			t.Errorf("word %d is %d after %d stores", i, v, n)
		}
	}
	return n
}

// tally counts the runs of each outcome, from several goroutines.
type tally struct {
	mu sync.Mutex
	n  map[int]int
	at map[int]int // the outcome at each point
}

func (c *tally) add(p *shmtest.Point, outcome int) {
	if p.K >= 0 && !p.Met() {
		return // that was the whole operation, not the way to the point
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n == nil {
		c.n, c.at = map[int]int{}, map[int]int{}
	}
	c.n[outcome]++
	if p.K >= 0 {
		c.at[p.K] = outcome
	}
}

func TestKillAtEveryPointShowsEveryPrefix(t *testing.T) {
	shmtest.NoLeaks(t)
	dir := t.TempDir()
	var seen tally
	n := shmtest.EveryPoint(t, "toy", func(t testing.TB, p *shmtest.Point) {
		words, name := newToy(t, dir)
		c := shmtest.Command(t, "toy", name)
		p.Kill(c)
		done := stores(t, words)
		line, written := c.Next()
		if written {
			done++
		}
		if p.K < 0 && done != 4 {
			t.Errorf("%d steps done by the whole operation, want 4", done)
		}
		if line == "done" || done < 3 && written {
			t.Errorf("after %d stores the child said %q", done, line)
		}
		seen.add(p, done)
	})
	if n < 20 || n > 2000 {
		t.Errorf("%d points in three stores and two system calls", n)
	}
	last := 0
	for k := range n {
		done, met := seen.at[k]
		if done < last && met {
			t.Errorf("%d effects before point %d, and %d at it", last, k, done)
		}
		last = max(last, done)
	}
	for done := range 5 {
		if seen.n[done] == 0 {
			t.Errorf("no child died after %d of 4 effects: %v", done, seen.n)
		}
	}
}

func TestStopAtEveryPointThenContinue(t *testing.T) {
	shmtest.NoLeaks(t)
	dir := t.TempDir()
	var seen tally
	shmtest.EveryPoint(t, "toy", func(t testing.TB, p *shmtest.Point) {
		if p.K%7 > 0 {
			return // not using the point leaves it out
		}
		words, name := newToy(t, dir)
		c := shmtest.Command(t, "toy", name)
		p.Stop(c)
		seen.add(p, stores(t, words))
		c.Cont()
		c.Expect("written")
		c.Expect("done")
		c.Exit()
		if n := stores(t, words); n != 3 {
			t.Errorf("the child went on and did %d of 3 stores", n)
		}
	})
	if seen.n[0] == 0 || seen.n[3] == 0 {
		t.Errorf("stores when stopped: %v, want 0 and 3 among them", seen.n)
	}
}

func TestFaultsOfTheOperationReachIt(t *testing.T) {
	words, name := newToy(t, t.TempDir())
	ends := 0
	shmtest.EveryPoint(t, "panics", func(t testing.TB, p *shmtest.Point) {
		if p.K < 0 {
			c := shmtest.Command(t, "panics", name)
			p.Stop(c) // after the operation
			c.Cont()
			c.Exit()
			ends++
		}
	})
	if got := mem.Uint64(words, 0).Load(); got != 1 || ends < 1 {
		t.Errorf("the word behind the operation is %d after %d runs", got, ends)
	}
}

// The other threads stand while the operation is stepped, but not if it needs
// one of them.
func TestOperationMayWaitForItsThreads(t *testing.T) {
	shmtest.RequireStepping(t)
	shmtest.NoLeaks(t)
	for _, stop := range []bool{false, true} {
		p := &shmtest.Point{K: -1}
		c := shmtest.Command(t, "hands over")
		if stop {
			p.Stop(c)
			c.Expect("42")
			c.Cont()
			c.Exit()
		} else {
			p.Kill(c)
			c.Expect("42")
		}
	}
}

func TestSteppingFailures(t *testing.T) {
	shmtest.RequireStepping(t)
	shmtest.NoLeaks(t)
	end := &shmtest.Point{K: -1}
	t.Run("the operation ends the process", func(t *testing.T) {
		fails(t, func(t testing.TB) {
			end.Kill(shmtest.Command(t, "exits"))
		}, "exit code 5")
	})
	t.Run("no operation", func(t *testing.T) {
		fails(t, func(t testing.TB) {
			p := &shmtest.Point{K: -1}
			p.Kill(shmtest.Command(t, "fail"))
		}, "exit code 7")
	})
	t.Run("a point used twice", func(t *testing.T) {
		fails(t, func(t testing.TB) {
			end.Kill(shmtest.Command(t, "exits"))
		}, "once")
	})
	t.Run("an operation without end", func(t *testing.T) {
		// Each takes the watchdog's time, which must do for the start of the
		// child too: so both at once.
		t.Setenv("SLUICE_TEST_SCALE", "0.1")
		var both sync.WaitGroup
		for role, want := range map[string]string{"blocks": "sleeps for ever", "spins": "no end after"} {
			both.Go(func() {
				t.Run(role, func(t *testing.T) {
					fails(t, func(t testing.TB) {
						p := &shmtest.Point{K: -1}
						p.Kill(shmtest.Command(t, role))
					}, want)
				})
			})
		}
		both.Wait()
	})
}

func TestPointsOfARecording(t *testing.T) {
	shmtest.NoLeaks(t)
	dir := t.TempDir()
	killed := func(t testing.TB, p *shmtest.Point) int {
		words, name := newToy(t, dir)
		p.Kill(shmtest.Command(t, "toy", name))
		return stores(t, words)
	}
	r := shmtest.Record(t, "toy", func(t testing.TB, p *shmtest.Point) { killed(t, p) })
	if n := killed(t, r.Point(0)); n != 0 {
		t.Errorf("%d stores before the first instruction", n)
	}
	if n := killed(t, r.Point(r.Len()-1)); n != 3 {
		t.Errorf("%d of 3 stores before the last instruction", n)
	}
}
