package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// anyGroup starts processes that run wherever there are Unix sockets.
func anyGroup(t *testing.T, s spec) *group {
	t.Helper()
	p, err := newGroup(s, choosePlace(nil))
	if lacking(err) {
		t.Skipf("missing: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.close(0) })
	return p
}

var blockingRTT = spec{benchRTT, "unix", waitBlock, 64, 1, 1}

func TestDeathOfAChildIsAnErrorAtOnce(t *testing.T) {
	for side, name := range []string{"of the first", "of the second"} {
		t.Run(name, func(t *testing.T) {
			p := anyGroup(t, blockingRTT)
			ended := make(chan error, 1)
			go func() {
				_, err := p.run(1<<40, 0)
				ended <- err
			}()
			if err := p.procs[side].cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			err := within(t, ended)
			if err == nil || errors.Is(err, errSilent) {
				t.Errorf("got %v, want the death", err)
			}
		})
	}
}

func TestChildEndsWithItsParent(t *testing.T) {
	for _, s := range []spec{blockingRTT, {benchRTT, "unix", waitSpin, 64, 1, 1}} {
		t.Run(s.Wait, func(t *testing.T) {
			if !choosePlace(nil).possible(s) {
				t.Skip("missing: a second CPU")
			}
			p := anyGroup(t, s)
			second := p.procs[1]
			if err := second.order(order{Do: "echo", N: 1 << 40}); err != nil {
				t.Fatal(err)
			}
			if _, err := second.await(time.After(patience)); err != nil { // it has begun
				t.Fatal(err)
			}
			second.orders.Close() // as if the parent had died
			ended := make(chan error, 1)
			go func() {
				_, err := second.await(nil)
				ended <- err
			}()
			err := within(t, ended)
			if err == nil || !strings.Contains(err.Error(), "exit status 3") {
				t.Errorf("got %v, want exit status 3", err)
			}
		})
	}
}

func TestSilentChildIsAskedForItsStacks(t *testing.T) {
	p := anyGroup(t, blockingRTT)
	second := p.procs[1]
	if err := second.order(order{Do: "echo", N: 1}); err != nil {
		t.Fatal(err)
	}
	if _, err := second.await(time.After(patience)); err != nil { // it has begun
		t.Fatal(err)
	}
	now := make(chan time.Time)
	close(now)
	_, err := second.await(now)
	if !errors.Is(err, errSilent) || !strings.Contains(err.Error(), "(*child).obey") {
		t.Errorf("got %v, want its stacks", err)
	}
	if runtime.GOOS == "linux" && !strings.Contains(err.Error(), "; thread ") {
		t.Errorf("got %v, want its threads", err)
	}
}

func TestChildSaysWhatIsWrong(t *testing.T) {
	p, err := startProcess(role{Spec: spec{Impl: "nonsense"}}, nil, nil, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer p.stop(0)
	_, err = p.await(time.After(patience))
	if err == nil || !strings.Contains(err.Error(), `no implementation "nonsense"`) {
		t.Errorf("got %v", err)
	}
}

func TestTailKeepsTheEnd(t *testing.T) {
	var s tail
	if s.String() != "" {
		t.Errorf("%q of nothing", s.String())
	}
	s.Write([]byte(strings.Repeat("x", 2*tailSize)))
	s.Write([]byte("the end\n"))
	got := s.String()
	if !strings.HasSuffix(got, "xthe end") || len(got) > tailSize+20 {
		t.Errorf("%d bytes, ending in %q", len(got), got[len(got)-10:])
	}
}

// within waits for what must happen, under a watchdog.
func within(t *testing.T, ended <-chan error) error {
	t.Helper()
	select {
	case err := <-ended:
		return err
	case <-time.After(patience):
		t.Fatal("nothing happened")
		return nil
	}
}

// script makes a program of lines for the shell.
func script(t *testing.T, lines string) string {
	t.Helper()
	sh, err := exec.LookPath("sh")
	if err != nil || runtime.GOOS == "windows" {
		t.Skipf("missing: a shell (%v)", err)
	}
	path := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(path, []byte("#!"+sh+"\n"+lines+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}
