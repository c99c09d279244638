//go:build linux

package shm

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/sluice-ipc/sluice/internal/shmtest"
	"github.com/sluice-ipc/sluice/internal/sys"
)

func TestNoRoomSaysHowMuch(t *testing.T) {
	noLeaks(t)
	name := testName(t)
	for _, tt := range []struct {
		name string
		size int64
		make func(o *Options) (*Segment, error)
	}{
		// So much more that nothing freed meanwhile makes room for it.
		{"named", sys.Free(shmDir) + 4<<30, func(o *Options) (*Segment, error) { return Create(name, o) }},
		{"anonymous", 1 << 39, func(o *Options) (*Segment, error) { return Anonymous("huge", o) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := tt.make(&Options{Size: tt.size})
			var n *NoSpaceError
			if !errors.As(err, &n) || !errors.Is(err, syscall.ENOSPC) {
				t.Fatalf("error %v, want a NoSpaceError", err)
			}
			if n.Want < tt.size || n.Have <= 0 || n.Have > n.Want {
				t.Errorf("want %d, have %d", n.Want, n.Have)
			}
			t.Log(err)
		})
	}
	if _, err := Open(name, nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("something was left under the name: %v", err)
	}
}

// On a small file system of our own the figures are exact, and afterwards the
// memory can be touched to the last byte while the file system is full.
func TestSmallFileSystem(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("sluice-test", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("mounting a tmpfs is not permitted here: %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(dir, 0) })
	_, err := Create(filepath.Join(dir, "large"), &Options{Size: 2 << 20})
	var n *NoSpaceError
	if !errors.As(err, &n) || n.Have != 1<<20 {
		t.Fatalf("error %v, want one that says that 1048576 bytes are available", err)
	}
	s := closing(t, must(Create(filepath.Join(dir, "fits"), &Options{Size: 600 << 10}))(t))
	filler := must(os.Create(filepath.Join(dir, "filler")))(t)
	defer filler.Close()
	for err = nil; err == nil; {
		_, err = filler.Write(make([]byte, 4096))
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	for i := range s.Data() {
		s.Data()[i] = 1
	}
}

func TestIncoherentFileSystemIsRefused(t *testing.T) {
	// /proc is one that we can be sure to have.
	_, err := Create("/proc/self/seg", &Options{Size: 1})
	if err == nil {
		t.Error("Create in /proc works")
	}
	_, err = Open("/proc/self/stat", nil)
	if err == nil {
		t.Error("Open in /proc works")
	}
	f := must(os.OpenFile("/proc/self/comm", os.O_RDWR, 0))(t)
	defer f.Close()
	_, err = FromFile(f, nil)
	if !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), "proc") {
		t.Errorf("error %v, want one that names the file system", err)
	}
}

func TestSealedMemfdCannotBeShrunk(t *testing.T) {
	noLeaks(t)
	s := closing(t, must(Anonymous("sealed", &Options{Size: 1 << 16}))(t))
	f := must(s.File())(t)
	defer f.Close()
	for _, size := range []int64{0, 4096, 1 << 30} {
		if err := f.Truncate(size); !errors.Is(err, os.ErrPermission) {
			t.Errorf("truncate to %d: %v, want not permitted", size, err)
		}
	}
	for i := range s.Data() {
		s.Data()[i] = 1
	}
}

func TestGuardTurnsAFaultIntoAnError(t *testing.T) {
	shmtest.RequireFaults(t)
	noLeaks(t)
	name := testName(t)
	s := closing(t, must(Create(name, &Options{Size: 1 << 16}))(t))
	other := closing(t, must(Create(testName(t), &Options{Size: 1}))(t))
	if err := os.Truncate(s.path, 8192); err != nil {
		t.Fatal(err)
	}
	sum := 0
	err := Guard(func() error {
		for _, b := range s.Data() {
			sum += int(b)
		}
		return nil
	})
	var f *FaultError
	if !errors.As(err, &f) || f.Segment != name || f.Offset < 8192 {
		t.Fatalf("error %v, want a FaultError in %s", err, name)
	}
	t.Log(err)
	if err := s.Retain(); !errors.As(err, &f) {
		t.Errorf("Retain afterwards: %v", err)
	}
	if !errors.As(s.Err(), &f) {
		t.Errorf("Err afterwards: %v", s.Err())
	}
	if err := other.Retain(); err != nil {
		t.Errorf("another segment suffers: %v", err)
	} else {
		other.Release()
	}
}

func TestGuardLeavesOtherPanicsAlone(t *testing.T) {
	oops := errors.New("oops")
	if err := Guard(func() error { return oops }); err != oops {
		t.Errorf("error %v", err)
	}
	for what, f := range map[string]func(){
		"panic": func() { panic("mine") },
		"nil":   func() { var p *int; *p = 1 },
		"index": func() { var s []int; s[len(s)] = 1 },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", what)
				}
			}()
			Guard(func() error { f(); return nil })
		}()
	}
}

// Truncated so far that the participants table is gone too: nothing that this
// package does by itself may end the process.
func TestTruncatedUnderTheTick(t *testing.T) {
	shmtest.RequireFaults(t)
	noLeaks(t)
	name := testName(t)
	s := closing(t, must(Create(name, &Options{Size: 1 << 16}))(t))
	closing(t, must(Create(testName(t), &Options{Size: 1}))(t))
	if err := os.Truncate(s.path, 0); err != nil {
		t.Fatal(err)
	}
	s.look(true)
	var f *FaultError
	if !errors.As(s.Err(), &f) {
		t.Fatalf("Err is %v, want a FaultError", s.Err())
	}
	if err := s.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}

func TestTruncatedAndClosed(t *testing.T) {
	shmtest.RequireFaults(t)
	noLeaks(t)
	s := must(Create(testName(t), &Options{Size: 1 << 16}))(t)
	if err := os.Truncate(s.path, 0); err != nil {
		t.Fatal(err)
	}
	var f *FaultError
	if err := s.Close(); !errors.As(err, &f) {
		t.Errorf("close: %v, want a FaultError", err)
	}
}
