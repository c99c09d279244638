package value_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/sluice-ipc/sluice/internal/wait"
	"github.com/sluice-ipc/sluice/value"
)

func newBoard(t testing.TB) (*value.Blackboard[trio], string) {
	t.Helper()
	name := fresh(t)
	b := must(value.CreateBlackboard(name, trioOf(0), nil))
	t.Cleanup(func() { b.Close() })
	return b, name
}

// boardState returns which value b has, and checks that it is that of its version.
func boardState(t testing.TB, b *value.Blackboard[trio]) uint64 {
	t.Helper()
	v, k := b.Load()
	if n := v.num(t); n != k {
		t.Fatalf("value %d is version %d", n, k)
	}
	return k
}

func TestBlackboardHasOneWriter(t *testing.T) {
	b, name := newBoard(t)
	other := must(value.OpenBlackboard[trio](name, nil))
	defer other.Close()
	w := must(b.Claim())
	for _, h := range []*value.Blackboard[trio]{b, other} {
		if _, err := h.Claim(); !errors.Is(err, value.ErrBusy) {
			t.Errorf("Claim beside a writer = %v", err)
		}
	}
	for k := range uint64(10) {
		if boardState(t, other) != k {
			t.Fatalf("another handle sees version %d, want %d", other.Version(), k)
		}
		check(w.Publish(trioOf(k + 1)))
	}
	check(w.Close())
	check(w.Close())
	if err := w.Publish(trioOf(0)); !errors.Is(err, value.ErrClosed) {
		t.Errorf("Publish after Close = %v", err)
	}
	w2 := must(other.Claim())
	check(w.Close()) // not the writer any more, and so no business of its
	if _, err := b.Claim(); !errors.Is(err, value.ErrBusy) {
		t.Errorf("Claim after another's Close = %v", err)
	}
	check(w2.Publish(trioOf(11)))
	if boardState(t, b) != 11 {
		t.Error("not published")
	}
	if s := b.String(); !strings.Contains(s, "trio") || !strings.Contains(s, "version 11") {
		t.Errorf("String() = %q", s)
	}
	check(w2.Close())
}

func TestClosedBlackboard(t *testing.T) {
	b, name := newBoard(t)
	other := must(value.OpenBlackboard[trio](name, nil))
	defer other.Close()
	w := must(b.Claim())
	check(w.Publish(trioOf(1)))
	check(b.Close())
	if _, err := b.Claim(); !errors.Is(err, value.ErrClosed) {
		t.Errorf("Claim on a closed one = %v", err)
	}
	if _, err := b.Wait(bg, 1); !errors.Is(err, value.ErrClosed) {
		t.Errorf("Wait on a closed one = %v", err)
	}
	if err := w.Publish(trioOf(2)); !errors.Is(err, value.ErrClosed) {
		t.Errorf("Publish on a closed one = %v", err)
	}
	if boardState(t, b) != 1 {
		t.Error("Load on a closed one")
	}
	// The writer is one until it says otherwise.
	if _, err := other.Claim(); !errors.Is(err, value.ErrBusy) {
		t.Errorf("Claim = %v", err)
	}
	check(w.Close())
	check(must(other.Claim()).Close())
}

func TestBlackboardWaits(t *testing.T) {
	b, _ := newBoard(t)
	w := must(b.Claim())
	defer w.Close()
	const n = 1000
	got := make(chan uint64)
	for range 3 {
		go func() {
			k := uint64(0)
			for k < n {
				old := k
				if k = must(b.Wait(bg, old)); k <= old {
					panic("no later version")
				}
				if v, at := b.Load(); v != trioOf(at) || at < k {
					panic("another value")
				}
			}
			got <- k
		}()
	}
	for k := range uint64(n) {
		check(w.Publish(trioOf(k + 1)))
	}
	for range 3 {
		if k := <-got; k != n {
			t.Errorf("the last version is %d", k)
		}
	}
	ctx, cancel := context.WithCancel(bg)
	waiting := make(chan error)
	go func() { _, err := b.Wait(ctx, n); waiting <- err }()
	before := wait.Sleeps()
	for range 1000 {
		if wait.Sleeps() != before {
			break
		}
	}
	cancel()
	if err := <-waiting; !errors.Is(err, context.Canceled) {
		t.Errorf("Wait = %v", err)
	}
}
