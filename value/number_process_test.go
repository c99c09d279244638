//go:build linux

package value_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/sluice-ipc/sluice/internal/race"
	"github.com/sluice-ipc/sluice/internal/shmtest"
	"github.com/sluice-ipc/sluice/internal/sys"
	"github.com/sluice-ipc/sluice/shm"
	"github.com/sluice-ipc/sluice/value"
)

func init() {
	roles["number-count"] = countUp
	roles["number-pong"] = pong
	roles["number-passed"] = passed
}

// counted are objects of each size next to each other, in a segment of the test's.
type counted struct {
	number *value.Value[int64]
	float  *value.Value[float64]
	bytes  *value.Array[uint8]
	shorts *value.Array[int16]
	ints   *value.Array[uint32]
	floats *value.Array[float32]
}

func countedIn(s *shm.Segment) counted {
	return counted{
		must(value.At[int64](s, 0, nil)), must(value.At[float64](s, 128, nil)),
		must(value.ArrayAt[uint8](s, 256, 9, nil)), must(value.ArrayAt[int16](s, 768, 9, nil)),
		must(value.ArrayAt[uint32](s, 1280, 9, nil)), must(value.ArrayAt[float32](s, 1792, 9, nil)),
	}
}

// countUp counts everything up n times: what all have in common, and one element
// of each array that is this process's own.
func countUp(args []string) int {
	c := countedIn(must(shm.Open(args[0], nil)))
	k, n := number(args[1]), number(args[2])
	shmtest.Say("ready")
	shmtest.Hear()
	for range n {
		c.number.Add(1)
		c.float.Add(0.5)
		c.bytes.AddAt(8, 3)
		c.shorts.UpdateAt(8, func(n int16) int16 { return n - 1 })
		c.ints.AddAt(8, 1)
		c.floats.AddAt(8, 1)
		c.bytes.AddAt(k, 1)
		c.bytes.Set(k, c.bytes.At(k)+1)
		c.shorts.Set(k, c.shorts.At(k)+1)
		c.ints.SwapAt(k, c.ints.At(k)+1)
		c.floats.AddAt(k, 1)
	}
	return 0
}

// Nothing that several processes add at the same time is lost, nor what one writes
// beside what others do.
func TestAddBetweenProcesses(t *testing.T) {
	const procs = 4
	n := 200_000
	if testing.Short() || race.Enabled {
		n = 20_000
	}
	name := fresh(t)
	s := must(shm.Create(name, &shm.Options{Size: 4096}))
	defer s.Close()
	c := countedIn(s)
	var children []*shmtest.Child
	for k := range procs {
		child := shmtest.Start(t, "number-count", name, fmt.Sprint(k), fmt.Sprint(n))
		child.Expect("ready")
		children = append(children, child)
	}
	for _, child := range children {
		child.Send("go")
	}
	for _, child := range children {
		child.Exit()
	}
	all := procs * n
	if c.number.Load() != int64(all) || c.float.Load() != float64(all)/2 || c.bytes.At(8) != uint8(3*all) ||
		c.shorts.At(8) != int16(-all) || c.ints.At(8) != uint32(all) || c.floats.At(8) != float32(all) {
		t.Errorf("%d times: %v, %v, %d, %d, %d, %g", all, c.number, c.float, c.bytes.At(8), c.shorts.At(8), c.ints.At(8), c.floats.At(8))
	}
	for k := range 8 {
		n := n
		if k >= procs {
			n = 0
		}
		if c.bytes.At(k) != uint8(2*n) || c.shorts.At(k) != int16(n) || c.ints.At(k) != uint32(n) || c.floats.At(k) != float32(n) {
			t.Errorf("element %d: %d, %d, %d, %g, want %d", k, c.bytes.At(k), c.shorts.At(k), c.ints.At(k), c.floats.At(k), n)
		}
	}
}

// pong answers each odd number with the next even one.
func pong(args []string) int {
	v := must(value.Open[int64](args[0], nil))
	value.Unhealed(v)
	if args[1] == "asleep" {
		value.SleepAtOnce(v)
	}
	for i := range int64(number(args[2])) {
		if n, err := v.Wait(bg, 2*i); n != 2*i+1 || err != nil {
			panic(fmt.Sprint(n, err))
		}
		v.Add(1)
	}
	return 0
}

