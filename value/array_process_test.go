//go:build linux

package value_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-ipc/sluice/internal/shmtest"
	"github.com/sluice-ipc/sluice/shm/lock"
	"github.com/sluice-ipc/sluice/value"
)

func init() {
	roles["array-fill"] = fillArray
	roles["array-die"] = dieInside
	roles["array-hold"] = holdInside
	roles["array-heir"] = heir
}

// fillArray fills an array with one number after another, as long as it hears nothing.
func fillArray(args []string) int {
	a := must(value.OpenArray[uint32](args[0], nil))
	src := make([]uint32, a.Len())
	shmtest.Say("ready")
	over := make(chan bool)
	go func() { shmtest.Hear(); close(over) }()
	for n := uint32(number(args[1])); ; n += 2 {
		select {
		case <-over:
			return 0
		default:
		}
		for i := range src {
			src[i] = n
		}
		check(a.CopyIn(bg, 0, src))
	}
}

// A snapshot is of one time: never of two copies that other processes make.
func TestSnapshotsAreWhole(t *testing.T) {
	a := must(value.CreateArray[uint32](fresh(t), 3000, nil))
	defer a.Close()
	var children []*shmtest.Child
	for k := range 2 {
		c := shmtest.Start(t, "array-fill", a.Segment().Name(), fmt.Sprint(k+1))
		c.Expect("ready")
		children = append(children, c)
	}
	rounds := 2000
	if testing.Short() {
		rounds = 200
	}
	seen := map[uint32]bool{}
	start := time.Now()
	// The rounds may be over before another process gets a processor.
	for i := 0; i < rounds || len(seen) < 2; i++ {
		from := i % 100
		got := must(a.Snapshot(bg, from, 3000))
		if slices.Min(got) != slices.Max(got) {
			t.Fatalf("a snapshot of %d and %d", slices.Min(got), slices.Max(got))
		}
		seen[got[0]] = true
		if len(seen) < 2 && time.Since(start) > shmtest.Watchdog() {
			t.Fatal("the array never changed: the test shows nothing")
		}
	}
	for _, c := range children {
		c.Exit()
	}
}

// dieInside dies in the middle of changing an array.
func dieInside(args []string) int {
	var o value.Options
	if len(args) > 1 {
		o.Lock = must(lock.Open[lock.Mutex](args[1], nil))
	}
	a := must(value.OpenArray[int64](args[0], &o))
	check(a.With(bg, func(items []int64) error {
		items[0] = 9
		return syscall.Kill(os.Getpid(), syscall.SIGKILL)
	}))
	return 1
}

// heir makes locking calls, and says whether each was told of a death.
func heir(args []string) int {
	a := must(value.OpenArray[int64](args[0], nil))
	shmtest.Say("ready")
	for {
		if _, ok := shmtest.Hear(); !ok {
			return 0
		}
		_, err := a.Snapshot(bg, 0, 1)
		shmtest.Say("%v", errors.Is(err, lock.ErrOwnerDied))
	}
}

// Of those who come behind one that died in the middle, one is told, once.
func TestDeathIsToldOnce(t *testing.T) {
	a := must(value.CreateArray[int64](fresh(t), 2, nil))
	defer a.Close()
	var heirs []*shmtest.Child
	for range 3 {
		c := shmtest.Start(t, "array-heir", a.Segment().Name())
		c.Expect("ready")
		heirs = append(heirs, c)
	}
	deaths := 20
	if testing.Short() {
		deaths = 3
	}
	for range deaths {
		shmtest.Start(t, "array-die", a.Segment().Name()).Wait()
		told := 0
		for range 2 {
			for _, c := range heirs {
				c.Send("go")
			}
			for _, c := range heirs {
				if c.Line() == "true" {
					told++
				}
			}
		}
		if told != 1 {
			t.Fatalf("%d were told", told)
		}
	}
	if a.At(0) != 9 {
		t.Error("the dead one changed nothing: the test shows nothing")
	}
	check(a.CopyIn(bg, 0, []int64{1, 2}))
}

// A lock that guards several objects stays closed to their calls until somebody
// who knows all of them has put them right.
func TestDeathUnderASharedLock(t *testing.T) {
	m := must(lock.Create[lock.Mutex](fresh(t), nil))
	defer m.Close()
	o := &value.Options{Lock: m}
	a := must(value.CreateArray[int64](fresh(t), 2, o))
	defer a.Close()
	b := must(value.AnonymousArray[int64]("b", 2, o))
	defer b.Close()
	shmtest.Start(t, "array-die", a.Segment().Name(), m.Segment().Name()).Wait()
	never := func([]int64) error { panic("called") }
	for range 2 {
		for what, err := range map[string]error{
			"CopyIn": a.CopyIn(bg, 0, []int64{5}), "With": b.With(bg, never), "Snapshot": second(b.Snapshot(bg, 0, 1)),
			"CopyOut": a.CopyOut(bg, 0, []int64{5}),
		} {
			if !errors.Is(err, lock.ErrInconsistent) || errors.Is(err, lock.ErrOwnerDied) {
				t.Errorf("%s = %v", what, err)
			}
		}
	}
	if a.At(0) != 9 {
		t.Errorf("a call that failed made it %d", a.At(0))
	}
	if err := m.Lock(bg); !errors.Is(err, lock.ErrOwnerDied) {
		t.Fatalf("Lock = %v", err)
	}
	check(a.Apply(func(items []int64) error { items[0] = 0; return nil }))
	check(m.MarkConsistent())
	check(m.Unlock())
	check(a.CopyIn(bg, 0, []int64{5}))
	check(b.CopyIn(bg, 0, []int64{5}))
}

// holdInside stands still in the middle of changing an array.
func holdInside(args []string) int {
	a := must(value.OpenArray[int64](args[0], nil))
	check(a.With(bg, func(items []int64) error {
		items[0] = 9
		shmtest.Say("inside")
		shmtest.Hear()
		return nil
	}))
	shmtest.Say("out")
	return 0
}

// Who is stopped with the lock holds up those who want it, until their contexts
// end, and nobody else; nor is it taken for dead.
func TestStoppedInside(t *testing.T) {
	a := must(value.CreateArray[int64](fresh(t), 2, nil))
	defer a.Close()
	c := shmtest.Start(t, "array-hold", a.Segment().Name())
	c.Expect("inside")
	c.Stop()
	ctx, cancel := context.WithTimeout(bg, 200*time.Millisecond) // several ticks
	defer cancel()
	if err := a.CopyIn(ctx, 0, []int64{1, 2}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("CopyIn = %v", err)
	}
	if a.AddAt(1, 4) != 4 || a.At(0) != 9 {
		t.Error("elements do not work")
	}
	c.Cont()
	c.Send("go")
	c.Expect("out")
	check(a.CopyIn(bg, 0, []int64{1, 2}))
}
