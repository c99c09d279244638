//go:build linux

package lock_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-ipc/sluice/internal/shmtest"
	"github.com/sluice-ipc/sluice/shm/lock"
)

func init() {
	roles["mutex-act"] = mutexAct
	killings = append(killings, []killing{
		{"lock", 40, killedAct("lock", "", "died")},
		{"lock and unlock", 60, killedAct("lock and unlock", "", "ok")},
		{"try and unlock", 80, killedAct("try and unlock", "", "ok")},
		{"token", 80, killedAct("token", "", "ok")},
		{"with", 80, killedAct("with", "", "ok")},
		{"inherit and mend", 100, killedAct("inherit and mend", "died", "ok")},
		{"find dead and inherit", 200, killedAct("find dead and inherit", "died", "died")},
		{"find dead and try", 200, killedAct("find dead and try", "died", "died")},
		{"inherit and abandon", 100, killedAct("inherit and abandon", "died", "died")},
		{"inherit and give up", 100, killedAct("inherit and give up", "died", "unrecoverable")},
		{"revive", 80, killedRevival},
		{"wait in vain", 300, killedVainWait},
		{"wait", 300, killedWait},
		{"unlock beside waiters", 30, killedBeside("unlock beside waiters", "died, ok", "ok, ok")},
		{"give up beside waiters", 30, killedBeside("give up beside waiters", "died, ok", "unrecoverable, unrecoverable")},
	}...)
}

// mutexActs are what a child does at an instruction of which it is killed. Each
// prepares it and returns it.
var mutexActs = map[string]func(file string) func(){
	"lock": func(file string) func() {
		m := opened(file)
		return func() { check(m.Lock(bg)) }
	},
	"lock and unlock": func(file string) func() {
		m := opened(file)
		return func() { check(m.Lock(bg)); check(m.Unlock()) }
	},
	"try and unlock": func(file string) func() {
		m := opened(file)
		return func() { must(m.TryLock()); check(m.Unlock()) }
	},
	"token": func(file string) func() {
		o := opened(file).Owner()
		return func() { check(o.Lock(bg)); check(o.Lock(bg)); check(o.Unlock()); check(o.Unlock()) }
	},
	"with": func(file string) func() {
		m, f := opened(file), func() error { return nil }
		return func() { check(m.With(bg, f)) }
	},
	"inherit and mend": func(file string) func() {
		m := bereft(file, true)
		return func() { is(m.RawLock(bg), lock.ErrOwnerDied); check(m.MarkConsistent()); check(m.Unlock()) }
	},
	"find dead and try": func(file string) func() {
		m := bereft(file, false)
		return func() { is(m.RawTry(), lock.ErrOwnerDied) }
	},
	"find dead and inherit": func(file string) func() {
		m := bereft(file, false)
		return func() { is(m.RawLock(bg), lock.ErrOwnerDied) }
	},
	"inherit and abandon": func(file string) func() {
		m := bereft(file, true)
		return func() { is(m.RawLock(bg), lock.ErrOwnerDied); check(m.Abandon()) }
	},
	"inherit and give up": func(file string) func() {
		m := bereft(file, true)
		return func() { is(m.RawLock(bg), lock.ErrOwnerDied); check(m.Unlock()) }
	},
	"revive": func(file string) func() {
		m := opened(file)
		m.Word().Store(lock.Lost)
		return func() { m.Revive(); is(m.RawLock(bg), lock.ErrOwnerDied); check(m.MarkConsistent()); check(m.Unlock()) }
	},
	"wait in vain": func(file string) func() {
		m := waits(file)
		return func() { is(m.RawLock(soon{bg}), context.DeadlineExceeded) }
	},
	"wait": func(file string) func() {
		m := waits(file)
		return func() { check(m.Lock(bg)); check(m.Unlock()) }
	},
	"unlock beside waiters": func(file string) func() {
		m := opened(file)
		check(m.Lock(bg))
		attended(m)
		return func() { check(m.Unlock()) }
	},
	"give up beside waiters": func(file string) func() {
		m := bereft(file, true)
		is(m.Lock(bg), lock.ErrOwnerDied)
		attended(m)
		return func() { check(m.Unlock()) }
	},
}

// mutexAct is a child that does one of those.
func mutexAct(args []string) int {
	act := mutexActs[args[0]](args[1])
	around(act)
	shmtest.Say("%v", told())
	shmtest.Hear()
	return 0
}

