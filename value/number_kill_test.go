//go:build linux

package value_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-ipc/sluice/internal/mem"
	"github.com/sluice-ipc/sluice/internal/shmtest"
	"github.com/sluice-ipc/sluice/shm"
	"github.com/sluice-ipc/sluice/shm/lock"
	"github.com/sluice-ipc/sluice/value"
)

func init() {
	roles["number-act"] = func(args []string) int {
		shmtest.Trace(numberActs[args[0]](args[1]))
		shmtest.Say("done")
		shmtest.Hear()
		return 0
	}
	kills["number"] = killNumber
	kills["array"] = killArray
}

// row is how long the arrays are, and old and young what is in them before an act
// and after it.
const row = 16

var old, young = slices.Repeat([]int64{1}, row), slices.Repeat([]int64{1<<40 + 2}, row)

// numberActs are what children do that are killed in the middle: each gets the
// name of a segment, and returns what comes then.
var numberActs = map[string]func(name string) func(){
	"add":       onNumber(func(v *value.Value[int64]) { v.Add(1) }),
	"add float": onNumber(func(v *value.Value[float64]) { v.Add(1) }),
	"store":     onNumber(func(v *value.Value[int64]) { v.Store(2) }),
	"swap":      onNumber(func(v *value.Value[int32]) { v.Swap(2) }),
	"compare and swap": onNumber(func(v *value.Value[uint8]) {
		if !v.CompareAndSwap(1, 2) {
			panic("it was not 1")
		}
	}),
	"or": onNumber(func(v *value.Value[int64]) { value.And(v, value.Or(v, 2)<<1) }),
	"wait": func(name string) func() {
		v := must(value.Open[int64](name, nil))
		value.SleepAtOnce(v)
		warmUp(v)
		return func() {
			if must(v.Wait(bg, 1)) != 2 {
				panic("it is not 2")
			}
		}
	},

	"add to byte": onRow(func(a *value.Array[uint8]) { a.AddAt(5, 1) }),
	"copy in":     onRow(func(a *value.Array[int64]) { check(a.CopyIn(bg, 0, young)) }),
	"with":        onRow(func(a *value.Array[int64]) { check(a.With(bg, renew)) }),
	"apply": onRow(func(a *value.Array[int64]) {
		check(a.Mutex().Lock(bg))
		check(a.Apply(renew))
		check(a.Mutex().Unlock())
	}),
	"set C string": onRow(func(a *value.Array[byte]) { check(value.SetCString(bg, a, "youngster")) }),
}

func renew(items []int64) error {
	for i := range items {
		items[i] = young[i]
	}
	return nil
}

// warmUp sleeps on a value, so that what is done the first time is not among the
// instructions: above all, that somebody looks after the other participants.
func warmUp(v *value.Value[int64]) {
	for range 2 {
		ctx, cancel := context.WithTimeout(bg, time.Millisecond)
		if n, err := v.Wait(ctx, v.Load()); !errors.Is(err, context.DeadlineExceeded) {
			panic(fmt.Sprint(n, err))
		}
		cancel()
	}
	value.Sleepers(v).Store(0) // nobody sleeps
	warm(v).Store(1)
}

// warm is a word behind a value's own, which says that the child is about to begin.
func warm(v *value.Value[int64]) *atomic.Uint32 { return mem.Uint32(v.Segment().Data(), value.Size/2) }

func onNumber[T value.Number](act func(*value.Value[T])) func(string) func() {
	return func(name string) func() {
		v := must(value.Open[T](name, nil))
		value.SleepAtOnce(v)
		return func() { act(v) }
	}
}

func onRow[T value.Number](act func(*value.Array[T])) func(string) func() {
	return func(name string) func() {
		a := must(value.OpenArray[T](name, nil))
		return func() { act(a) }
	}
}

func killNumber(t *testing.T) {
	for act, body := range map[string]func(testing.TB, *shmtest.Point){
		"add": killedNumber[int64]("add"), "add float": killedNumber[float64]("add float"),
		"store": killedNumber[int64]("store"), "swap": killedNumber[int32]("swap"),
		"compare and swap": killedNumber[uint8]("compare and swap"), "or": killedNumber[int64]("or"),
	} {
		t.Run(act, func(t *testing.T) { atLeast(t, 10, shmtest.EveryPoint(t, act, body)) })
	}
	t.Run("wait", func(t *testing.T) { atLeast(t, 100, shmtest.EveryPoint(t, "wait", killedNumberWaiter)) })
}

