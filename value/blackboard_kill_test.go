//go:build linux

package value_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/sluice-ipc/sluice/internal/shmtest"
	"github.com/sluice-ipc/sluice/value"
)

// boardActs are what children do with a blackboard.
var boardActs = map[string]func(b *value.Blackboard[trio]) func(){
	"claim": func(b *value.Blackboard[trio]) func() {
		return func() { must(b.Claim()) }
	},
	"publish": func(b *value.Blackboard[trio]) func() {
		w := must(b.Claim())
		check(w.Publish(trioOf(1)))
		return func() { check(w.Publish(trioOf(2))) }
	},
	"leave": func(b *value.Blackboard[trio]) func() {
		w := must(b.Claim())
		check(w.Publish(trioOf(1)))
		return func() { check(w.Close()) }
	},
	"look": func(b *value.Blackboard[trio]) func() {
		return func() { b.Load() }
	},
}

func init() {
	roles["board-act"] = func(args []string) int {
		b := must(value.OpenBlackboard[trio](args[1], nil))
		shmtest.Trace(boardActs[args[0]](b))
		shmtest.Say("done")
		shmtest.Hear()
		return 0
	}
	roles["board-publish"] = func(args []string) int {
		boardSizes[args[0]].publish(args[1])
		return 0
	}
	roles["board-read"] = func(args []string) int {
		tries, most := boardSizes[args[0]].read(args[1], number(args[2]))
		shmtest.Say("%d %d", tries, most)
		return 0
	}
	kills["blackboard"] = killBoard
}

// A writer killed at any instruction leaves the value before or the one it was
// publishing, and its place to the next.
func killBoard(t *testing.T) {
	for act, may := range map[string]struct{ least, first, last uint64 }{
		"claim": {50, 0, 0}, "publish": {50, 1, 2}, "leave": {20, 1, 1}, "look": {20, 0, 0},
	} {
		t.Run(act, func(t *testing.T) {
			atLeast(t, int(may.least), shmtest.EveryPoint(t, act, func(t testing.TB, p *shmtest.Point) {
				b, name := newBoard(t)
				p.Kill(shmtest.Command(t, "board-act", act, name))
				k := boardState(t, b)
				if k != may.first && k != may.last || p.K < 0 && k != may.last {
					t.Fatalf("the value is number %d", k)
				}
				succeed(t, b, k)
			}))
		})
	}
}

// succeed makes b's handle the writer, after version k.
func succeed(t testing.TB, b *value.Blackboard[trio], k uint64) {
	t.Helper()
	w, err := b.Claim()
	if err != nil {
		t.Fatal(err)
	}
	for range 6 { // more than once around
		check(w.Publish(trioOf(k + 1)))
		k++
		if got := boardState(t, b); got != k {
			t.Fatalf("version %d, want %d", got, k)
		}
	}
	check(w.Close())
}

// A writer that is stopped anywhere is still the writer, and nobody waits for it.
func TestStoppedBlackboardWriter(t *testing.T) {
	atLeast(t, 50, shmtest.EveryPoint(t, "publish", func(t testing.TB, p *shmtest.Point) {
		if thinned(p, 2) {
			return
		}
		b, name := newBoard(t)
		c := shmtest.Command(t, "board-act", "publish", name)
		p.Stop(c)
		k := boardState(t, b)
		if k != 1 && k != 2 {
			t.Fatalf("the value is number %d", k)
		}
		for range 3 {
			if _, err := b.Claim(); !errors.Is(err, value.ErrBusy) {
				t.Fatalf("Claim beside a stopped writer = %v", err)
			}
			if _, _, tries := value.BoardCounted(b); tries != 1 || boardState(t, b) != k {
				t.Fatalf("beside a stopped writer Load took %d tries", tries)
			}
		}
		c.Cont()
		c.Expect("done")
		if boardState(t, b) != 2 {
			t.Fatal("not published")
		}
		c.Kill()
		succeed(t, b, 2)
	}))
}

// A boardSize is a set of roles for one payload type.
type boardSize struct {
	create  func(t testing.TB) string
	publish func(name string)
	read    func(name string, loads int) (tries, most int)
}

var boardSizes = map[string]boardSize{
	"64B": boardFor[[64]byte](), "4KiB": boardFor[[4 << 10]byte](), "64KiB": boardFor[[64 << 10]byte](),
}

func boardFor[T payload]() boardSize {
	return boardSize{
		create: func(t testing.TB) string {
			name := fresh(t)
			b := must(value.CreateBlackboard(name, fill[T](0), nil))
			t.Cleanup(func() { b.Close() })
			return name
		},
		publish: func(name string) {
			b := must(value.OpenBlackboard[T](name, nil))
			w := must(b.Claim())
			vs := make([]T, 7)
			for i := range vs {
				vs[i] = fill[T](uint64(i))
			}
			shmtest.Say("writing")
			go func() {
				for k := b.Version() + 1; ; k++ { // version k is value k modulo 7
					check(w.Publish(vs[k%7]))
				}
			}()
			shmtest.Hear()
		},
		read: func(name string, loads int) (tries, most int) {
			b := must(value.OpenBlackboard[T](name, nil))
			last := uint64(0)
			for range loads {
				v, k, n := value.BoardCounted(b)
				if !whole(v, k%7) || k < last {
					panic(fmt.Sprintf("version %d, after %d, is torn", k, last))
				}
				last, tries, most = k, tries+n, max(most, n)
			}
			return tries, most
		},
	}
}

// Readers beside a writer that never pauses see whole values, of the version that
// they are said to be, and none gives up. When the writer is killed, its last value
// stays, and a successor goes on with the next version.
func TestBlackboardIsNeverTorn(t *testing.T) {
	retries := 0
	for name, s := range boardSizes {
		t.Run(name, func(t *testing.T) {
			seg := s.create(t)
			loads := map[string]int{"64B": 200_000, "4KiB": 40_000, "64KiB": 6_000}[name]
			loads = fewer(loads)
			for range 3 {
				w := shmtest.Start(t, "board-publish", name, seg)
				w.Expect("writing")
				r := shmtest.Start(t, "board-read", name, seg, itoa(loads/3))
				tries, most := s.read(seg, loads/3)
				var n, m int
				must(fmt.Sscan(r.Line(), &n, &m))
				w.Kill()
				t.Logf("%d loads took %d tries, one of them %d", 2*(loads/3), tries+n, max(most, m))
				if max(most, m) >= value.LastTry {
					t.Error("a load gave up")
				}
				retries += tries + n - 2*(loads/3)
				s.read(seg, 1)
			}
		})
	}
	if retries == 0 && !t.Failed() {
		t.Log("no load was overtaken")
	}
}
