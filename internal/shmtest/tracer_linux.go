//go:build amd64 || arm64

package shmtest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"syscall"
	"time"
)

// patience is how long a system call of the operation may take before it is
// taken for one that waits for another thread.
const patience = 20 * time.Millisecond

// A tracer steps one child. It lives on one thread, as ptrace wants.
//
// While it steps, the other threads of the child are frozen: the runtime's
// monitor would find that the operation takes for ever and put the scheduler
// between its instructions. Only if the operation sleeps are they let go, for
// it may wait for one of them.
type tracer struct {
	c      *Child
	pid    int
	frozen []int     // other threads that we hold
	end    time.Time // when the watchdog bites
}

// traced starts the child, lets it run to its begin mark, calls drive to bring it
// to its point, and then, with the child standing there.
func traced(c *Child, drive, then func(*tracer)) {
	c.t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	launchTraced(c)
	tr := &tracer{c: c, pid: c.Pid(), end: time.Now().Add(Watchdog())}
	defer tr.release()
	tr.begin()
	tr.freeze()
	drive(tr)
	then(tr)
}

// stepTo steps the child until stop says so of the place that comes next, its
// arrivals counted from here on. False means that the operation has returned.
func (tr *tracer) stepTo(stop func(place) bool) bool {
	seen := map[uintptr]int{}
	for i := 0; ; i++ {
		pc := tr.pc()
		same := samePlace(pc)
		seen[same]++
		if stop(place{same, seen[same]}) {
			return true
		}
		if i == maxSteps || i%1024 == 0 && time.Now().After(tr.end) {
			tr.c.t.Fatalf("shmtest: no end after %d instructions, now %s",
				i, whereIs(pc))
		}
		if tr.step(pc) {
			return false
		}
	}
}

// runTo brings the child to a place by a breakpoint, and reports whether it came
// by. For each arrival that takes a few turns of tracer and child, where stepTo
// takes one for each instruction, and a busy machine makes them wait each time.
//
// The breakpoint is in memory that all threads execute, so it needs the others
// frozen. If the operation needs them it runs on to its return without it.
func (tr *tracer) runTo(at place) (met bool) {
	sig := syscall.Signal(0)
	gone := false // the breakpoint, for good
	for n := 0; ; {
		for !gone && tr.pc() == at.pc {
			if n++; n == at.nth {
				return true
			}
			if tr.step(at.pc) {
				return false
			}
		}
		var code []byte
		if !gone {
			code = tr.patch(tr.pid, at.pc, breakpoint)
		}
		tr.resume(syscall.PTRACE_CONT, sig)
		got, mark := tr.wait(func() {
			if !gone && len(tr.frozen) > 0 {
				tr.patch(tr.frozen[0], at.pc, code)
				gone = true
			}
			tr.release()
		})
		if !gone {
			tr.patch(tr.pid, at.pc, code)
		}
		if mark {
			return false
		}
		sig = got
		if got == syscall.SIGTRAP && tr.pc() == at.pc+breakpointMoves {
			tr.setPC(at.pc)
			sig = 0
		}
	}
}

// patch writes code at an address of the child, by way of one of its threads that
// stands, and returns what was there.
func (tr *tracer) patch(tid int, pc uintptr, code []byte) (was []byte) {
	was = make([]byte, len(code))
	_, err := syscall.PtracePeekText(tid, pc, was)
	if err == nil {
		_, err = syscall.PtracePokeText(tid, pc, code)
	}
	if err != nil {
		tr.c.t.Fatalf("shmtest: breakpoint %s: %v", whereIs(pc), err)
	}
	return was
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
	// One processor, so that the operation always finds the same caches.
	c.Cmd.Env = append(c.Cmd.Env, tracedEnv+"=1",
		"GODEBUG="+debug, "GOGC=off", "GOMAXPROCS=1")
	launch := c.Launch
	c.Launch = func(cmd *exec.Cmd) error {
		err := launch(cmd)
		if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOSYS) {
			return fmt.Errorf("single-stepping (ptrace) is forbidden here: %w", err)
		}
		return err
	}
	c.Start()
}

// begin lets the child run to its begin mark.
func (tr *tracer) begin() {
	tr.c.t.Helper()
	// This wait has no timeout: a child that hangs is killed, which it sees.
	dog := time.AfterFunc(time.Until(tr.end), func() { tr.c.Cmd.Process.Kill() })
	defer dog.Stop()
	if sig, _ := tr.wait(nil); sig != syscall.SIGTRAP {
		tr.c.t.Fatalf("shmtest: the child starts with %v", sig)
	}
	if err := syscall.PtraceSetOptions(tr.pid, optionExitKill); err != nil {
		tr.c.t.Fatalf("shmtest: ptrace options: %v", err)
	}
	sig, mark := syscall.Signal(0), false
	for !mark {
		tr.resume(syscall.PTRACE_CONT, sig)
		sig, mark = tr.wait(nil)
	}
}

// freeze stops the child's other threads, also those that come while it does.
// After that no more come: the runtime does not start threads from one that a
// goroutine is locked to, but from another one kept for it, which is frozen.
func (tr *tracer) freeze() {
	tr.c.t.Helper()
	for {
		tids, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", tr.pid))
		if err != nil {
			tr.c.t.Fatalf("shmtest: %v", err)
		}
		more := false
		for _, e := range tids {
			tid, _ := strconv.Atoi(e.Name())
			if tid != tr.pid && !slices.Contains(tr.frozen, tid) {
				more = tr.freezeThread(tid) || more
			}
		}
		if !more {
			return
		}
	}
}

