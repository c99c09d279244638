//go:build linux && (amd64 || arm64)

package sys

import (
	"fmt"
	"math"
	"runtime"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// From linux/futex.h; x/sys has none of them.
const (
	futexWake       = 1
	futexWaitBitset = 9
	futexPrivate    = 128

	futex2SizeU32 = 2
	futex2Private = 128

	matchAny = math.MaxUint32
)

// futexWaits and futexWakes count the calls of this process, on separate
// lines: sleepers and wakers are different goroutines.
var (
	futexWaits atomic.Uint64
	_          [120]byte
	futexWakes atomic.Uint64
	_          [120]byte
)

// FutexCalls returns how many futex waits and wakes this process has asked
// the kernel for, of all kinds.
func FutexCalls() (waits, wakes uint64) {
	return futexWaits.Load(), futexWakes.Load()
}

// FutexWait sleeps while *addr is val, until it is woken or the deadline, an
// absolute CLOCK_MONOTONIC time in nanoseconds, has passed (ErrTimeout); 0 is
// no deadline, and a negative one has passed. It returns nil when woken, when
// *addr was another value, and when interrupted: callers look again and
// decide for themselves.
//
// The word may lie in memory shared with other processes. An error other than
// ErrTimeout means that the word cannot be waited on: EFAULT where the file
// under the mapping was truncated, EINVAL for a misaligned address.
//
// The call tells the scheduler that it sleeps, so it holds an OS thread but
// no P.
func FutexWait(addr *uint32, val uint32, deadline int64) error {
	futexWaits.Add(1)
	_, _, errno := unix.Syscall6(unix.SYS_FUTEX,
		uintptr(unsafe.Pointer(addr)), futexWaitBitset, uintptr(val),
		uintptr(unsafe.Pointer(timespec(deadline, new(unix.Timespec)))),
		0, matchAny)
	return waitError("futex wait", errno)
}

// timespec converts a deadline, into ts; nil when there is none.
func timespec(deadline int64, ts *unix.Timespec) *unix.Timespec {
	if deadline == 0 {
		return nil
	}
	*ts = unix.NsecToTimespec(max(deadline, 0))
	return ts
}

func waitError(op string, errno unix.Errno) error {
	switch errno {
	case 0, unix.EAGAIN, unix.EINTR:
		return nil
	case unix.ETIMEDOUT:
		return ErrTimeout
	}
	return fmt.Errorf("sys: %s: %w", op, errno)
}

// FutexWake wakes at most n of those who sleep on addr, in any process, and
// returns how many.
func FutexWake(addr *uint32, n int) (woken int, err error) {
	return wake(addr, futexWake, n)
}

// FutexWakePrivate wakes those of this process that sleep on addr as the
// private word of FutexWait2.
func FutexWakePrivate(addr *uint32, n int) (woken int, err error) {
	return wake(addr, futexWake|futexPrivate, n)
}

// wake does not tell the scheduler: the call never sleeps.
func wake(addr *uint32, op uintptr, n int) (int, error) {
	futexWakes.Add(1)
	n = min(n, math.MaxInt32)
	r, _, errno := unix.RawSyscall6(unix.SYS_FUTEX,
		uintptr(unsafe.Pointer(addr)), op, uintptr(n), 0, 0, 0)
	if errno != 0 {
		return 0, fmt.Errorf("sys: futex wake: %w", errno)
	}
	return int(r), nil
}

// waiter is struct futex_waitv. The address is a pointer here, which on 64
// bits has the layout of the kernel's __u64, so that the collector sees it.
type waiter struct {
	val      uint64
	addr     unsafe.Pointer
	flags    uint32
	reserved uint32
}

var _ [24]struct{} = [unsafe.Sizeof(waiter{})]struct{}{}

// Whether the kernel has futex_waitv: not known, yes, no.
const (
	waitvUnknown = iota
	waitvYes
	waitvNo
)

var (
	waitvState atomic.Int32
	waitvOff   atomic.Bool
)

// HaveWaitv reports whether FutexWait2 works: the kernel has futex_waitv
// (Linux 5.16), no sandbox refuses it, and DisableWaitv is not on.
func HaveWaitv() bool {
	if waitvOff.Load() {
		return false
	}
	s := waitvState.Load()
	if s == waitvUnknown {
		s = probeWaitv()
		waitvState.Store(s)
	}
	return s == waitvYes
}

// DisableWaitv makes this process do without futex_waitv, as on a kernel that
// lacks it. It is for tests of the fallback and spares those already asleep.
func DisableWaitv(off bool) { waitvOff.Store(off) }

// probeWaitv waits for a word to stop being 1 that is 0: EAGAIN, at once,
// from a kernel that has the call.
func probeWaitv() int32 {
	word := new(uint32)
	v := [1]waiter{{1, unsafe.Pointer(word), futex2SizeU32 | futex2Private, 0}}
	_, _, errno := unix.RawSyscall6(unix.SYS_FUTEX_WAITV,
		uintptr(unsafe.Pointer(&v)), 1, 0, 0, unix.CLOCK_MONOTONIC, 0)
	if errno == unix.EAGAIN {
		return waitvYes
	}
	return waitvNo
}

// FutexWait2 is FutexWait on two words at once: it sleeps while *shared is
// val and *private is pval. The private word is on this process's heap (FutexWakePrivate),
// typically to tell the sleeper that it is cancelled. The error satisfies
// errors.ErrUnsupported where HaveWaitv is false.
func FutexWait2(shared *uint32, val uint32, private *uint32, pval uint32,
	deadline int64) error {
	if !HaveWaitv() {
		return errNoWaitv
	}
	futexWaits.Add(1)
	v := [2]waiter{
		{uint64(val), unsafe.Pointer(shared), futex2SizeU32, 0},
		{uint64(pval), unsafe.Pointer(private), futex2SizeU32 | futex2Private, 0},
	}
	_, _, errno := unix.Syscall6(unix.SYS_FUTEX_WAITV,
		uintptr(unsafe.Pointer(&v)), 2, 0,
		uintptr(unsafe.Pointer(timespec(deadline, new(unix.Timespec)))),
		unix.CLOCK_MONOTONIC, 0)
	runtime.KeepAlive(shared)
	runtime.KeepAlive(private)
	return waitvError(errno)
}

var errNoWaitv = unsupported("futex_waitv", nil)

// waitvError also notes that the call is gone: a sandbox may be entered late.
func waitvError(errno unix.Errno) error {
	if errno == unix.ENOSYS || errno == unix.EPERM {
		waitvState.Store(waitvNo)
		return errNoWaitv
	}
	return waitError("futex_waitv", errno)
}

// VectorSize is how many words a Vector can hold.
const VectorSize = 128

// A Vector is a list of words to sleep on together.
type Vector struct {
	v [VectorSize]waiter
	n int
}

// Reset empties the list.
func (v *Vector) Reset() {
	clear(v.v[:v.n])
	v.n = 0
}

// Add adds a word, and what it says while the caller is to sleep. A private one
// lies on this process's heap and is woken with FutexWakePrivate.
func (v *Vector) Add(addr *uint32, val uint32, private bool) {
	flags := uint32(futex2SizeU32)
	if private {
		flags |= futex2Private
	}
	v.v[v.n] = waiter{uint64(val), unsafe.Pointer(addr), flags, 0}
	v.n++
}

// Wait sleeps until one of the words is woken or says something else. Which
// one, the caller finds out by looking. The error satisfies
// errors.ErrUnsupported where HaveWaitv is false.
func (v *Vector) Wait() error {
	if !HaveWaitv() {
		return errNoWaitv
	}
	futexWaits.Add(1)
	_, _, errno := unix.Syscall6(unix.SYS_FUTEX_WAITV,
		uintptr(unsafe.Pointer(&v.v)), uintptr(v.n), 0, 0, unix.CLOCK_MONOTONIC, 0)
	runtime.KeepAlive(v)
	return waitvError(errno)
}
