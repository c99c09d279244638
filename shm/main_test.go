package shm

import (
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/sluice-ipc/sluice/internal/shmtest"
)

// roles are the children of this package's tests; each file adds its own.
var roles = map[string]shmtest.Role{}

func TestMain(m *testing.M) { shmtest.Main(m, roles) }

var unique atomic.Int64

// testName returns a name that no other test has, and removes it in the end.
func testName(t testing.TB) string {
	t.Helper()
	name := fmt.Sprintf("test-%d-%d", os.Getpid(), unique.Add(1))
	t.Cleanup(func() { Remove(name) })
	return name
}

// noLeaks checks that the test leaves nothing behind, files of testName
// included. It is a test's first call.
func noLeaks(t testing.TB) {
	t.Helper()
	shmtest.NoLeaks(t, fmt.Sprintf("%stest-%d-", prefix, os.Getpid()))
}

// must ends the test if err is not nil.
func must[T any](v T, err error) func(t testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// closing closes s when the test ends, and sees to it that this works.
func closing(t testing.TB, s *Segment) *Segment {
	t.Helper()
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

// complain is how a role fails.
func complain(format string, args ...any) int {
	fmt.Fprintln(os.Stderr, strings.TrimSpace(fmt.Sprintf(format, args...)))
	return 1
}

// word returns the word of a participant's slot.
func (s *Segment) word(id ID) uint64 { return s.slots[id.Slot()].word.Load() }
