//go:build linux

package proc_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/sluice-ipc/sluice/conn"
	"github.com/sluice-ipc/sluice/internal/shmtest"
	"github.com/sluice-ipc/sluice/ring"
	"github.com/sluice-ipc/sluice/shm"
	"github.com/sluice-ipc/sluice/shm/proc"
)

// A child that cannot be started leaves nothing open, and what had moved to it is
// seen as dead.
func TestProgramThatIsNotThere(t *testing.T) {
	shmtest.NoLeaks(t)
	s := segment(t, shm.Options{})
	q := closing(t)(ring.AnonymousQueue[int](t.Name(), nil)).(*ring.Queue[int])
	for _, c := range []struct {
		change func(p *proc.Process)
		moved  bool
	}{
		{func(p *proc.Process) { p.Cmd.Path = "/no/such/program" }, true},
		{func(p *proc.Process) { p.Cmd.Dir = "/no/such/directory" }, true},
		{func(p *proc.Process) { p.Cmd.Err = fs.ErrNotExist }, false},
	} {
		ours, theirs := pipe(t)
		p := newProcess("twice", q, q, ring.JoinableQueue[int]{Queue: q}, ring.JoinableQueue[int]{Queue: q},
			theirs, theirs, 7, q)
		if err := shm.Pass(p.Cmd, "by hand", s); err != nil {
			t.Fatal(err)
		}
		c.change(p)
		err := p.Start()
		if !errors.Is(err, fs.ErrNotExist) || !strings.HasPrefix(err.Error(), "proc: start twice: ") {
			t.Errorf("%v", err)
		}
		<-p.Done()
		if err2 := p.Wait(bg); err2 != err || p.Alive() || p.ExitCode() != -1 || p.Pid() != 0 ||
			p.String() != "proc.Process(twice, failed)" {
			t.Errorf("%v: %v", p, err2)
		}
		if err := p.Start(); !errors.Is(err, proc.ErrStarted) {
			t.Errorf("a second start: %v", err)
		}
		for _, f := range p.Cmd.ExtraFiles { // else they would be closed some day
			if err := f.Close(); !errors.Is(err, os.ErrClosed) {
				t.Errorf("%s was open: %v", f.Name(), err)
			}
		}
		if !c.moved {
			if err := theirs.Send(bg, 1); err != nil {
				t.Errorf("has moved to nowhere: %v", err)
			}
			continue
		}
		if v, err := ours.Recv(bg); err != io.EOF || ours.Peer().State != ring.PeerDied {
			t.Errorf("%v, %v, the peer is %v", v, err, ours.Peer().State)
		}
	}
}

// What is passed to a Cmd by hand is closed, too, when the arguments are wrong.
func TestFailedStartClosesWhatWasPassed(t *testing.T) {
	shmtest.NoLeaks(t)
	ours, theirs := pipe(t)
	p := newProcess("any") // too few
	if err := shm.Pass(p.Cmd, "by hand", theirs); err != nil {
		t.Fatal(err)
	}
	if err := p.Start(); err == nil {
		t.Fatal("started")
	}
	if v, err := ours.Recv(bg); err != io.EOF {
		t.Errorf("%v, %v", v, err)
	}
}

// An end that is in use stays where it is.
func TestEndInUseIsNotPassed(t *testing.T) {
	shmtest.NoLeaks(t)
	ours, theirs := pipe(t)
	if _, err := theirs.Reserve(bg, 8); err != nil {
		t.Fatal(err)
	}
	p, err := proc.Start("hold", theirs)
	if p != nil || !errors.Is(err, ring.ErrBusy) {
		t.Errorf("%v, %v", p, err)
	}
	if err := theirs.Commit(8); err != nil {
		t.Error(err)
	}
	if _, err := ours.RecvBytes(bg); err != nil {
		t.Error(err)
	}
	theirs.Close()
	if _, err := proc.Start("hold", theirs); !errors.Is(err, conn.ErrClosed) {
		t.Errorf("a closed end: %v", err)
	}
}

func init() { roles["replaced"] = replaced }

// replaced starts a child after its own program was replaced.
func replaced(args []string) int {
	program := args[0]
	for _, how := range []string{"as it was", "moved", "replaced", "removed"} {
		var err error
		switch how {
		case "moved":
			err = os.Rename(program, program+".moved")
		case "replaced":
			err = errors.Join(os.WriteFile(program, []byte("#!/bin/sh\nexit 9\n"), 0o700), os.Rename(program, program+".moved"))
		case "removed":
			err = os.Remove(program + ".moved")
		}
		p := proc.New("fail", how)
		if err == nil {
			err = p.Start()
		}
		if err == nil {
			err = p.Wait(bg)
		}
		shmtest.Say("%v", err)
	}
	return 0
}

// The child is the program that runs, whatever has become of its file.
func TestProgramThatWasReplaced(t *testing.T) {
	if os.Getenv("SLUICE_EMULATED") != "" {
		t.Skip("missing: a program that needs no emulator")
	}
	shmtest.NoLeaks(t)
	program := filepath.Join(t.TempDir(), "program")
	exe, err := os.ReadFile("/proc/self/exe")
	if err == nil {
		err = os.WriteFile(program, exe, 0o700)
	}
	if err != nil {
		t.Fatal(err)
	}
	c := shmtest.Command(t, "replaced", program)
	c.Cmd.Path = program
	c.Start()
	for _, how := range []string{"as it was", "moved", "replaced", "removed"} {
		if line := c.Line(); !strings.HasPrefix(line, "proc: fail (process ") || !strings.HasSuffix(line, "): "+how) {
			t.Errorf("%s: %s", how, line)
		}
	}
	c.Exit()
}

// A process whose Start fails was never alive, not for a moment.
func TestNeverAlive(t *testing.T) {
	for range 1000 {
		p := proc.New("no such function")
		var all sync.WaitGroup
		all.Go(func() {
			for over := false; !over; {
				select {
				case <-p.Done():
					over = true
				default:
				}
				if p.Alive() {
					t.Errorf("%v is alive", p)
					return
				}
			}
		})
		if err := p.Start(); err == nil {
			t.Error("started")
		}
		all.Wait()
	}
}
