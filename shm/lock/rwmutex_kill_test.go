//go:build linux

package lock_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-ipc/sluice/internal/shmtest"
	"github.com/sluice-ipc/sluice/shm"
	"github.com/sluice-ipc/sluice/shm/lock"
)

func init() {
	roles["rw-act"] = rwAct
	killings = append(killings,
		killing{"rw, write", 150, killedWriter("write", 1)},
		killing{"rw, try to write", 150, killedWriter("try to write", 3)},
		killing{"rw, inherit", 150, killedHeir("inherit", 1)},
		killing{"rw, read", 50, killedReader("read", 1)},
		killing{"rw, try to read", 50, killedReader("try to read", 3)},
		killing{"rw, find a dead writer", 40, killedHeir("find a dead writer", 1)},
		killing{"rw, forget a dead writer", 50, killedReader("forget a dead writer", 1)},
		killing{"rw, wait for readers in vain", 200, killedInVain("write in vain", 19)},
		killing{"rw, try beside a reader", 60, killedInVain("try to write beside a reader", 3)},
		killing{"rw, wait for a writer in vain", 200, killedInVain("read in vain", 19)},
		killing{"rw, wait for readers", 200, killedInWait("write", 17)},
		killing{"rw, wait for a writer", 200, killedInWait("read", 17)},
		killing{"rw, unlock beside waiters", 40, killedAtUnlock},
		killing{"rw, last reader beside a writer", 30, killedAtRUnlock},
		killing{"rw, stopped writer", 150, stoppedActor("write", 12)},
		killing{"rw, stopped reader", 50, stoppedActor("read", 6)},
	)
}

// A ledgerRW is a lock for readers and writers in front of two words, which are
// equal unless a writer is at them.
type ledgerRW struct {
	*lock.RWMutex
	words []byte
}

func openLedger(s *shm.Segment) ledgerRW {
	size := must(lock.Size[lock.RWMutex](s.Slots(), nil))
	m := must(lock.At[lock.RWMutex](s, 0, nil))
	m.NoSpin()
	return ledgerRW{m, s.Data()[size:]}
}

// bump adds one to each word.
func (l ledgerRW) bump() {
	for i := 0; i < 16; i += 8 {
		binary.LittleEndian.PutUint64(l.words[i:], binary.LittleEndian.Uint64(l.words[i:])+1)
	}
}

// read returns the words.
func (l ledgerRW) read() (a, b uint64) {
	return binary.LittleEndian.Uint64(l.words), binary.LittleEndian.Uint64(l.words[8:])
}

// whole checks that the words are equal, and returns them.
func (l ledgerRW) whole(t testing.TB) uint64 {
	t.Helper()
	a, b := l.read()
	if a != b {
		t.Fatalf("the words are %d and %d", a, b)
	}
	return a
}

// gone is a participant that never was.
const gone = 7<<32 | 9

// rwActs are what a child does at an instruction of which it is killed. Each
// prepares it and returns it.
var rwActs = map[string]func(l ledgerRW) func(){
	"write": func(l ledgerRW) func() {
		return func() { check(l.Lock(bg)); l.bump(); check(l.Unlock()) }
	},
	"try to write": func(l ledgerRW) func() {
		return func() {
			if !must(l.TryLock()) {
				panic("it is held")
			}
			l.bump()
			check(l.Unlock())
		}
	},
	"try to write beside a reader": func(l ledgerRW) func() {
		return func() {
			if must(l.TryLock()) {
				panic("it is free")
			}
		}
	},
	"inherit": func(l ledgerRW) func() {
		l.Word().Store(gone)
		return func() {
			same(l.RawLock(bg), lock.ErrOwnerDied)
			l.bump()
			check(l.MarkConsistent())
			check(l.Unlock())
		}
	},
	"read": func(l ledgerRW) func() {
		return func() { check(l.RLock(bg)); l.read(); check(l.RUnlock()) }
	},
	"try to read": func(l ledgerRW) func() {
		return func() {
			if !must(l.TryRLock()) {
				panic("it is held")
			}
			l.read()
			check(l.RUnlock())
		}
	},
	"find a dead writer": func(l ledgerRW) func() {
		l.Word().Store(gone)
		return func() { same(l.RawRLock(bg), lock.ErrInconsistent) }
	},
	"forget a dead writer": func(l ledgerRW) func() {
		l.Word().Store(gone | lock.Entering)
		return func() { check(l.RLock(bg)); l.read(); check(l.RUnlock()) }
	},
	"write in vain": func(l ledgerRW) func() {
		return l.warm(func() { same(l.RawLock(soon{bg}), context.DeadlineExceeded) })
	},
	"read in vain": func(l ledgerRW) func() {
		return l.warm(func() { same(l.RawRLock(soon{bg}), context.DeadlineExceeded) })
	},
	"wait and write": func(l ledgerRW) func() {
		l.warm(func() { same(l.RawLock(soon{bg}), context.DeadlineExceeded) })
		return func() { check(l.Lock(bg)); l.bump(); check(l.Unlock()) }
	},
	"wait and read": func(l ledgerRW) func() {
		l.warm(func() { same(l.RawRLock(soon{bg}), context.DeadlineExceeded) })
		return func() { check(l.RLock(bg)); l.read(); check(l.RUnlock()) }
	},
	"unlock": func(l ledgerRW) func() {
		check(l.Lock(bg))
		l.bump()
		l.words[16] = 1
		writers, readers := l.Events()
		until(nil, func() bool { return writers.Load()&readers.Load()&1 != 0 })
		return func() { check(l.Unlock()) }
	},
	"runlock": func(l ledgerRW) func() {
		check(l.RLock(bg))
		l.words[16] = 1
		until(nil, func() bool { return l.Drain().Load()&1 != 0 })
		return func() { check(l.RUnlock()) }
	},
}

