//go:build linux

package lock_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sluice-ipc/sluice/internal/shmtest"
	"github.com/sluice-ipc/sluice/internal/sys"
	"github.com/sluice-ipc/sluice/shm"
	"github.com/sluice-ipc/sluice/shm/lock"
)

func init() { roles["ledger"] = ledger }

// bothSensors runs f with pidfds and with the tick alone.
func bothSensors(t *testing.T, f func(t *testing.T)) {
	t.Run("pidfd", f)
	t.Run("tick", func(t *testing.T) {
		sys.DisablePidfd(true)
		defer sys.DisablePidfd(false)
		f(t)
	})
}

// The owner's death is told to one, who was waiting or comes later, and not
// again.
func TestOwnerDies(t *testing.T) {
	bothSensors(t, func(t *testing.T) {
		m, file := newMutex(t)
		c, id := obedient(t, file)
		do(t, c, "lock", "ok")
		if m.Holder() != id {
			t.Errorf("held by %v, want %v", m.Holder(), id)
		}
		if s := m.String(); !strings.Contains(s, fmt.Sprintf("held by process %d, ", c.Pid())) {
			t.Errorf("%q does not name process %d", s, c.Pid())
		}
		waiting := asleep(t, func() error { return m.Lock(bg) })
		c.Kill()
		wantErr(t, "Lock under the owner's death", got(t, waiting), lock.ErrOwnerDied)
		check(m.MarkConsistent())
		check(m.Unlock())
		wantErr(t, "Lock after that", m.Lock(bg), nil)
		check(m.Unlock())
	})
	for what, lockIt := range map[string]func(m *lock.Mutex) error{
		"Lock":    func(m *lock.Mutex) error { return m.Lock(bg) },
		"TryLock": func(m *lock.Mutex) error { _, err := m.TryLock(); return err },
		"Lock with a context that is done": func(m *lock.Mutex) error {
			ctx, cancel := context.WithCancel(bg)
			cancel()
			return m.Lock(ctx)
		},
	} {
		t.Run(what, func(t *testing.T) {
			m, file := newMutex(t)
			m.NoSpin()
			c, _ := obedient(t, file)
			do(t, c, "lock", "ok")
			c.Kill()
			if s := m.String(); !strings.Contains(s, fmt.Sprintf("held by process %d, ", c.Pid())) {
				t.Errorf("%q does not name process %d", s, c.Pid())
			}
			wantErr(t, what, lockIt(m), lock.ErrOwnerDied)
			if !m.Held() {
				t.Error("it comes without the lock")
			}
			check(m.MarkConsistent())
			check(m.Unlock())
			wantErr(t, what, lockIt(m), nil)
			check(m.Unlock())
		})
	}
}

// Of several who wait, in several processes, one is told; and each of those who
// die in turn before the lock is consistent is one more death, told once.
func TestHeirsDieInTurn(t *testing.T) {
	m, file := newMutex(t)
	var cs []*shmtest.Child
	for range 4 {
		c, _ := obedient(t, file)
		cs = append(cs, c)
	}
	do(t, cs[0], "lock", "ok")
	lines := make(chan int, len(cs))
	said := make([]string, len(cs))
	for i, c := range cs[1:] {
		c.Send("lock")
		go func() { said[i+1], _ = c.Next(); lines <- i + 1 }()
	}
	last := 0
	for range cs[1:] {
		cs[last].Kill()
		last = <-lines
		if said[last] != "died" || len(lines) > 0 {
			t.Fatalf("%q, and of %d others it is told as well", said[last], len(lines))
		}
	}
	do(t, cs[last], "mark", "ok")
	cs[last].Kill() // consistent, but held
	wantErr(t, "Lock after a death that came after MarkConsistent", m.Lock(within(t)), lock.ErrOwnerDied)
	check(m.MarkConsistent())
	check(m.Unlock())
	wantErr(t, "Lock", m.Lock(bg), nil)
}

// Who dies after Unlock, or while waiting, has nothing that anybody is told of.
func TestOthersDie(t *testing.T) {
	m, file := newMutex(t)
	c, _ := obedient(t, file)
	do(t, c, "lock", "ok")
	do(t, c, "unlock", "ok")
	c.Kill()
	wantErr(t, "Lock after the death of a former owner", m.Lock(bg), nil)
	waiter, _ := obedient(t, file)
	waiter.Send("lock")
	shmtest.Eventually(t, func() bool { return m.EventWord().Load()&1 != 0 }, "it sleeps")
	other := another(t, file)
	waiting := asleep(t, func() error { return other.Lock(bg) })
	waiter.Kill()
	check(m.Unlock())
	wantErr(t, "Lock after the death of a waiter", got(t, waiting), nil)
	check(other.Unlock())
	if v := m.Word().Load(); v&^lock.Starving != 0 {
		t.Errorf("the word is %#x", v)
	}
}

// Unlock without MarkConsistent, in another process: those who wait are told, and
// those who come.
func TestHeirGivesUp(t *testing.T) {
	m, file := newMutex(t)
	c, _ := obedient(t, file)
	heir, _ := obedient(t, file)
	late, _ := obedient(t, file)
	do(t, c, "lock", "ok")
	heir.Send("lock")
	c.Kill()
	heir.Expect("died")
	late.Send("lock")
	waiting := asleep(t, func() error { return m.Lock(bg) })
	do(t, heir, "unlock", "ok")
	late.Expect("unrecoverable")
	wantErr(t, "Lock", got(t, waiting), lock.ErrNotRecoverable)
	do(t, heir, "try", "false unrecoverable")
	heir.Kill()
	wantErr(t, "Lock", m.Lock(bg), lock.ErrNotRecoverable)
	m.Locker(nil).Lock()
	do(t, late, "try", "false ok")
	check(m.Unlock())
	do(t, late, "lock", "ok")
}

