//go:build amd64 || arm64

package sys

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// From linux/membarrier.h; x/sys has none of them.
const (
	membarrierGlobalExpedited         = 1 << 1
	membarrierRegisterGlobalExpedited = 1 << 2
)

// MembarrierRegister makes this process one that Membarrier reaches, for as
// long as it lives. errors.ErrUnsupported: the kernel cannot.
func MembarrierRegister() error {
	return membarrier(membarrierRegisterGlobalExpedited)
}

// Membarrier returns when every running thread of every process that has
// called MembarrierRegister has gone through a full memory barrier. It costs
// a microsecond on a small machine, and interrupts the others.
func Membarrier() error { return membarrier(membarrierGlobalExpedited) }

func membarrier(cmd uintptr) error {
	_, _, errno := unix.Syscall(unix.SYS_MEMBARRIER, cmd, 0, 0)
	switch errno {
	case 0:
		return nil
	case unix.ENOSYS, unix.EINVAL, unix.EPERM:
		return unsupported("membarrier", errno)
	}
	return fmt.Errorf("sys: membarrier: %w", errno)
}

// Yield lets another thread have this CPU, if one wants it.
func Yield() { unix.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0) }

// Affinity lists the CPUs that this process may run on.
func Affinity() ([]int, error) {
	// The fixed set holds 1024; the kernel says EINVAL if it needs more.
	for size := 1024; ; size *= 4 {
		set := unix.NewCPUSet(size)
		err := unix.SchedGetaffinityDynamic(0, set)
		if err == unix.EINVAL && size < 1<<20 {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("sys: get affinity: %w", err)
		}
		var cpus []int
		for cpu := range size {
			if set.IsSet(cpu) {
				cpus = append(cpus, cpu)
			}
		}
		return cpus, nil
	}
}

// SetAffinity binds every thread of a process (0: this one) to the given
// CPUs; threads that it starts later inherit that.
func SetAffinity(pid int, cpus []int) error {
	top := 0
	for _, cpu := range cpus {
		if cpu < 0 {
			return fmt.Errorf("sys: set affinity: cpu %d: %w", cpu, unix.EINVAL)
		}
		top = max(top, cpu)
	}
	set := unix.NewCPUSet(top + 1)
	for _, cpu := range cpus {
		set.Set(cpu)
	}
	// A thread that is not bound yet may start another meanwhile: go round
	// until there is none that we have not seen.
	seen := map[int]bool{}
	for range 100 {
		tids, err := threads(pid)
		if err != nil {
			return fmt.Errorf("sys: set affinity of %d: %w", pid, err)
		}
		fresh := false
		for _, tid := range tids {
			if seen[tid] {
				continue
			}
			seen[tid], fresh = true, true
			err := unix.SchedSetaffinityDynamic(tid, set)
			if err != nil && err != unix.ESRCH {
				return fmt.Errorf("sys: set affinity of thread %d: %w", tid, err)
			}
		}
		if !fresh {
			return nil
		}
	}
	return fmt.Errorf("sys: set affinity of %d: threads keep appearing: %w", pid, unix.EAGAIN)
}
