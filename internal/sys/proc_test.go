//go:build linux && (amd64 || arm64)

package sys_test

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/sluice-ipc/sluice/internal/sys"
	"golang.org/x/sys/unix"
)

func init() {
	children["who"] = func() error { // says what it knows, when asked
		in := bufio.NewReader(os.Stdin)
		for {
			if _, err := in.ReadString('\n'); err != nil {
				return nil
			}
			cpus, err := sys.Affinity()
			if err != nil {
				return err
			}
			fmt.Printf("%d %x %v\n", sys.PidNamespace(), sys.BootID(), cpus)
		}
	}
}

func init() {
	children["start time"] = func() error {
		fmt.Println(sys.StartTime(os.Getpid()))
		bufio.NewReader(os.Stdin).ReadByte()
		return nil
	}
}

func (c *child) ask() string {
	c.t.Helper()
	c.in.Write([]byte("\n"))
	return c.line()
}

func TestProcessesAgreeOnWhoTheyAre(t *testing.T) {
	c := start(t, "who", -1)
	cpus, err := sys.Affinity()
	must(t, err)
	said := c.ask()
	want := fmt.Sprintf("%d %x %v", sys.PidNamespace(), sys.BootID(), cpus)
	if said != want {
		t.Fatalf("the child says %s\nwe say %s", said, want)
	}
	link, err := os.Readlink("/proc/self/ns/pid")
	must(t, err)
	if got := fmt.Sprintf("pid:[%d]", sys.PidNamespace()); got != link {
		t.Errorf("namespace %s, want %s", got, link)
	}
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	must(t, err)
	id := sys.BootID()
	if got := fmt.Sprintf("%x-%x-%x-%x-%x\n", id[:4], id[4:6], id[6:8], id[8:10], id[10:]); got != string(b) {
		t.Errorf("boot id %s, want %s", got, b)
	}
}

func TestStartTime(t *testing.T) {
	// An emulator says of each thread of ours when that thread started.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	me := sys.StartTime(os.Getpid())
	if me == 0 || sys.StartTime(1<<22+1) != 0 {
		t.Fatal("the living have none, or others have")
	}
	// A name that looks like more fields.
	name, err := os.ReadFile("/proc/self/comm")
	must(t, err)
	must(t, os.WriteFile("/proc/self/comm", []byte("a) R 1 (2 3"), 0))
	got := sys.StartTime(os.Getpid())
	must(t, os.WriteFile("/proc/self/comm", name, 0))
	if got != me {
		t.Errorf("start time is %d, under another name %d", me, got)
	}

	c := start(t, "start time", -1)
	said, want := c.line(), fmt.Sprint(sys.StartTime(c.Process.Pid))
	// Emulators invent what is under /proc/self, but do not know this name.
	if b, err := os.ReadFile("/proc/./self/stat"); os.Getenv("SLUICE_EMULATED") == "1" || err != nil || !strings.Contains(string(b), fmt.Sprintf(" %d ", me)) {
		t.Skip("missing: the true /proc/self/stat")
	}
	if said != want {
		t.Errorf("the child started at %s and says %s", want, said)
	}
	must(t, c.Process.Kill())
	must(t, waitKilled(c))
	if now := sys.StartTime(c.Process.Pid); fmt.Sprint(now) == want {
		t.Error("the reaped have one")
	}
}

func waitKilled(c *child) error {
	if err := c.Wait(); c.ProcessState == nil {
		return err
	}
	return nil
}

func TestSetAffinity(t *testing.T) {
	cpus, err := sys.Affinity()
	must(t, err)
	if len(cpus) == 0 {
		t.Fatal("no processors")
	}
	c := start(t, "who", -1)
	c.ask() // it runs, with all its threads
	for _, cpu := range []int{cpus[len(cpus)-1], cpus[0]} {
		must(t, sys.SetAffinity(c.Process.Pid, []int{cpu}))
		if said := c.ask(); !strings.HasSuffix(said, fmt.Sprintf(" [%d]", cpu)) {
			t.Errorf("bound to %d, the child says %s", cpu, said)
		}
		tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", c.Process.Pid))
		must(t, err)
		for _, task := range tasks {
			var tid int
			fmt.Sscan(task.Name(), &tid)
			var set unix.CPUSet
			if unix.SchedGetaffinity(tid, &set) == nil && (set.Count() != 1 || !set.IsSet(cpu)) {
				t.Errorf("thread %d may run on %d processors", tid, set.Count())
			}
		}
	}
	for _, bad := range [][]int{nil, {-1}, {1 << 19}} {
		if err := sys.SetAffinity(c.Process.Pid, bad); !errors.Is(err, syscall.EINVAL) {
			t.Errorf("%v: got %v, want EINVAL", bad, err)
		}
	}
}

func TestMembarrier(t *testing.T) {
	err := sys.MembarrierRegister()
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skipf("missing: membarrier GLOBAL_EXPEDITED (Linux 4.16): %v", err)
	}
	must(t, err)
	must(t, sys.Membarrier())
}

func TestMonotonicIsTheKernelsClock(t *testing.T) {
	kernel := func() int64 {
		var ts unix.Timespec
		must(t, unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts))
		return ts.Nano()
	}
	const slack = 1e6 // how well the two are aligned, not how long it takes
	for range 1000 {
		before, now, after := kernel(), sys.Monotonic(), kernel()
		if now < before-slack || now > after+slack {
			t.Fatalf("%d is not between %d and %d", now, before, after)
		}
	}
}

func TestCPUTimeAndThreads(t *testing.T) {
	before := sys.CPUTime()
	x := 0
	until(t, "computing to count", func() bool {
		for i := range 1_000_000 {
			x += i
		}
		return sys.CPUTime() > before
	})
	if n := sys.Threads(); n < 1 {
		t.Errorf("%d threads, x %d", n, x)
	}
}
