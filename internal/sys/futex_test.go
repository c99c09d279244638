//go:build linux && (amd64 || arm64)

package sys_test

import (
	"errors"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-ipc/sluice/internal/mem"
	"github.com/sluice-ipc/sluice/internal/sys"
)

func init() {
	children["wait"] = func() error { // sleeps until the word at 0 is set
		m, err := sys.Map(3, 64<<10)
		if err != nil {
			return err
		}
		w, addr := word(m, 0)
		return sleepWhileZero(w, addr)
	}
	children["wake"] = func() error { // wakes one sleeper at 0, then sets it
		m, err := sys.Map(3, 64<<10)
		if err != nil {
			return err
		}
		w, addr := word(m, 0)
		for n := 0; n == 0; {
			if n, err = sys.FutexWake(addr, 1); err != nil {
				return err
			}
		}
		w.Store(1)
		_, err = sys.FutexWake(addr, 1)
		return err
	}
	children["one P"] = func() error { // a sleeper must not keep the only P
		word := new(atomic.Uint32)
		addr := mem.Raw(word)
		done := make(chan error)
		go func() { done <- sleepWhileZero(word, addr) }()
		for n := 0; n == 0; {
			n, _ = sys.FutexWake(addr, 1)
		}
		word.Store(1)
		sys.FutexWake(addr, 1)
		return <-done
	}
}

// sleepWhileZero is what every user of a futex does: look, sleep, look again.
func sleepWhileZero(w *atomic.Uint32, addr *uint32) error {
	for w.Load() == 0 {
		if err := sys.FutexWait(addr, 0, 0); err != nil {
			return err
		}
	}
	return nil
}

// wakeSleeper wakes until somebody was asleep: only then does a woken count
// come back from the kernel.
func wakeSleeper(t *testing.T, wake func() (int, error)) {
	t.Helper()
	until(t, "a sleeper", func() bool {
		n, err := wake()
		must(t, err)
		return n == 1
	})
}

func TestFutexReachesSleeperInOtherMapping(t *testing.T) {
	fd := memfd(t)
	w, addr := word(mapped(t, fd), 128)
	w2, addr2 := word(mapped(t, fd), 128)
	if addr == addr2 {
		t.Fatal("one mapping, not two")
	}
	done := make(chan error, 1)
	go func() { done <- sleepWhileZero(w, addr) }()
	wakeSleeper(t, func() (int, error) { return sys.FutexWake(addr2, 1) })
	w2.Store(1)
	_, err := sys.FutexWake(addr2, 1)
	must(t, err)
	must(t, within(t, "the sleeper", done))
}

func TestFutexReachesSleeperInOtherProcess(t *testing.T) {
	t.Run("child sleeps", func(t *testing.T) {
		fd := memfd(t)
		w, addr := word(mapped(t, fd), 0)
		c := start(t, "wait", fd)
		wakeSleeper(t, func() (int, error) { return sys.FutexWake(addr, 1) })
		w.Store(1)
		_, err := sys.FutexWake(addr, 1)
		must(t, err)
		c.finish()
	})
	t.Run("child wakes", func(t *testing.T) {
		fd := memfd(t)
		w, addr := word(mapped(t, fd), 0)
		c := start(t, "wake", fd)
		done := make(chan error, 1)
		go func() { done <- sleepWhileZero(w, addr) }()
		must(t, within(t, "the child's wake", done))
		c.finish()
	})
}

// In a process of its own, because a failure takes the watchdog with it.
func TestFutexSleeperHoldsNoP(t *testing.T) {
	start(t, "one P", -1, "GOMAXPROCS=1").finish()
}

func TestFutexWakeCountsSleepersUpToN(t *testing.T) {
	w, addr := word(mapped(t, memfd(t)), 0)
	const sleepers = 3
	done := make(chan error, sleepers)
	for range sleepers {
		go func() { done <- sleepWhileZero(w, addr) }()
	}
	for _, n := range []int{2, 3, 1 << 40} {
		until(t, "as many sleepers", func() bool {
			woken, err := sys.FutexWake(addr, n)
			must(t, err)
			if woken > min(n, sleepers) {
				t.Fatalf("woke %d of %d, asked for %d", woken, sleepers, n)
			}
			return woken == min(n, sleepers)
		})
	}
	w.Store(1)
	sys.FutexWake(addr, sleepers)
	for range sleepers {
		must(t, within(t, "a sleeper", done))
	}
	if n, err := sys.FutexWake(addr, 1<<40); n != 0 || err != nil {
		t.Fatalf("nobody sleeps: woke %d, %v", n, err)
	}
}

// waits are the two ways to sleep on a shared word that holds 7.
func waits(t *testing.T, body func(t *testing.T, wait func(val uint32, deadline int64) error)) {
	w, addr := word(mapped(t, memfd(t)), 0)
	w.Store(7)
	t.Run("wait", func(t *testing.T) {
		body(t, func(val uint32, deadline int64) error {
			return sys.FutexWait(addr, val, deadline)
		})
	})
	t.Run("waitv", func(t *testing.T) {
		needWaitv(t)
		private := new(atomic.Uint32)
		body(t, func(val uint32, deadline int64) error {
			return sys.FutexWait2(addr, val, mem.Raw(private), 0, deadline)
		})
	})
}

func needWaitv(t *testing.T) {
	t.Helper()
	if !sys.HaveWaitv() {
		t.Skip("missing: futex_waitv (Linux 5.16)")
	}
}

