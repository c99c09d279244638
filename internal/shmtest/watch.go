package shmtest

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"testing"
	"time"
)

// Watchdog is how long a test waits for something before it calls it a hang:
// a minute, times SLUICE_TEST_SCALE when that is set (slow machines, emulation).
func Watchdog() time.Duration { return time.Duration(scale() * float64(time.Minute)) }

// scale is SLUICE_TEST_SCALE, 1 when that is not set.
func scale() float64 {
	f, err := strconv.ParseFloat(os.Getenv("SLUICE_TEST_SCALE"), 64)
	if err != nil || f <= 0 {
		return 1
	}
	return f
}

// Eventually waits until cond holds. When it does not within Watchdog, the test
// fails with what (a format and its arguments) and the stacks of all goroutines.
// It must be called from the test's own goroutine.
func Eventually(t testing.TB, cond func() bool, what ...any) {
	t.Helper()
	if !poll(cond) {
		t.Fatalf("never came true: %s\n%s", describe(what), stacks())
	}
}

// poll waits for cond and reports whether it came. It yields first, for what is
// nearly there, and then looks every millisecond.
func poll(cond func() bool) bool {
	deadline := time.Now().Add(Watchdog())
	for i := 0; ; i++ {
		switch {
		case cond():
			return true
		case time.Now().After(deadline):
			return false
		case i < 100:
			runtime.Gosched()
		default:
			time.Sleep(time.Millisecond)
		}
	}
}

// describe formats what as Sprintf does, its first element being the format.
func describe(what []any) string {
	if len(what) == 0 {
		return "the condition"
	}
	if format, ok := what[0].(string); ok {
		return fmt.Sprintf(format, what[1:]...)
	}
	return fmt.Sprint(what...)
}

// stacks returns the stacks of all goroutines.
func stacks() []byte {
	buf := make([]byte, 1<<20)
	return buf[:runtime.Stack(buf, true)]
}

// deadlineOf returns the time at which the test binary would panic, if it will.
func deadlineOf(t testing.TB) (time.Time, bool) {
	if s, ok := t.(*scope); ok {
		return deadlineOf(s.TB)
	}
	if d, ok := t.(interface{ Deadline() (time.Time, bool) }); ok {
		return d.Deadline()
	}
	return time.Time{}, false
}