// warm does an act once, so that what is made once for all is made now, and
// returns it. It says so in the byte behind the words.
func (l ledgerRW) warm(act func()) func() {
	act()
	writers, readers := l.Events()
	for _, w := range []interface{ And(uint32) uint32 }{writers, readers, l.Drain()} {
		w.And(^uint32(1))
	}
	l.Asked().Store(0)
	l.words[16] = 1
	return act
}

// same is check for calls that return that error as it is, in few steps.
func same(err, want error) {
	if err != want {
		panic(fmt.Sprint(err, ", want ", want))
	}
}

func rwAct(args []string) int {
	s := must(shm.Open(args[1], nil))
	act := rwActs[args[0]](openLedger(s))
	around(act)
	shmtest.Say("%v", told())
	shmtest.Hear()
	return 0
}

// newLedger makes a lock with words, and as many handles as asked for, each a
// participant of its own.
func newLedger(t testing.TB, handles int) (all []ledgerRW, file string) {
	t.Helper()
	file = fresh(t)
	size := must(lock.Size[lock.RWMutex](8, nil)) + 128
	for range handles {
		s := must(shm.OpenOrCreate(file, &shm.Options{Size: size, MaxParticipants: 8}))
		t.Cleanup(func() { s.Close() })
		all = append(all, openLedger(s))
	}
	return all, file
}

// goesOn checks that a lock is as good as new.
func (l ledgerRW) goesOn(t testing.TB, others ...ledgerRW) {
	t.Helper()
	for range 2 {
		for _, h := range append(others, l) {
			wantErr(t, "Lock", h.Lock(within(t)), nil)
			check(h.Unlock())
			wantErr(t, "RLock", h.RLock(within(t)), nil)
			h.whole(t)
			check(h.RUnlock())
		}
	}
	if v, ids := l.Word().Load(), l.Readers(); v != 0 || ids != nil {
		t.Fatalf("the word is %#x, read by %v", v, ids)
	}
}

// mend takes a lock whose owner may have died, with an error if it was inside, and
// puts the words right. It returns what it was told. Nobody else is there.
func (l ledgerRW) mend(t testing.TB) string {
	t.Helper()
	v := l.Word().Load()
	inside := v&(1<<41-1) != 0 && v&lock.Entering == 0 || v&lock.Inconsistent != 0
	told := l.write(within(t), func() {})
	if inside != errors.Is(told, lock.ErrOwnerDied) || !inside && told != nil {
		t.Fatalf("the word is %#x, and Lock says %v", v, told)
	}
	return name(told)
}

// write takes the lock, puts the words right if the last owner died, and returns
// what it was told of that.
func (l ledgerRW) write(ctx context.Context, f func()) error {
	return l.told(l.Lock(ctx), f)
}

