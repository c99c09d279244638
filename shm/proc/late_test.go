//go:build linux

package proc_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-ipc/sluice/internal/shmtest"
	"github.com/sluice-ipc/sluice/shm/proc"
)

func init() {
	proc.Register("stay", func() { fmt.Println("here"); select {} })
	roles["parent of one"] = parentOfOne
}

// parentOfOne starts a child which says that it is here, to the test, and stays.
func parentOfOne(args []string) int {
	p := newProcess("stay")
	p.Cmd.Stdout = os.NewFile(3, "output")
	switch args[0] {
	case "without Main":
		p.Cmd.Env = append(os.Environ(), noMainEnv+"=stay")
	case "in a namespace":
		p.Cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID}
	}
	err := p.Start()
	// EINVAL: the kernel, or an emulator, has no namespaces; ENOSPC: none are left.
	if errors.Is(err, os.ErrPermission) || errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOSPC) {
		shmtest.Say("not permitted")
		return 0
	}
	if err != nil {
		shmtest.Say("%v", err)
		return 1
	}
	shmtest.Say("%d", p.Pid())
	shmtest.Hear()
	return 0
}

// A child that has not come to Main dies with its parent as well, and so does
// the first process of a namespace, which SIGKILL from itself does not reach.
func TestUnusualChildrenDieWithTheirParent(t *testing.T) {
	for _, how := range []string{"without Main", "in a namespace"} {
		t.Run(how, func(t *testing.T) {
			shmtest.NoLeaks(t)
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			c := shmtest.Command(t, "parent of one", how)
			c.Cmd.ExtraFiles = []*os.File{w}
			c.Start()
			w.Close()
			line := c.Line()
			if line == "not permitted" {
				t.Skip("missing: leave to make PID namespaces")
			}
			var pid int
			if _, err := fmt.Sscan(line, &pid); err != nil {
				t.Fatal(line)
			}
			r.SetReadDeadline(time.Now().Add(shmtest.Watchdog()))
			out := bufio.NewReader(r)
			if s, err := out.ReadString('\n'); strings.TrimSpace(s) != "here" {
				t.Fatalf("the child says %q, %v", s, err)
			}
			c.Kill()
			if _, err := io.ReadAll(out); err != nil {
				syscall.Kill(pid, syscall.SIGKILL)
				t.Errorf("the child lives on: %v", err)
			}
		})
	}
}