// around does an act. Tests that go by named steps look at what it comes by.
var around = shmtest.Trace

// told is what a child says when its act is over.
var told = func() any { return "done" }

// opened opens a mutex, for an act that takes the same way each time.
func opened(file string) *lock.Mutex {
	m := must(lock.Open[lock.Mutex](file, nil))
	m.NoSpin()
	return m
}

// is is check for calls that return that error.
func is(err, want error) {
	if !errors.Is(err, want) {
		panic(fmt.Sprint(err, ", want ", want))
	}
}

// soon is a context that ends a little after somebody has begun to sleep, however
// long it took to come there, and that nobody can cancel: the kernel keeps the
// time.
type soon struct{ context.Context }

func (soon) Deadline() (time.Time, bool) { return time.Now().Add(2 * time.Millisecond), true }

// waits prepares a mutex that somebody else holds, for an act that takes the same
// way each time: what is made once for all is made now, and somebody has asked for
// the lock already.
func waits(file string) *lock.Mutex {
	m := opened(file)
	m.Word().Or(lock.Starving)
	is(m.Lock(soon{bg}), context.DeadlineExceeded)
	m.EventWord().And(^uint32(1))
	m.Segment().Data()[ready] = 1
	return m
}

// ready is a byte of a mutex that it does not use.
const ready = 64

// until waits for cond, unless stop comes before.
func until(stop <-chan struct{}, cond func() bool) bool {
	tick := time.NewTicker(100 * time.Microsecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-stop:
			return false
		case <-tick.C:
		}
	}
	return true
}

// attended returns when somebody is asleep, waiting for the mutex.
func attended(m *lock.Mutex) {
	until(nil, func() bool { return m.EventWord().Load()&1 != 0 })
}

// bereft returns a mutex whose owner has died, which nobody has noticed. To be
// quick, it is an attachment of this process, which loses the kernel's lock as
// with a process that dies.
func bereft(file string, known bool) *lock.Mutex {
	opened(file).Close() // what the runtime opens, it opens now
	before := shmtest.FDs()
	owner := must(lock.Open[lock.Mutex](file, nil))
	null := must(syscall.Open(os.DevNull, syscall.O_RDWR|syscall.O_CLOEXEC, 0))
	lost := 0
	for _, fd := range shmtest.FDs() {
		n, to, _ := strings.Cut(fd, " ")
		if !slices.Contains(before, fd) && to != os.DevNull {
			lost++
			check(syscall.Dup3(null, must(strconv.Atoi(n)), syscall.O_CLOEXEC))
		}
	}
	if lost != 1 {
		panic(fmt.Sprintf("%d descriptors for an attachment", lost))
	}
	check(owner.Lock(bg))
	m := opened(file)
	if known {
		m.Segment().CheckPeers()
	}
	return m
}

// goOn checks that a lock is as good as new, through a handle that takes it.
func goOn(t testing.TB, hs ...*lock.Mutex) {
	t.Helper()
	for range 2 {
		for _, h := range hs {
			wantErr(t, "Lock", h.Lock(within(t)), nil)
			check(h.Unlock())
		}
	}
	if v := hs[0].Word().Load(); v != 0 {
		t.Fatalf("the word is %#x", v)
	}
}

// killedAct is the body for an act alone. What the next one is told is first if
// it died at once, last if it died when all was done, and died if it holds the
// lock; then, if the lock can be had, it is as good as new.
func killedAct(act, first, last string) func(testing.TB, *shmtest.Point) {
	return func(t testing.TB, p *shmtest.Point) {
		m, file := newMutex(t)
		p.Kill(shmtest.Command(t, "mutex-act", act, file))
		v := m.Word().Load()
		want := "ok"
		switch {
		case v&lock.Lost != 0:
			want = "unrecoverable"
		case v != 0:
			want = "died"
		}
		told := name(m.Lock(within(t)))
		switch {
		case told != want:
			t.Fatalf("the word is %#x, and Lock says %s", v, told)
		case p.K < 0 && told != last, p.K == 0 && first != "" && told != first:
			t.Fatalf("Lock says %s, want %s first and %s in the end", told, first, last)
		case told == "unrecoverable":
			return
		case told == "died":
			check(m.MarkConsistent())
		}
		check(m.Unlock())
		goOn(t, m, another(t, file))
	}
}