// killedNumber is the body for an act that makes 2 of 1 (or 3 in between), while
// somebody waits for that: who is killed behind the change, and before it has woken
// the waiter, does not leave that one asleep.
func killedNumber[T value.Number](act string) func(testing.TB, *shmtest.Point) {
	return func(t testing.TB, p *shmtest.Point) {
		name := fresh(t)
		v := must(value.Create[T](name, 1, nil))
		defer v.Close()
		value.SleepAtOnce(v)
		waiting := make(chan T, 1)
		go func() { waiting <- must(v.Wait(bg, 1)) }()
		shmtest.Eventually(t, func() bool { return value.Sleepers(v).Load()&1 != 0 })
		p.Kill(shmtest.Command(t, "number-act", act, name))
		switch n := v.Load(); {
		case n == 1 && p.K >= 0:
			v.Store(2)
		case n != 2 && (act != "or" || p.K < 0 || n != 3):
			t.Fatalf("the number is %v", n)
		}
		if n := receive(t, waiting); n != 2 && n != 3 {
			t.Fatalf("the waiter got %v", n)
		}
		v.Store(2)
		other := must(value.Open[T](name, nil))
		defer other.Close()
		if v.Add(3) != 5 || other.Add(3) != 8 || v.Load() != 8 {
			t.Fatalf("afterwards it is %v", v.Load())
		}
	}
}

// receive gets what is sent at the latest when the watchdog barks.
func receive[T any](t testing.TB, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(shmtest.Watchdog()):
		t.Fatal("nobody woke the waiter")
		panic("unreachable")
	}
}

// killedNumberWaiter is the body for one that waits for 2, which comes when it
// sleeps. Another waiter beside it is not left behind. Of the thousands of
// instructions, most of the runtime's, every fourth is looked at.
func killedNumberWaiter(t testing.TB, p *shmtest.Point) {
	if thinned(p, 4) {
		return
	}
	name := fresh(t)
	v := must(value.Create[int64](name, 1, &value.Options{Segment: shm.Options{MaxParticipants: 8}}))
	defer v.Close()
	other := must(value.Open[int64](name, nil))
	defer other.Close()
	value.SleepAtOnce(other)
	var over atomic.Bool
	done := make(chan bool, 1)
	go func() {
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for (warm(v).Load() == 0 || value.Sleepers(v).Load()&1 == 0) && !over.Load() {
			<-tick.C
		}
		v.Store(2)
		done <- true
	}()
	p.Kill(shmtest.Command(t, "number-act", "wait", name))
	over.Store(true)
	receive(t, done)
	waiting := make(chan int64, 1)
	go func() { waiting <- must(other.Wait(bg, 2)) }()
	shmtest.Eventually(t, func() bool { return value.Sleepers(v).Load()&1 != 0 })
	v.Add(1)
	if n := receive(t, waiting); n != 3 {
		t.Fatalf("the other waiter got %d", n)
	}
}

func killArray(t *testing.T) {
	for _, act := range []string{"copy in", "with", "apply"} {
		t.Run(act, func(t *testing.T) {
			var told, half atomic.Int64
			atLeast(t, 60, shmtest.EveryPoint(t, act, func(t testing.TB, p *shmtest.Point) {
				killedCopier(t, p, act, &told, &half)
			}))
			t.Logf("ErrOwnerDied %d times, half changed %d times", told.Load(), half.Load())
			if (told.Load() == 0 || half.Load() == 0) && !t.Failed() && shmtest.AllPoints(t) {
				t.Error("nobody died in the middle: the test shows nothing")
			}
		})
	}
	t.Run("set C string", func(t *testing.T) {
		atLeast(t, 60, shmtest.EveryPoint(t, "set C string", killedSpeller))
	})
	t.Run("add to byte", func(t *testing.T) {
		atLeast(t, 10, shmtest.EveryPoint(t, "add to byte", killedInByte))
	})
}