// told is what write does with the lock.
func (l ledgerRW) told(told error, f func()) error {
	if errors.Is(told, lock.ErrOwnerDied) {
		a, b := l.read()
		binary.LittleEndian.PutUint64(l.words[8:], max(a, b))
		binary.LittleEndian.PutUint64(l.words, max(a, b))
		check(l.MarkConsistent())
	} else if told != nil {
		return told
	}
	if a, b := l.read(); a != b {
		panic(fmt.Sprintf("the words are %d and %d", a, b))
	}
	f()
	check(l.Unlock())
	return told
}

// killedWriter is for one that dies of writing: the next writer is told if it was
// inside, and readers see nothing half done.
func killedWriter(act string, every int) func(testing.TB, *shmtest.Point) {
	return func(t testing.TB, p *shmtest.Point) {
		if thinned(p, every) {
			return
		}
		h, file := newLedger(t, 2)
		p.Kill(shmtest.Command(t, "rw-act", act, file))
		a, b := h[0], h[1]
		if ok, err := a.TryRLock(); err == nil {
			if !ok {
				t.Fatal("a dead writer keeps readers out")
			}
			a.whole(t)
			check(a.RUnlock())
		} else {
			wantErr(t, "TryRLock", err, lock.ErrInconsistent)
		}
		told := b.mend(t)
		if n := a.whole(t); p.K < 0 && (told != "ok" || n != 1) || p.K == 0 && (told != "ok" || n != 0) {
			t.Fatalf("the next one is told %s, of %d", told, n)
		}
		a.goesOn(t, b)
	}
}

// killedHeir is for one that finds a dead writer and dies of it: whoever comes is
// told, once.
func killedHeir(act string, every int) func(testing.TB, *shmtest.Point) {
	return func(t testing.TB, p *shmtest.Point) {
		if thinned(p, every) {
			return
		}
		h, file := newLedger(t, 2)
		p.Kill(shmtest.Command(t, "rw-act", act, file))
		marked := act == "inherit" && h[0].equal() == 1
		told := h[0].mend(t)
		if p.K == 0 && told != "died" || told == "ok" && !marked || p.K < 0 && (told == "ok") != marked {
			t.Fatalf("the next one is told %s", told)
		}
		h[0].goesOn(t, h[1])
	}
}

// equal returns the words, or -1 if they differ.
func (l ledgerRW) equal() int {
	if a, b := l.read(); a == b {
		return int(a)
	}
	return -1
}

// killedReader is for one that dies of reading: nobody notices.
func killedReader(act string, every int) func(testing.TB, *shmtest.Point) {
	return func(t testing.TB, p *shmtest.Point) {
		if thinned(p, every) {
			return
		}
		h, file := newLedger(t, 2)
		a, b := h[0], h[1]
		p.Kill(shmtest.Command(t, "rw-act", act, file))
		if p.K%2 == 0 {
			tryLock(t, a.RWMutex, true, nil)
			check(a.Unlock())
		}
		a.goesOn(t, b)
	}
}

// killedInVain is for one that dies of waiting, or of giving that up.
func killedInVain(act string, every int) func(testing.TB, *shmtest.Point) {
	return func(t testing.TB, p *shmtest.Point) {
		if thinned(p, every) {
			return
		}
		h, file := newLedger(t, 2)
		a, b := h[0], h[1]
		take, release := a.RLock, a.RUnlock
		if act == "read in vain" {
			take, release = a.Lock, a.Unlock
		}
		check(take(bg))
		p.Kill(shmtest.Command(t, "rw-act", act, file))
		if act != "read in vain" {
			wantErr(t, "RLock behind a dead writer", b.RLock(within(t)), nil)
			check(b.RUnlock())
		}
		tryLock(t, b.RWMutex, false, nil)
		out := make(chan error, 1)
		go func() { out <- b.Lock(within(t)) }()
		check(release())
		wantErr(t, "Lock", got(t, out), nil)
		check(b.Unlock())
		a.goesOn(t, b)
	}
}

// killedInWait is for one that dies when what it waits for comes.
func killedInWait(what string, every int) func(testing.TB, *shmtest.Point) {
	return func(t testing.TB, p *shmtest.Point) {
		if thinned(p, every) {
			return
		}
		h, file := newLedger(t, 2)
		a, b := h[0], h[1]
		take, release, ev := a.RLock, a.RUnlock, a.Drain()
		if what == "read" {
			take, release = a.Lock, a.Unlock
			_, ev = a.Events()
		}
		check(take(bg))
		stop, over := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(over)
			until(stop, func() bool { return a.words[16] == 1 && ev.Load()&1 != 0 && sleeper(a.Segment()) })
			check(release())
		}()
		p.Kill(shmtest.Command(t, "rw-act", "wait and "+what, file))
		close(stop)
		<-over
		told := b.mend(t)
		if what == "read" && told != "ok" || p.K <= 0 && told != "ok" {
			t.Fatalf("the next one is told %s", told)
		}
		a.goesOn(t, b)
	}
}