// killedRevival is for one that dies of making a lost lock a good one again: who
// does not revive it either finds it lost, or is told.
func killedRevival(t testing.TB, p *shmtest.Point) {
	m, file := newMutex(t)
	p.Kill(shmtest.Command(t, "mutex-act", "revive", file))
	told := name(m.Lock(within(t)))
	if p.K == 0 && told != "unrecoverable" || p.K < 0 && told != "ok" {
		t.Fatalf("Lock says %s", told)
	}
	if told != "unrecoverable" {
		check(m.Unlock()) // told of a death, that makes it lost again
	}
	l := m.Locker(nil)
	l.Lock()
	l.Unlock()
	goOn(t, m, another(t, file))
}

// elsewhere reports whether a point is left out: of thousands, one in three is
// looked at in the code that touches the words, and one in sixty between.
func elsewhere(p *shmtest.Point) bool {
	at := p.String()
	if strings.Contains(at, "/shm/lock.") || strings.Contains(at, "/internal/wait.") {
		return thinned(p, 3)
	}
	return thinned(p, 60)
}

// killedVainWait is for one that dies of waiting, beside another that waits.
func killedVainWait(t testing.TB, p *shmtest.Point) {
	if elsewhere(p) {
		return
	}
	m, file := newMutex(t)
	other := another(t, file)
	check(m.Lock(bg))
	out := make(chan error, 1)
	go func() { out <- other.Lock(bg) }()
	p.Kill(shmtest.Command(t, "mutex-act", "wait in vain", file))
	if m.Holder() != m.Segment().ID() {
		t.Fatalf("held by %v", m.Holder())
	}
	check(m.Unlock())
	wantErr(t, "Lock of another waiter", got(t, out), nil)
	check(other.Unlock())
	goOn(t, m, other)
}

// killedWait is for one that dies when the lock that it waits for is given up.
func killedWait(t testing.TB, p *shmtest.Point) {
	if elsewhere(p) {
		return
	}
	m, file := newMutex(t)
	check(m.Lock(bg))
	stop, unlocked := make(chan struct{}), make(chan bool)
	go func() {
		sleeping := until(stop, func() bool {
			return m.Segment().Data()[ready] == 1 && m.EventWord().Load()&1 != 0 && inKernel(m)
		})
		check(m.Unlock())
		unlocked <- sleeping
	}()
	p.Kill(shmtest.Command(t, "mutex-act", "wait", file))
	close(stop)
	slept := <-unlocked
	want := "ok"
	if m.Holder() != 0 {
		want = "died"
	}
	told := name(m.Lock(within(t)))
	if told != want || !slept && told != "ok" || p.K <= 0 && told != "ok" {
		t.Fatalf("Lock says %s, want %s; it slept: %v", told, want, slept)
	}
	check(m.MarkConsistent())
	check(m.Unlock())
	goOn(t, m, another(t, file))
}

// inKernel reports whether the main thread of the one other participant is asleep
// in a call.
func inKernel(m *lock.Mutex) bool {
	for _, p := range m.Segment().Participants() {
		if !p.Self {
			stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/stat", p.PID, p.PID))
			return strings.Contains(string(stat), ") S ")
		}
	}
	return false
}

// killedBeside is for one that dies of giving up a lock that two others wait
// for. What the second of them is told depends on what the first was told.
func killedBeside(act, first, last string) func(testing.TB, *shmtest.Point) {
	return func(t testing.TB, p *shmtest.Point) {
		m, file := newMutex(t)
		stop, out := make(chan struct{}), make(chan string, 2)
		for range 2 {
			h := another(t, file)
			h.NoSpin()
			go func() {
				until(stop, func() bool { // a lock that the child holds itself
					v := m.Word().Load()
					return v != 0 && (act == "unlock beside waiters" || v&lock.Inconsistent != 0)
				})
				told := name(h.Lock(bg))
				if told != "unrecoverable" {
					check(h.MarkConsistent())
					check(h.Unlock())
				}
				out <- told
			}()
		}
		p.Kill(shmtest.Command(t, "mutex-act", act, file))
		close(stop)
		both := []string{<-out, <-out}
		slices.Sort(both)
		told := strings.Join(both, ", ")
		if told != first && told != last || p.K == 0 && told != first || p.K < 0 && told != last {
			t.Fatalf("they are told %s; want %s at first and %s in the end", told, first, last)
		}
		if told == "unrecoverable, unrecoverable" {
			m.Locker(nil).Lock()
			check(m.Unlock())
		}
		goOn(t, m, another(t, file))
	}
}
