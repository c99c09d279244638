//go:build linux

package value_test

import (
	"errors"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-ipc/sluice/internal/mem"
	"github.com/sluice-ipc/sluice/internal/shmtest"
	"github.com/sluice-ipc/sluice/shm"
	"github.com/sluice-ipc/sluice/shm/lock"
	"github.com/sluice-ipc/sluice/value"
)

// A counter is something that processes count up together.
type counter struct {
	// create makes it, and returns how to read it.
	create func(t testing.TB, name string) (total func() int64)
	// open returns what counts one up, and whether it was told of a death
	// instead, and did nothing.
	open func(name string) (add func() (told bool))
}

// large is a value of 256 bytes which is whole if each word is what the first says.
type large struct {
	N    uint64
	Rest [31]uint64
}

func largeOf(n uint64) large {
	v := large{N: n}
	for i := range v.Rest {
		v.Rest[i] = n * uint64(i+2)
	}
	return v
}

var counters = map[string]counter{
	"value": {
		create: func(t testing.TB, name string) func() int64 {
			v := must(value.Create(name, int64(0), nil))
			t.Cleanup(func() { v.Close() })
			return v.Load
		},
		open: func(name string) func() bool {
			v := must(value.Open[int64](name, nil))
			return func() bool { v.Add(1); return false }
		},
	},
	"record": {
		create: func(t testing.TB, name string) func() int64 {
			r := must(value.CreateRecord(name, largeOf(0), nil))
			t.Cleanup(func() { r.Close() })
			return func() int64 {
				v, k := r.LoadVersion()
				if v != largeOf(v.N) || v.N != k {
					t.Fatalf("torn, or another version than %d: %v", k, v)
				}
				return int64(v.N)
			}
		},
		open: func(name string) func() bool {
			r := must(value.OpenRecord[large](name, nil))
			return func() bool {
				_, err := r.Update(bg, func(v large) large {
					if v != largeOf(v.N) {
						panic("torn")
					}
					return largeOf(v.N + 1)
				})
				if errors.Is(err, lock.ErrOwnerDied) {
					return true
				}
				check(err)
				return false
			}
		},
	},
}

// A page is one process's ledger: it says before each addition that it is about to
// make one, and after it that it has. It is alone on its line.
type page struct {
	intents, completions, told atomic.Int64
	_                          [128 - 3*8]byte
}

func init() {
	// A clerk counts a counter up, so many times, and keeps a page.
	roles["clerk"] = func(args []string) int {
		add := counters[args[0]].open(args[1])
		s := must(shm.Open(args[2], nil))
		p := mem.At[page](s.Data(), 128*number(args[3]))
		shmtest.Say("ready")
		for range number(args[4]) {
			p.intents.Add(1)
			for add() {
				p.told.Add(1)
			}
			p.completions.Add(1)
		}
		shmtest.Say("done")
		shmtest.Hear()
		return 0
	}
}

// A ledger is the pages of all clerks that ever were.
type ledger struct {
	s    *shm.Segment
	name string
	used int
}

const maxPages = 4096

func newLedger(t testing.TB) *ledger {
	t.Helper()
	name := fresh(t)
	s := must(shm.Create(name, &shm.Options{Size: maxPages * 128}))
	t.Cleanup(func() { s.Close() })
	return &ledger{s: s, name: name}
}

func (l *ledger) page(i int) *page { return mem.At[page](l.s.Data(), 128*i) }

func (l *ledger) sum() (intents, completions, told int64) {
	for i := range l.used {
		p := l.page(i)
		// Completions first: they are never more than the intents read later.
		completions += p.completions.Load()
		told += p.told.Load()
		intents += p.intents.Load()
	}
	return intents, completions, told
}

const clerks = 8

