package shmtest

import (
	"strings"
	"testing"

	"go.uber.org/goleak"
)

// NoLeaks fails the test if, when it ends, the process has a goroutine, a
// descriptor or a mapping of shared memory that it does not have now, or if
// there are new files in /dev/shm whose names begin with one of the prefixes. It is
// the test's first call, so that it looks after all other cleanups. A test that
// uses it is not parallel to any other, and gives prefixes of its own: tests of
// other packages run at the same time.
func NoLeaks(t testing.TB, prefixes ...string) {
	t.Helper()
	startPoller()
	before := goleak.IgnoreCurrent()
	fds, maps := FDs(), Mappings()
	var files [][]string // a killed run may have left some
	for _, p := range prefixes {
		files = append(files, ShmFiles(p))
	}
	t.Cleanup(func() {
		t.Helper()
		var err error
		if !poll(func() bool { err = goleak.Find(before); return err == nil }) {
			t.Errorf("goroutines left behind: %v", err)
		}
		settles(t, "descriptors", func() []string { return added(fds, FDs()) })
		settles(t, "mappings", func() []string { return added(maps, Mappings()) })
		for i, p := range prefixes {
			settles(t, "files", func() []string { return added(files[i], ShmFiles(p)) })
		}
	})
}

// settles fails the test unless what comes to return nothing.
func settles(t testing.TB, name string, what func() []string) {
	t.Helper()
	var left []string
	if !poll(func() bool { left = what(); return len(left) == 0 }) {
		t.Errorf("%s left behind:\n%s", name, strings.Join(left, "\n"))
	}
}

// added returns what is in after more often than in before.
func added(before, after []string) []string {
	n := map[string]int{}
	for _, s := range before {
		n[s]++
	}
	var more []string
	for _, s := range after {
		if n[s]--; n[s] < 0 {
			more = append(more, s)
		}
	}
	return more
}