// An owner that is stopped is not dead, however long it stands.
func TestStoppedOwnerKeepsTheLock(t *testing.T) {
	bothSensors(t, func(t *testing.T) {
		m, file := newMutex(t)
		c, id := obedient(t, file)
		do(t, c, "lock", "ok")
		c.Stop()
		// Over several ticks, with a waiter and every other way to prove it.
		ctx, cancel := context.WithTimeout(bg, 250*time.Millisecond)
		defer cancel()
		waiting := asleep(t, func() error { return m.Lock(ctx) })
		for ctx.Err() == nil {
			m.Segment().CheckPeers()
			if ok, err := m.TryLock(); ok || err != nil {
				t.Fatalf("TryLock = %v, %v", ok, err)
			}
		}
		wantErr(t, "Lock", got(t, waiting), context.DeadlineExceeded)
		wantErr(t, "Unlock", m.Unlock(), lock.ErrNotOwner)
		if m.Holder() != id || m.Segment().Gone(id) {
			t.Errorf("held by %v, want %v", m.Holder(), id)
		}
		waiting = asleep(t, func() error { return m.Lock(bg) })
		c.Cont()
		do(t, c, "unlock", "ok")
		wantErr(t, "Lock", got(t, waiting), nil)
	})
}

// Others have had the dead owner's slot before anybody locks: they are not taken
// for it, and its death is told all the same, once.
func TestSlotOfTheDeadIsReused(t *testing.T) {
	file := fresh(t)
	m := must(lock.Create[lock.Mutex](file, &lock.Options{Segment: shm.Options{MaxParticipants: 2}}))
	defer m.Close()
	c, id := obedient(t, file)
	do(t, c, "lock", "ok")
	c.Kill()
	for range 100 {
		other := must(lock.Open[lock.Mutex](file, nil))
		o := other.Segment().ID()
		if o.Slot() != id.Slot() || o == id {
			t.Fatalf("%v joins, want slot %d", o, id.Slot())
		}
		wantErr(t, "Unlock by who has the slot", other.Unlock(), lock.ErrNotOwner)
		other.Close()
	}
	other := must(lock.Open[lock.Mutex](file, nil))
	defer other.Close()
	if m.Holder() != id {
		t.Errorf("held by %v, want %v", m.Holder(), id)
	}
	wantErr(t, "Lock by who has the slot", other.Lock(bg), lock.ErrOwnerDied)
	check(other.MarkConsistent())
	check(other.Unlock())
	for _, h := range []*lock.Mutex{m, other} {
		wantErr(t, "Lock", h.Lock(bg), nil)
		check(h.Unlock())
	}
}

// The segment survives everybody: the next process is told.
func TestNobodySurvives(t *testing.T) {
	file := fresh(t)
	must(lock.Create[lock.Mutex](file, nil)).Close()
	c, _ := obedient(t, file)
	do(t, c, "lock", "ok")
	c.Kill()
	m := must(lock.OpenOrCreate[lock.Mutex](file, nil))
	defer m.Close()
	if m.Segment().Created() {
		t.Fatal("the lock is a new one")
	}
	wantErr(t, "Lock", m.Lock(bg), lock.ErrOwnerDied)
}

// A process that ends in good order, but with the lock held, has left it half
// done as well.
func TestOwnerExits(t *testing.T) {
	m, file := newMutex(t)
	c, _ := obedient(t, file)
	do(t, c, "lock", "ok")
	c.Exit()
	wantErr(t, "Lock", m.Lock(bg), lock.ErrOwnerDied)
}

// ledger changes two numbers together, again and again, until it is killed. Who
// is told of a death puts right what that has left, and notes it.
func ledger(args []string) int {
	s := must(shm.Open(args[0], nil))
	m := must(lock.At[lock.Mutex](s, 0, nil))
	a, b, told := s.Data()[128:136], s.Data()[136:144], s.Data()[144:152]
	scratch := make([]byte, 8)
	for n := 0; ; n++ {
		if n == 100 {
			shmtest.Say("busy")
		}
		err := m.Lock(bg)
		if name(err) == "died" {
			increment(told)
			copy(b, a)
			err = m.MarkConsistent()
		}
		check(err)
		if !bytes.Equal(a, b) {
			panic("half done, and nobody is told")
		}
		increment(a)
		for range 300 { // it dies here more often than elsewhere
			increment(scratch)
		}
		increment(b)
		check(m.Unlock())
	}
}

// Processes die at random, holding the lock or not: the others go on, and no
// change is seen half done.
func TestRandomDeaths(t *testing.T) {
	s, file := field(t)
	m := must(lock.At[lock.Mutex](s, 0, nil))
	kills := shorten(50)
	c := shmtest.Start(t, "ledger", file)
	for range kills {
		next := shmtest.Start(t, "ledger", file)
		next.Expect("busy") // which is a turn for every death so far
		c.Kill()
		c = next
	}
	c.Kill()
	switch err := m.Lock(bg); name(err) {
	case "died":
		increment(s.Data()[144:])
		check(m.MarkConsistent())
	default:
		check(err)
		if !bytes.Equal(s.Data()[128:136], s.Data()[136:144]) {
			t.Error("half done, and nobody is told")
		}
	}
	check(m.Unlock())
	told := int(binary.LittleEndian.Uint64(s.Data()[144:]))
	t.Logf("%d deaths, told of %d", kills+1, told)
	if told == 0 && kills >= 20 || told > kills+1 {
		t.Errorf("%d deaths, told of %d", kills+1, told)
	}
}