// freezeThread stops one thread. False means that it has ended.
func (tr *tracer) freezeThread(tid int) bool {
	tr.c.t.Helper()
	err := ptrace(seize, tid, 0, optionExitKill)
	if err == syscall.ESRCH {
		return false
	}
	if err == nil {
		err = ptrace(interrupt, tid, 0, 0)
	}
	if err != nil && err != syscall.ESRCH {
		tr.c.t.Fatalf("shmtest: freeze thread %d: %v", tid, err)
	}
	_, ws, err := wait4(tid, 0)
	if err != nil || !ws.Stopped() {
		return false
	}
	tr.frozen = append(tr.frozen, tid)
	return true
}

// release lets go of the frozen threads: of the living, and of the dead, whose
// process cannot be reaped before them.
func (tr *tracer) release() {
	for _, tid := range tr.frozen {
		if ptrace(syscall.PTRACE_DETACH, tid, 0, 0) != nil {
			wait4(tid, 0)
		}
	}
	tr.frozen = nil
}

// step executes one instruction and reports whether it was the end mark.
// Signals that are not the tracer's go to the child, whose next instruction is
// then that of its handler.
func (tr *tracer) step(pc uintptr) (end bool) {
	sig := syscall.Signal(0)
	for {
		var asleep func()
		if tr.maySleep(pc) {
			asleep = tr.release
		}
		tr.resume(syscall.PTRACE_SINGLESTEP, sig)
		got, mark := tr.wait(asleep)
		if mark || got == syscall.SIGTRAP {
			return mark
		}
		sig = got
		pc = tr.pc()
	}
}

// maySleep reports whether the instruction at pc is a system call.
func (tr *tracer) maySleep(pc uintptr) bool {
	var code [4]byte
	n, err := syscall.PtracePeekText(tr.pid, pc, code[:])
	return err != nil || n < len(code) || isSyscall(code)
}

// patient waits for a child that may sleep to stop. It calls asleep when it does
// sleep and has done so for some time.
func (tr *tracer) patient(asleep func()) (syscall.WaitStatus, error) {
	begun := time.Now()
	for i := 0; ; i++ {
		pid, ws, err := wait4(tr.pid, syscall.WNOHANG)
		if pid != 0 || err != nil {
			return ws, err
		}
		if i < 100 {
			continue
		}
		if time.Since(begun) > patience && threadState(tr.pid, tr.pid) != 'R' {
			asleep()
			begun = time.Now()
		}
		if time.Now().After(tr.end) {
			tr.c.t.Fatalf("shmtest: the operation sleeps for ever\n%s",
				tr.c.dump())
		}
		time.Sleep(50 * time.Microsecond)
	}
}

// resume lets the child's first thread go on, with a signal if there is one.
func (tr *tracer) resume(request uintptr, sig syscall.Signal) {
	if err := ptrace(request, tr.pid, 0, uintptr(sig)); err != nil {
		tr.c.t.Fatalf("shmtest: ptrace %d: %v\n%s", request, err, tr.c.dump())
	}
}

// wait waits until the child stops, and returns the signal it stops with and
// whether that is a mark. If asleep is not nil the child may sleep, see patient.
func (tr *tracer) wait(asleep func()) (sig syscall.Signal, mark bool) {
	var ws syscall.WaitStatus
	var err error
	if asleep != nil {
		ws, err = tr.patient(asleep)
	} else {
		_, ws, err = wait4(tr.pid, 0)
	}
	if err != nil {
		tr.c.t.Fatalf("shmtest: wait: %v", err)
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

// wait4 is the system call, started again when a signal of ours ends it.
func wait4(tid, options int) (pid int, ws syscall.WaitStatus, err error) {
	for {
		pid, err = syscall.Wait4(tid, &ws, syscall.WALL|options, nil)
		if err != syscall.EINTR {
			return pid, ws, err
		}
	}
}

// pc returns the address of the child's next instruction.
func (tr *tracer) pc() uintptr {
	var r registers
	if err := r.get(tr.pid); err != nil {
		tr.c.t.Fatalf("shmtest: ptrace registers: %v", err)
	}
	return uintptr(*r.pc())
}

// setPC makes an address that of the child's next instruction.
func (tr *tracer) setPC(pc uintptr) {
	var r registers
	err := r.get(tr.pid)
	if err == nil && *r.pc() != uint64(pc) {
		*r.pc() = uint64(pc)
		err = r.set(tr.pid)
	}
	if err != nil {
		tr.c.t.Fatalf("shmtest: ptrace registers: %v", err)
	}
}

// samePlace returns what is the same of an address in every run. The kernel's
// vDSO, or a program that is loaded anywhere, lies elsewhere in each: the place
// in the page is the same.
func samePlace(pc uintptr) uintptr {
	if runtime.FuncForPC(pc) == nil {
		return pc % pageSize
	}
	return pc
}

// kill kills the child where it stands.
func (tr *tracer) kill() {
	tr.c.t.Helper()
	if err := tr.c.Cmd.Process.Kill(); err != nil {
		tr.c.t.Fatalf("shmtest: kill: %v", err)
	}
	tr.release()
}

// stop ends the tracing of a child that stands, with a stop signal for its first
// thread, so that it takes that before any instruction, and all threads stop.
func (tr *tracer) stop() {
	tr.c.t.Helper()
	err := syscall.Tgkill(tr.pid, tr.pid, syscall.SIGSTOP)
	if err == nil {
		err = syscall.PtraceDetach(tr.pid)
	}
	if err != nil {
		tr.c.t.Fatalf("shmtest: stop and detach: %v", err)
	}
	tr.release()
}