// Two processes wait for each other in turn. Nobody heals a wake-up that is lost:
// it would end the test.
func TestWaitPingPong(t *testing.T) {
	rounds := int64(20_000)
	if testing.Short() {
		rounds = 2_000
	}
	for _, how := range []string{"spinning", "asleep"} {
		t.Run(how, func(t *testing.T) {
			v := must(value.Create[int64](fresh(t), 0, nil))
			defer v.Close()
			value.Unhealed(v)
			if how == "asleep" {
				value.SleepAtOnce(v)
			}
			c := shmtest.Start(t, "number-pong", v.Segment().Name(), how, strconv.FormatInt(rounds, 10))
			done := make(chan error, 1)
			at := v.Load()
			before, _ := sys.FutexCalls()
			go func() {
				for i := range rounds {
					v.Store(2*i + 1)
					if n, err := v.Wait(bg, 2*i+1); n != 2*i+2 || err != nil {
						done <- fmt.Errorf("round %d: %d, %w", i, n, err)
						return
					}
				}
				done <- nil
			}()
			// A hang is when nothing moves for as long as the watchdog is patient.
			for over := false; !over; {
				select {
				case err := <-done:
					check(err)
					over = true
				case <-time.After(shmtest.Watchdog()):
					if v.Load() == at {
						t.Fatalf("a wake-up was lost at %d", at)
					}
					at = v.Load()
				}
			}
			c.Wait()
			after, _ := sys.FutexCalls()
			t.Logf("%d rounds, %d sleeps", rounds, after-before)
			if how == "asleep" && after == before {
				t.Error("nobody slept: the test shows nothing")
			}
		})
	}
}

func TestWaitEnds(t *testing.T) {
	v, w := pairOf(t, 1.5)
	value.SleepAtOnce(v)
	done, cancel := context.WithCancel(bg)
	waiting := make(chan error, 2)
	wait := func(ctx context.Context) {
		_, err := v.Wait(ctx, 1.5)
		waiting <- err
	}
	go wait(done)
	shmtest.Eventually(t, func() bool { return value.Sleepers(v).Load()&1 != 0 })
	cancel()
	if err := receive(t, waiting); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	late, cancel := context.WithTimeout(bg, time.Millisecond)
	defer cancel()
	if n, err := v.Wait(late, 1.5); !errors.Is(err, context.DeadlineExceeded) || n != 1.5 {
		t.Errorf("too late: %v, %v", n, err)
	}
	if n, err := v.Wait(done, 7); err != nil || n != 1.5 { // one attempt there is
		t.Errorf("different already: %v, %v", n, err)
	}
	if n, err := v.Wait(done, 1.5); !errors.Is(err, context.Canceled) || n != 1.5 {
		t.Errorf("done already: %v, %v", n, err)
	}
	go wait(bg)
	go wait(bg)
	w.Store(1.5) // which changes nothing
	w.Store(2)
	for range 2 {
		if err := receive(t, waiting); err != nil {
			t.Errorf("changed: %v", err)
		}
	}
	v.Store(math.NaN())
	if n, err := v.Wait(done, math.NaN()); !errors.Is(err, context.Canceled) || n == n {
		t.Errorf("a NaN is another: %v, %v", n, err)
	}
	v.Store(0)
	go func() {
		_, err := v.Wait(bg, 0)
		waiting <- err
	}()
	shmtest.Eventually(t, func() bool { return value.Sleepers(v).Load()&1 != 0 })
	w.Store(math.Copysign(0, -1))
	if err := receive(t, waiting); err != nil {
		t.Errorf("the sign changed: %v", err)
	}
	w.Store(1.5)
	go wait(bg)
	go wait(bg)
	shmtest.Eventually(t, func() bool { return value.Sleepers(v).Load()&1 != 0 })
	check(v.Close())
	for range 2 {
		if err := receive(t, waiting); !errors.Is(err, value.ErrClosed) || !errors.Is(err, os.ErrClosed) {
			t.Errorf("closed: %v", err)
		}
	}
}

// passed changes what its parent passed to it.
func passed([]string) int {
	v := must(value.Inherited[float64]("num", nil))
	a := must(value.InheritedArray[int32]("arr", nil))
	v.Store(3.1415927)
	for i, n := range a.All() {
		a.Set(i, -n)
	}
	if _, err := value.Inherited[float64]("num", nil); !errors.Is(err, shm.ErrNotFound) {
		panic(err)
	}
	check(v.Close())
	check(a.Close())
	return 0
}

// The example that everybody knows.
func TestPassedToAChild(t *testing.T) {
	num := must(value.Anonymous("num", 0.0, nil))
	defer num.Close()
	arr := must(value.AnonymousArrayFrom("arr", []int32{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, nil))
	defer arr.Close()
	c := shmtest.Command(t, "number-passed")
	c.Launch = shm.Start
	check(shm.Pass(c.Cmd, "num", num))
	check(shm.Pass(c.Cmd, "arr", arr))
	c.Start()
	c.Exit()
	got := fmt.Sprint(num.Load(), must(arr.Snapshot(bg, 0, arr.Len())))
	if got != "3.1415927 [0 -1 -2 -3 -4 -5 -6 -7 -8 -9]" {
		t.Error(got)
	}
	var h shm.Inheritor = num
	if _, err := h.Inherit("num"); !errors.Is(err, shm.ErrNotFound) {
		t.Errorf("Inherit = %v", err)
	}
	h = arr
	if _, err := h.Inherit("arr"); !errors.Is(err, shm.ErrNotFound) {
		t.Errorf("Inherit = %v", err)
	}
}