// sleeper reports whether the main thread of some other process that is in the
// segment is asleep in a call.
func sleeper(s *shm.Segment) bool {
	for _, p := range s.Participants() {
		if p.PID != os.Getpid() {
			stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/stat", p.PID, p.PID))
			return strings.Contains(string(stat), ") S ")
		}
	}
	return false
}

// killedAtUnlock is for a writer that dies of giving the lock up, for which
// another writer and a reader wait. Both go on.
func killedAtUnlock(t testing.TB, p *shmtest.Point) {
	h, file := newLedger(t, 3)
	a, b, c := h[0], h[1], h[2]
	writer, reader := make(chan error, 1), make(chan error, 1)
	go func() {
		until(nil, func() bool { return a.words[16] == 1 })
		go func() { writer <- a.Lock(within(t)) }()
		reader <- b.RLock(within(t))
	}()
	p.Kill(shmtest.Command(t, "rw-act", "unlock", file))
	read := func(err error) {
		if err == nil {
			b.whole(t)
			check(b.RUnlock())
		} else {
			wantErr(t, "RLock", err, lock.ErrInconsistent)
		}
	}
	select {
	case err := <-reader:
		read(err)
		reader = nil
	case err := <-writer:
		writer <- err
	}
	told := got(t, writer)
	if told != nil {
		wantErr(t, "Lock", told, lock.ErrOwnerDied)
		check(a.MarkConsistent())
	}
	if n := a.whole(t); n != 1 || p.K < 0 && told != nil || p.K == 0 && told == nil {
		t.Fatalf("the next one is told %v, of %d", told, n)
	}
	check(a.Unlock())
	if reader != nil {
		read(got(t, reader))
	}
	a.goesOn(t, b, c)
}

// killedAtRUnlock is for a reader that dies of giving up the lock for which a
// writer waits.
func killedAtRUnlock(t testing.TB, p *shmtest.Point) {
	h, file := newLedger(t, 2)
	a, b := h[0], h[1]
	out := make(chan error, 1)
	go func() {
		until(nil, func() bool { return a.words[16] == 1 })
		out <- a.Lock(within(t))
	}()
	p.Kill(shmtest.Command(t, "rw-act", "runlock", file))
	wantErr(t, "Lock", got(t, out), nil)
	check(a.Unlock())
	a.goesOn(t, b)
}

// stoppedActor is for one that is stopped: it is not taken for dead, keeps what
// it has, and goes on.
func stoppedActor(act string, every int) func(testing.TB, *shmtest.Point) {
	return func(t testing.TB, p *shmtest.Point) {
		if thinned(p, every) {
			return
		}
		h, file := newLedger(t, 2)
		a, b := h[0], h[1]
		c := shmtest.Command(t, "rw-act", act, file)
		p.Stop(c)
		holder, readers := a.Holder(), a.Readers()
		for _, m := range h {
			m.Segment().CheckPeers()
			ok, err := m.TryLock()
			wantErr(t, "TryLock", err, nil)
			if ok {
				m.whole(t)
				check(m.Unlock())
			}
			if ok != (holder == 0 && readers == nil) {
				t.Fatalf("TryLock = %v of what is held by %v, read by %v", ok, holder, readers)
			}
			if ok, err = m.TryRLock(); err != nil || ok != (holder == 0) {
				t.Fatalf("TryRLock = %v, %v of what is held by %v", ok, err, holder)
			}
			if ok {
				check(m.RUnlock())
			}
		}
		if a.Holder() != holder || !slices.Equal(a.Readers(), readers) {
			t.Fatalf("held by %v, read by %v, after %v, %v", a.Holder(), a.Readers(), holder, readers)
		}
		c.Cont()
		c.Expect("done")
		wantErr(t, "Lock", b.Lock(within(t)), nil)
		b.bump()
		check(b.Unlock())
		a.goesOn(t, b)
		c.Exit()
	}
}
