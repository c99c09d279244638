//go:build amd64 || arm64

package shmtest

import (
	"os"
	"runtime"
	"syscall"
	"time"
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
	mark(uintptr(pid), uintptr(tid), uintptr(markSignal))
	op()
	mark(uintptr(pid), uintptr(tid), uintptr(markSignal))
}

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

// A tracer steps one child. It lives on one thread, as ptrace wants.
type tracer struct {
	c   *Child
	pid int
}

// traced starts the child and steps it through its operation, until stop says
// so of the address of the instruction that comes next, or the operation has
// returned. Then it calls then, with the child standing there.
func traced(c *Child, stop func(pc uintptr) bool, then func()) {
	c.t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	launchTraced(c)
	// Wait4 has no timeout: a child that hangs is killed, which wait sees.
	dog := time.AfterFunc(Watchdog(), func() { c.Cmd.Process.Kill() })
	defer dog.Stop()
	tr := &tracer{c, c.Pid()}
	tr.begin()
	for i := 0; !stop(tr.pc()); i++ {
		if i == maxSteps {
			c.t.Fatalf("shmtest: no end after %d instructions, now at %#x",
				i, tr.pc())
		}
		if tr.step() {
			break
		}
	}
	then()
}

// launchTraced starts the child so that it stops at its first instruction, with
// a runtime that leaves the operation alone as far as it can.
func launchTraced(c *Child) {
	c.t.Helper()
	if c.Cmd.SysProcAttr == nil {
		c.Cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	c.Cmd.SysProcAttr.Ptrace = true
	debug := "asyncpreemptoff=1"
	if was := os.Getenv("GODEBUG"); was != "" {
		debug = was + "," + debug
	}
	// Two processors: a goroutine that becomes ready runs on the other one
	// and does not preempt the operation.
	c.Cmd.Env = append(c.Cmd.Env, tracedEnv+"=1",
		"GODEBUG="+debug, "GOGC=off", "GOMAXPROCS=2")
	c.Start()
}

// begin lets the child run to its begin mark.
func (tr *tracer) begin() {
	tr.c.t.Helper()
	if sig, _ := tr.wait(); sig != syscall.SIGTRAP {
		tr.c.t.Fatalf("shmtest: the child starts with %v", sig)
	}
	if err := syscall.PtraceSetOptions(tr.pid, optionExitKill); err != nil {
		tr.c.t.Fatalf("shmtest: ptrace options: %v", err)
	}
	sig, mark := syscall.Signal(0), false
	for !mark {
		tr.resume(syscall.PTRACE_CONT, sig)
		sig, mark = tr.wait()
	}
}

// step executes one instruction and reports whether it was the end mark.
// Signals that are not the tracer's go to the child, whose next instruction is
// then that of its handler.
func (tr *tracer) step() (end bool) {
	tr.c.t.Helper()
	sig := syscall.Signal(0)
	for {
		tr.resume(syscall.PTRACE_SINGLESTEP, sig)
		got, mark := tr.wait()
		if mark || got == syscall.SIGTRAP {
			return mark
		}
		sig = got
	}
}

// resume lets the child go on, with a signal if there is one.
func (tr *tracer) resume(request uintptr, sig syscall.Signal) {
	tr.c.t.Helper()
	if err := ptrace(request, tr.pid, 0, uintptr(sig)); err != nil {
		tr.c.t.Fatalf("shmtest: ptrace %d: %v\n%s", request, err, tr.c.dump())
	}
}

// wait waits until the child stops, and returns the signal it stops with and
// whether that is a mark.
func (tr *tracer) wait() (sig syscall.Signal, mark bool) {
	tr.c.t.Helper()
	var ws syscall.WaitStatus
	for {
		_, err := syscall.Wait4(tr.pid, &ws, syscall.WALL, nil)
		if err == nil {
			break
		}
		if err != syscall.EINTR {
			tr.c.t.Fatalf("shmtest: wait: %v", err)
		}
	}
	if !ws.Stopped() {
		tr.c.reaped = true
		tr.c.Cmd.Process.Release()
		tr.c.t.Fatalf("shmtest: the child ends (exit code %d, signal %v) "+
			"before its operation does\n%s",
			ws.ExitStatus(), ws.Signal(), tr.c.dump())
	}
	sig = ws.StopSignal()
	return sig, sig == markSignal && raisedByThread(tr.pid)
}

// pc returns the address of the child's next instruction.
func (tr *tracer) pc() uintptr {
	tr.c.t.Helper()
	pc, err := programCounter(tr.pid)
	if err != nil {
		tr.c.t.Fatalf("shmtest: ptrace registers: %v", err)
	}
	if runtime.FuncForPC(pc) == nil {
		// The kernel's vDSO, or a program that is loaded anywhere: the
		// place in the page is the same in every run.
		pc %= pageSize
	}
	return pc
}

// detachStopped ends the tracing of a child that stands, with a stop signal for
// the thread that was traced, so that it takes that before any instruction.
func detachStopped(c *Child) {
	c.t.Helper()
	err := syscall.Tgkill(c.Pid(), c.Pid(), syscall.SIGSTOP)
	if err == nil {
		err = syscall.PtraceDetach(c.Pid())
	}
	if err != nil {
		c.t.Fatalf("shmtest: stop and detach: %v", err)
	}
}