func TestFutexDeadlines(t *testing.T) {
	waits(t, func(t *testing.T, wait func(uint32, int64) error) {
		for _, tt := range []struct {
			name     string
			val      uint32
			deadline func() int64
			want     error
		}{
			{"soon", 7, func() int64 { return sys.Monotonic() + 20e6 }, sys.ErrTimeout},
			{"now", 7, sys.Monotonic, sys.ErrTimeout},
			{"at boot", 7, func() int64 { return 1 }, sys.ErrTimeout},
			{"before boot", 7, func() int64 { return -1 }, sys.ErrTimeout},
			{"another value and none", 8, func() int64 { return 0 }, nil},
			{"another value and soon", 8, func() int64 { return sys.Monotonic() + 20e6 }, nil},
		} {
			t.Run(tt.name, func(t *testing.T) {
				deadline := tt.deadline()
				done := make(chan error, 1)
				go func() {
					for { // nil may be an interruption, then the value counts
						err := wait(tt.val, deadline)
						if err != nil || tt.val != 7 {
							done <- err
							return
						}
					}
				}()
				if err := within(t, "the deadline", done); err != tt.want {
					t.Fatalf("got %v, want %v", err, tt.want)
				}
				// A relative or realtime reading would come decades off.
				if now := sys.Monotonic(); tt.want != nil && now < deadline-1e6 {
					t.Fatalf("timed out %v early", time.Duration(deadline-now))
				}
			})
		}
	})
}

func TestFutexWait2(t *testing.T) {
	needWaitv(t)
	fd := memfd(t)
	w, addr := word(mapped(t, fd), 0)
	_, addr2 := word(mapped(t, fd), 0)
	private := new(atomic.Uint32)
	done := make(chan error, 1)
	sleep := func() {
		done <- func() error {
			for w.Load() == 0 && private.Load() == 0 {
				if err := sys.FutexWait2(addr, 0, mem.Raw(private), 0, 0); err != nil {
					return err
				}
			}
			return nil
		}()
	}
	t.Run("woken by the shared word", func(t *testing.T) {
		go sleep()
		wakeSleeper(t, func() (int, error) { return sys.FutexWake(addr2, 1) })
		w.Store(1)
		sys.FutexWake(addr2, 1)
		must(t, within(t, "the sleeper", done))
	})
	t.Run("woken by the private word", func(t *testing.T) {
		w.Store(0)
		go sleep()
		wakeSleeper(t, func() (int, error) { return sys.FutexWakePrivate(mem.Raw(private), 1) })
		private.Store(1)
		sys.FutexWakePrivate(mem.Raw(private), 1)
		must(t, within(t, "the sleeper", done))
	})
	t.Run("private word differs", func(t *testing.T) {
		must(t, sys.FutexWait2(addr, 0, mem.Raw(private), 0, 0))
	})
}

func TestFutexWithoutWaitv(t *testing.T) {
	had := sys.HaveWaitv()
	sys.DisableWaitv(true)
	defer sys.DisableWaitv(false)
	if sys.HaveWaitv() {
		t.Fatal("disabled and there")
	}
	a, b := new(atomic.Uint32), new(atomic.Uint32)
	a.Store(1) // differs from 0, so that a call that is made after all returns
	err := sys.FutexWait2(mem.Raw(a), 0, mem.Raw(b), 0, 0)
	if !errors.Is(err, errors.ErrUnsupported) {
		t.Fatalf("got %v, want unsupported", err)
	}
	sys.DisableWaitv(false)
	if sys.HaveWaitv() != had {
		t.Fatal("enabling does not restore what was")
	}
	err = sys.FutexWait2(mem.Raw(a), 0, mem.Raw(b), 0, 0)
	if (err == nil) != had || !had && !errors.Is(err, errors.ErrUnsupported) {
		t.Fatalf("have futex_waitv: %v, call: %v", had, err)
	}
}

func TestFutexCallsAreCounted(t *testing.T) {
	a := new(atomic.Uint32)
	waits, wakes := sys.FutexCalls()
	must(t, sys.FutexWait(mem.Raw(a), 1, 0))
	sys.FutexWake(mem.Raw(a), 1)
	sys.FutexWakePrivate(mem.Raw(a), 1)
	waits2, wakes2 := sys.FutexCalls()
	if waits2-waits != 1 || wakes2-wakes != 2 {
		t.Fatalf("counted %d waits, %d wakes; made 1, 2", waits2-waits, wakes2-wakes)
	}
}

func TestFutexDoesNotAllocate(t *testing.T) {
	a, b := new(atomic.Uint32), new(atomic.Uint32)
	waitv := sys.HaveWaitv()
	n := testing.AllocsPerRun(100, func() {
		sys.FutexWait(mem.Raw(a), 0, 1)
		sys.FutexWait(mem.Raw(a), 1, 0)
		sys.FutexWake(mem.Raw(a), 1)
		if waitv {
			sys.FutexWait2(mem.Raw(a), 0, mem.Raw(b), 0, 1)
		}
	})
	if n != 0 {
		t.Fatalf("%v allocations", n)
	}
}

// A file that the peer has truncated under the mapping.
func TestFutexOnTruncatedFileIsAnError(t *testing.T) {
	fd := memfd(t)
	_, addr := word(mapped(t, fd), 0)
	must(t, syscall.Ftruncate(fd, 0))
	if err := sys.FutexWait(addr, 0, 1); !errors.Is(err, syscall.EFAULT) {
		t.Errorf("wait: got %v, want EFAULT", err)
	}
	if _, err := sys.FutexWake(addr, 1); !errors.Is(err, syscall.EFAULT) {
		t.Errorf("wake: got %v, want EFAULT", err)
	}
}
