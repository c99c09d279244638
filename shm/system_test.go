//go:build linux

package shm

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-ipc/sluice/internal/shmtest"
	"github.com/sluice-ipc/sluice/internal/sys"
)

func init() {
	roles["without proc"] = withoutProc
	roles["starved"] = starved
}

// probeNamespace tells whether a process in new namespaces can be started.
func probeNamespace(flags uintptr) error {
	cmd := exec.Command("true")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: flags}
	return cmd.Run()
}

// withoutProc hides /proc from itself and sees what works.
func withoutProc(args []string) int {
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return complain("%v", err)
	}
	if err := syscall.Mount("none", "/proc", "tmpfs", 0, ""); err != nil {
		return complain("%v", err)
	}
	for what, f := range map[string]func() (*Segment, error){
		"Create":       func() (*Segment, error) { return Create(args[1], &Options{Size: 1}) },
		"Open":         func() (*Segment, error) { return Open(args[0], nil) },
		"OpenOrCreate": func() (*Segment, error) { return OpenOrCreate(args[0], &Options{Size: 1}) },
		"Anonymous":    func() (*Segment, error) { return Anonymous("x", &Options{Size: 1}) },
	} {
		if _, err := f(); !errors.Is(err, ErrNoProc) || errors.Is(err, fs.ErrNotExist) {
			return complain("%s: %v, want ErrNoProc", what, err)
		}
	}
	return 0
}

func TestWithoutProc(t *testing.T) {
	noLeaks(t)
	if err := probeNamespace(syscall.CLONE_NEWNS); err != nil {
		t.Skipf("making a mount namespace is not permitted here: %v", err)
	}
	old, fresh := testName(t), testName(t)
	s := must(Create(old, &Options{Size: 1}))(t)
	s.Close()
	c := shmtest.Command(t, "without proc", old, fresh)
	c.Cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	c.Start()
	c.Exit()
	o := closing(t, must(Open(old, nil))(t))
	if o.UUID() != s.UUID() {
		t.Error("the segment was replaced by who could not open it")
	}
	if _, err := Open(fresh, nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("something was made: %v", err)
	}
}

// starved may open fewer descriptors than it needs, in all degrees, and must
// fail in good order.
func starved(args []string) int {
	if r, w, err := os.Pipe(); err == nil { // starts the runtime's poller
		r.Close()
		w.Close()
	}
	base := len(shmtest.FDs())
	failed, worked := 0, 0
	for k := range 24 {
		ok, err := starve(k, args)
		if err == nil {
			err = nothingOpen(base)
		}
		if err != nil {
			return complain("with %d descriptors: %v", k, err)
		}
		if !ok {
			failed, worked = failed+1, 0
		} else {
			worked++
		}
	}
	if failed < 4 || worked == 0 {
		return complain("%d degrees of starvation, %d without", failed, worked)
	}
	return 0
}

// starve tries everything with descriptors below k only, and reports whether
// all of it worked.
func starve(k int, args []string) (ok bool, err error) {
	lim := syscall.Rlimit{Cur: uint64(k), Max: 1000}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &lim); err != nil {
		return false, err
	}
	defer func() {
		lim.Cur = lim.Max
		syscall.Setrlimit(syscall.RLIMIT_NOFILE, &lim)
	}()
	ok = true
	for _, f := range []func() (*Segment, error){
		func() (*Segment, error) { return Create(args[1], &Options{Size: 1}) },
		func() (*Segment, error) { return OpenOrCreate(args[1], &Options{Size: 1}) },
		func() (*Segment, error) { return Open(args[0], nil) },
		func() (*Segment, error) { return Anonymous("x", &Options{Size: 1}) },
	} {
		s, err := f()
		if err == nil {
			s.look(true)
			if err := errors.Join(s.Err(), s.Close()); err != nil {
				return false, err
			}
			continue
		}
		ok = false
		if !errors.Is(err, syscall.EMFILE) {
			return false, fmt.Errorf("%w, want EMFILE", err)
		}
	}
	return ok, nil
}

// nothingOpen waits until no more than base descriptors are open: a watcher
// closes its pidfd a moment after the segment.
func nothingOpen(base int) error {
	end := time.Now().Add(shmtest.Watchdog())
	for len(shmtest.FDs()) > base && time.Now().Before(end) {
		runtime.Gosched()
	}
	if fds := shmtest.FDs(); len(fds) != base {
		return fmt.Errorf("%d are open, want %d: %q", len(fds), base, fds)
	}
	if maps := shmtest.Mappings(); len(maps) != 0 {
		return fmt.Errorf("mappings %q", maps)
	}
	return nil
}

func TestOutOfDescriptors(t *testing.T) {
	noLeaks(t)
	s := closing(t, must(Create(testName(t), &Options{Size: 1}))(t))
	c := shmtest.Start(t, "starved", s.Name(), testName(t))
	c.Exit()
	if p := s.Participants(); len(p) != 1 {
		t.Errorf("participants: %+v", p)
	}
}

// Somebody holds the locks of a name for ever: nobody hangs.
func TestNameThatIsHeld(t *testing.T) {
	noLeaks(t)
	defer func(d time.Duration) { patience = d }(patience)
	patience = 100 * time.Millisecond
	name := testName(t)
	r := &recorder{}
	o := r.options()
	o.MaxParticipants = 1
	s := must(Create(name, o))(t)
	c := shmtest.Command(t, "member", name)
	s.Close()
	c.Start()
	hearID(t, c)
	c.Kill()
	for what, off := range map[string]int64{"the whole file": 0, "the name": lockName} {
		f := must(os.OpenFile(filepath.Join(shmDir, prefix+name), os.O_RDWR, 0))(t)
		if err := sys.LockOFD(int(f.Fd()), off, 0); err != nil {
			t.Fatal(err)
		}
		if _, err := Create(name, o); !errors.Is(err, ErrBusy) {
			t.Errorf("%s is locked: Create: %v, want ErrBusy", what, err)
		}
		if err := Remove(name); !errors.Is(err, ErrBusy) {
			t.Errorf("%s is locked: Remove: %v, want ErrBusy", what, err)
		}
		if off == 0 {
			// The dead one seems alive, and the segment full, but only
			// because all is locked.
			if _, err := Open(name, o); !errors.Is(err, ErrBusy) {
				t.Errorf("%s is locked: Open: %v, want ErrBusy", what, err)
			}
		}
		f.Close()
	}
	closing(t, must(Create(name, o))(t))
}
