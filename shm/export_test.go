//go:build linux

package shm_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/sluice-ipc/sluice/internal/shmtest"
	"github.com/sluice-ipc/sluice/shm"
)

// mover hands its segment's participant over.
type mover struct {
	s      *shm.Segment
	detail string
}

func (m mover) Handover() (shm.Handover, error) {
	return shm.Handover{Segment: m.s, Move: true, Detail: m.detail}, nil
}

func anonymous(t *testing.T) *shm.Segment {
	t.Helper()
	s, err := shm.Anonymous("exported", &shm.Options{Size: 4096})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// What moves is the same participant afterwards, and was alive all the time.
func TestExportMovesTheParticipant(t *testing.T) {
	shmtest.NoLeaks(t)
	s := anonymous(t)
	file, err := s.File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	other, err := shm.FromFile(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	id := s.ID()
	f, desc, err := shm.Export(mover{s, "the detail\n\x1b&=%"})
	if err != nil {
		t.Fatal(err)
	}
	if s.Usable() || other.Gone(id) {
		t.Error("it has not moved")
	}
	s2, detail, err := shm.Import(f, desc, nil)
	if err != nil {
		t.Fatal(err)
	}
	if s2.ID() != id || detail != "the detail\n\x1b&=%" || other.Gone(id) {
		t.Errorf("participant %v, want %v; %q", s2.ID(), id, detail)
	}
	// A second copy of the message: it is taken.
	if _, _, err := shm.Import(f, desc, nil); !errors.Is(err, shm.ErrBusy) {
		t.Errorf("Import of what was imported = %v", err)
	}
	f.Close()
	if other.Gone(id) {
		t.Error("the file was the lock")
	}
	if err := s2.Close(); err != nil {
		t.Error(err)
	}
	if !other.Gone(id) {
		t.Error("it is not gone")
	}
}

// What nobody imports dies with the last copy of the file.
func TestExportedAndLost(t *testing.T) {
	shmtest.NoLeaks(t)
	s := anonymous(t)
	file, err := s.File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	other, err := shm.FromFile(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	id := s.ID()
	f, _, err := shm.Export(mover{s, ""})
	if err != nil {
		t.Fatal(err)
	}
	if other.Gone(id) {
		t.Error("gone while it is on its way")
	}
	f.Close()
	if !other.Gone(id) {
		t.Error("not gone")
	}
}

// A handle that stays is exported any number of times; what is too long to be
// described, or in use, is refused.
func TestExportShares(t *testing.T) {
	shmtest.NoLeaks(t)
	s := anonymous(t)
	for range 3 {
		f, desc, err := shm.Export(s)
		if err != nil {
			t.Fatal(err)
		}
		s2, _, err := shm.Import(f, desc, nil)
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		s2.Data()[0]++
		s2.Close()
	}
	if s.Data()[0] != 3 {
		t.Error("not the same memory")
	}
	if err := s.Retain(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := shm.Export(mover{s, ""}); !errors.Is(err, shm.ErrBusy) {
		t.Errorf("Export of what is in use = %v", err)
	}
	s.Release()
	if _, _, err := shm.Export(mover{anonymous(t), strings.Repeat("x", shm.MaxDescription)}); err == nil {
		t.Error("exported with a detail that is too long")
	}
	s.Close()
	if _, _, err := shm.Export(s); err == nil {
		t.Error("exported what is closed")
	}
}

// What is no export is refused with an error that says why, and no name that it
// claims gets into that as it is.
func TestImportRefuses(t *testing.T) {
	shmtest.NoLeaks(t)
	s := anonymous(t)
	f, desc, err := shm.Export(s)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	closed, err := os.Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	null, err := os.OpenFile("/dev/null", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	for name, tt := range map[string]struct {
		f    *os.File
		desc string
	}{
		"empty":       {f, ""},
		"junk":        {f, "\x1b[2J%%%"},
		"too long":    {f, desc + strings.Repeat("&", shm.MaxDescription)},
		"uuid":        {f, strings.Replace(desc, "uuid=", "uuid=0011&x=", 1)},
		"other uuid":  {f, strings.Replace(desc, "uuid=", "uuid=00112233445566778899aabbccddeeff&x=", 1)},
		"slot":        {f, strings.Replace(desc, "id=0", "id=18446744073709551615", 1)},
		"nobody":      {f, strings.Replace(desc, "id=0", "id=12884901889", 1)},
		"device":      {null, desc},
		"closed file": {closed, desc},
		"rude name":   {null, strings.Replace(desc, "segment=", "segment=%1b%5b2J%0a&x=", 1)},
	} {
		t.Run(name, func(t *testing.T) {
			s2, _, err := shm.Import(tt.f, tt.desc, nil)
			if err == nil {
				s2.Close()
				t.Fatal("imported")
			}
			if strings.ContainsAny(err.Error(), "\x1b\n") {
				t.Errorf("%q", err)
			}
		})
	}
	if s.Gone(s.ID()) || len(s.Participants()) != 1 {
		t.Error(fmt.Sprint("somebody is left: ", s.Participants()))
	}
}
