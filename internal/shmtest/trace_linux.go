//go:build amd64 || arm64

package shmtest

import (
	"os"
	"runtime"
	"syscall"
)

const canStep = true

// markSignal is what the child raises around its operation. Outside a tracer it
// does nothing, so a child that was let go passes its end mark unharmed.
const markSignal = syscall.SIGWINCH

// isTraced is set in a child that single-stepping started.
var isTraced = os.Getenv(tracedEnv) != ""

func init() {
	if !isTraced {
		return
	}
	// Only the first thread is traced. Locked in an init function, the main
	// goroutine stays on it.
	runtime.LockOSThread()
	// Sampling would put a detour at a random allocation.
	runtime.MemProfileRate = 0
	os.Unsetenv(tracedEnv)
}

// Trace runs op, and in a child started by [Point.Kill] or [Point.Stop] marks
// its begin and its end. It must be called by the main goroutine, which is the
// one that runs roles, and once.
func Trace(op func()) {
	if !isTraced {
		op()
		return
	}
	pid, tid := os.Getpid(), syscall.Gettid()
	if pid != tid {
		panic("shmtest: Trace outside the main goroutine")
	}
	growStack(64)
	runtime.Gosched() // begin with a full slice of time
	warm = new([64]byte)
	mark(uintptr(pid), uintptr(tid), uintptr(markSignal))
	op()
	mark(uintptr(pid), uintptr(tid), uintptr(markSignal))
}

// warm is allocated in front of the operation: the first allocation after a change
// of MemProfileRate is sampled.
var warm *[64]byte

// mark sends a signal to a thread: tgkill, with next to no instruction of ours
// around the system call.
func mark(pid, tid, sig uintptr)

// growStack makes the stack large now, so that its growth is not a part of the
// operation.
//
//go:noinline
func growStack(kib int) byte {
	var frame [1024]byte
	if kib == 0 {
		return frame[0]
	}
	frame[kib] = growStack(kib-1) + 1
	return frame[kib]
}
