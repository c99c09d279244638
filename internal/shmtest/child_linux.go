package shmtest

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"syscall"
)

// killed reports whether SIGKILL ended the process.
func killed(ps *os.ProcessState) bool {
	ws, ok := ps.Sys().(syscall.WaitStatus)
	return ok && ws.Signaled() && ws.Signal() == syscall.SIGKILL
}

// Stop stops the child with SIGSTOP and waits until all its threads stand.
func (c *Child) Stop() {
	c.t.Helper()
	if err := c.Cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		c.t.Fatalf("shmtest: stop: %v\n%s", err, c.dump())
	}
	c.AwaitStop()
}

// AwaitStop waits until all threads of a child stand that was told to stop, or
// that stops itself: one may still run on its processor after the signal.
func (c *Child) AwaitStop() {
	c.t.Helper()
	Eventually(c.t, func() bool { return stopped(c.Pid()) },
		"process %d stops", c.Pid())
}

// Cont lets a stopped child go on.
func (c *Child) Cont() {
	c.t.Helper()
	if err := c.Cmd.Process.Signal(syscall.SIGCONT); err != nil {
		c.t.Fatalf("shmtest: continue: %v\n%s", err, c.dump())
	}
}

// stopped reports whether every thread of a process is in state T.
func stopped(pid int) bool {
	tids, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	for _, e := range tids {
		tid, _ := strconv.Atoi(e.Name())
		if threadState(pid, tid) != 'T' {
			return false
		}
	}
	return len(tids) > 0
}

// threadState returns the state of a thread as /proc has it: R for running, S
// for sleeping, T for stopped; 0 for one that is not there.
func threadState(pid, tid int) byte {
	stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/stat", pid, tid))
	// PID (NAME) STATE ..., where NAME may hold anything.
	end := bytes.LastIndexByte(stat, ')')
	if end < 0 || len(stat) < end+3 {
		return 0
	}
	return stat[end+2]
}