// Eight processes count something up: the total is exact.
func TestTotalsAreExact(t *testing.T) {
	for what, times := range map[string]int{"value": 1_000_000, "record": 20_000} {
		t.Run(what, func(t *testing.T) {
			times := fewer(times)
			name, l := fresh(t), newLedger(t)
			total := counters[what].create(t, name)
			var cs []*shmtest.Child
			for i := range clerks {
				cs = append(cs, shmtest.Start(t, "clerk", what, name, l.name, itoa(i), itoa(times)))
			}
			l.used = clerks
			for last := int64(0); total() < int64(clerks*times); {
				if n := total(); n < last {
					t.Fatalf("the total went from %d to %d", last, n)
				} else {
					last = n
				}
				if _, done, _ := l.sum(); done == int64(clerks*times) {
					break
				}
			}
			for _, c := range cs {
				c.Expect("ready")
				c.Expect("done")
			}
			if n := total(); n != int64(clerks*times) {
				t.Errorf("the total is %d, want %d", n, clerks*times)
			}
		})
	}
}

// The same with one of the processes killed at random every 50 ms, and replaced:
// the total lies between what was completed and what was begun, and those differ
// by one at most for each kill.
func TestTotalsWithKills(t *testing.T) {
	for what, times := range map[string]int{"value": 10_000_000, "record": 1_000_000} {
		t.Run(what, func(t *testing.T) {
			times := fewer(times)
			name, l := fresh(t), newLedger(t)
			total := counters[what].create(t, name)
			b := &bureau{t: t, what: what, name: name, l: l, times: times}
			for i := range clerks {
				b.hire(i)
			}
			tick := time.NewTicker(50 * time.Millisecond)
			defer tick.Stop()
			for kills := 0; !b.done() || kills < 3; kills++ {
				<-tick.C
				b.fire(rand.IntN(clerks))
				intents, completions, _ := l.sum()
				if n := total(); n < completions-int64(clerks*times) || intents < completions {
					t.Fatalf("total %d, %d completions, %d intents", n, completions, intents)
				}
			}
			b.check(total())
		})
	}
}

// A bureau has eight clerks, some of whom die.
type bureau struct {
	t          *testing.T
	what, name string
	l          *ledger
	times      int // for each of the eight, with all its predecessors
	clerks     [clerks]*shmtest.Child
	pages      [clerks][]int
	kills      int
}

// hire starts the i-th clerk for what its predecessors have not done.
func (b *bureau) hire(i int) {
	p := b.l.used
	if p == maxPages {
		b.t.Fatal("no more pages")
	}
	b.l.used++
	left := max(0, b.times-b.completions(i))
	b.clerks[i] = shmtest.Start(b.t, "clerk", b.what, b.name, b.l.name, itoa(p), itoa(left))
	b.clerks[i].Expect("ready")
	b.pages[i] = append(b.pages[i], p)
}

// fire kills the i-th clerk, whatever it is at, and hires another.
func (b *bureau) fire(i int) {
	b.clerks[i].Kill()
	b.kills++
	b.hire(i)
}

func (b *bureau) completions(i int) (n int) {
	for _, p := range b.pages[i] {
		n += int(b.l.page(p).completions.Load())
	}
	return n
}

func (b *bureau) done() bool {
	for i := range clerks {
		if b.completions(i) < b.times {
			return false
		}
	}
	return true
}

func (b *bureau) check(total int64) {
	for _, c := range b.clerks {
		c.Expect("done")
	}
	intents, completions, told := b.l.sum()
	b.t.Logf("%d completions <= total %d <= %d intents; %d kills, %d told",
		completions, total, intents, b.kills, told)
	if total < completions || total > intents || intents-completions > int64(b.kills) {
		b.t.Errorf("total %d, %d completions, %d intents, %d kills", total, completions, intents, b.kills)
	}
	if completions < int64(clerks*b.times) {
		b.t.Errorf("%d completions, want %d", completions, clerks*b.times)
	}
	if told > int64(b.kills) {
		b.t.Errorf("%d were told of %d deaths", told, b.kills)
	}
	// One kill in ten to twenty is told of: none of so many, once in two thousand times.
	if b.what == "record" && b.kills > 150 && told == 0 {
		b.t.Error("nobody died in the middle: the test shows nothing")
	}
}