// killedCopier is the body for an act that makes an old array young.
func killedCopier(t testing.TB, p *shmtest.Point, act string, told, half *atomic.Int64) {
	name := fresh(t)
	a := must(value.CreateArrayFrom(name, old, nil))
	defer a.Close()
	p.Kill(shmtest.Command(t, "number-act", act, name))
	got := slices.Collect(a.Values())
	n := 0
	for i, v := range got {
		if v != old[i] && v != young[i] {
			t.Fatalf("element %d is torn: %#x", i, v)
		} else if v == young[i] {
			n++
		}
	}
	left := a.Mutex().Holder() != 0
	if !left && n != 0 && n != row || p.K < 0 && n != row {
		t.Fatalf("%d elements are new, and nobody is to be told", n)
	}
	toldOnce(t, a, left)
	if left {
		told.Add(1)
	}
	if n != 0 && n != row {
		half.Add(1)
	}
	if now := slices.Collect(a.Values()); !slices.Equal(now, got) {
		t.Fatal("a call that told of the death has changed something")
	}
	other := must(value.OpenArray[int64](name, nil))
	defer other.Close()
	for _, h := range []*value.Array[int64]{a, other, a} {
		check(h.CopyIn(bg, 0, young))
		check(h.CopyIn(bg, 0, old[:row-1]))
		if got := must(h.Snapshot(bg, 0, row)); !slices.Equal(got[:row-1], old[1:]) || got[row-1] != young[0] {
			t.Fatalf("afterwards: %v", got)
		}
	}
}

// toldOnce holds that the next locking call tells of a death, if there was one
// with the lock held, and that nobody tells of it again.
func toldOnce[T value.Number](t testing.TB, a *value.Array[T], death bool) {
	t.Helper()
	other := must(value.OpenArray[T](a.Segment().Name(), nil))
	defer other.Close()
	_, err := a.Snapshot(bg, 0, 1)
	if death != errors.Is(err, lock.ErrOwnerDied) || !death && err != nil {
		t.Fatalf("died with the lock: %v; Snapshot = %v", death, err)
	}
	for range 2 {
		for _, h := range []*value.Array[T]{other, a} {
			check(h.CopyOut(bg, 0, make([]T, 1)))
			check(h.With(bg, func([]T) error { return nil }))
		}
	}
}

// killedSpeller is the body for one that writes youngster over a longer string.
func killedSpeller(t testing.TB, p *shmtest.Point) {
	name := fresh(t)
	a := must(value.CreateArrayFrom(name, []byte("0123456789ab"), nil))
	defer a.Close()
	p.Kill(shmtest.Command(t, "number-act", "set C string", name))
	left := a.Mutex().Holder() != 0
	toldOnce(t, a, left)
	raw := string(must(value.Bytes(bg, a)))
	if whole := raw == "0123456789ab" || raw == "youngster\x00ab"; !left && !whole || p.K < 0 && raw[0] != 'y' {
		t.Fatalf("%q, and nobody is told", raw)
	}
	check(value.SetCString(bg, a, "next"))
	if s := must(value.CString(bg, a)); s != "next" {
		t.Fatalf("afterwards: %q", s)
	}
}

// killedInByte is the body for one that adds 1 to a byte among others.
func killedInByte(t testing.TB, p *shmtest.Point) {
	name := fresh(t)
	a := must(value.CreateArrayFrom(name, []byte("\xff\x01\x02\x03\xff\xff\xff\xff\x08"), nil))
	defer a.Close()
	p.Kill(shmtest.Command(t, "number-act", "add to byte", name))
	toldOnce(t, a, false)
	raw := string(must(value.Bytes(bg, a)))
	if raw != "\xff\x01\x02\x03\xff\x00\xff\xff\x08" && (p.K < 0 || raw != "\xff\x01\x02\x03\xff\xff\xff\xff\x08") {
		t.Fatalf("%q", raw)
	}
	if n := a.AddAt(5, 0xff); n != raw[5]-1 {
		t.Fatalf("afterwards: %d", n)
	}
}
