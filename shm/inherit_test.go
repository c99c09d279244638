//go:build linux

package shm

import (
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"strings"
	"testing"

	"github.com/sluice-ipc/sluice/internal/shmtest"
	"github.com/sluice-ipc/sluice/internal/sys"
)

// bequeath makes a segment one that was inherited under these names.
func bequeath(t *testing.T, s *Segment, names ...string) {
	t.Helper()
	f := must(s.File())(t)
	defer f.Close()
	inherited.Lock()
	defer inherited.Unlock()
	inherited.m = make(map[string]entry)
	for _, name := range names {
		fd := must(sys.Dup(int(f.Fd())))(t)
		inherited.m[name] = entry{name: name, fd: fd, uuid: s.UUID(), segment: s.Name()}
	}
}

// Who attaches may inherit more meanwhile, and what failed may be tried again.
func TestInheritedWhileAttaching(t *testing.T) {
	noLeaks(t)
	s := closing(t, must(Anonymous("twice", &Options{Size: 1}))(t))
	bequeath(t, s, "outer", "inner")
	over := make(chan error, 1)
	no := errors.New("no")
	go func() {
		outer, _, err := Inherited("outer", &Options{Attach: func(*Segment) (Repairer, error) {
			inner, _, err := Inherited("inner", nil)
			if err == nil {
				err = inner.Close()
			}
			if _, _, again := Inherited("outer", nil); err == nil && !errors.Is(again, ErrNotFound) {
				err = fmt.Errorf("a second time: %v", again)
			}
			return nil, errors.Join(err, no)
		}})
		if !errors.Is(err, no) || outer != nil || errors.Is(err, ErrNotFound) {
			over <- fmt.Errorf("attaching failed with: %v", err)
			return
		}
		if outer, _, err = Inherited("outer", nil); err == nil {
			err = outer.Close()
		}
		over <- err
	}()
	shmtest.Eventually(t, func() bool { return len(over) == 1 }, "Inherited returns")
	if err := <-over; err != nil {
		t.Error(err)
	}
}

func TestNoHandleToPass(t *testing.T) {
	noLeaks(t)
	for want, h := range map[string]Handle{"<nil>": nil, "*shm.Segment": (*Segment)(nil)} {
		cmd := exec.Command("true")
		err := Pass(cmd, "x", h)
		f, desc, err2 := Export(h)
		for _, err := range []error{err, err2} {
			if !errors.Is(err, fs.ErrInvalid) || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v", want, err)
			}
		}
		if f != nil || desc != "" || cmd.ExtraFiles != nil || cmd.Env != nil {
			t.Errorf("%s: %v %q %v %v", want, f, desc, cmd.ExtraFiles, cmd.Env)
		}
	}
}
