//go:build linux

package shm

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// hostile is what a fuzzer does to a segment that a process is in or enters.
func hostile(path string) error {
	s, err := Open(path, &Options{Attach: func(s *Segment) (Repairer, error) {
		return forgiving{}, nil
	}})
	if err != nil {
		return err
	}
	defer s.Close()
	s.CheckPeers()
	for _, p := range s.Participants() {
		_ = p.Label + p.State.String() + p.ID.String()
		s.Gone(p.ID)
	}
	for _, id := range []ID{0, 1, ^ID(0), makeID(511, 1), makeID(3, 0)} {
		s.Gone(id)
	}
	if d := s.Data(); len(d) > 0 {
		d[0], d[len(d)-1] = 1, 1
	}
	s.Asleep(countTicks{})
	s.look(true)
	s.Awake(countTicks{})
	return nil
}

type forgiving struct{}

func (forgiving) Repair(ID) bool { return true }
func (forgiving) Join(int)       {}

// Any bytes as a segment: an error, or it works. The checksum is made right in
// every other run, else nothing would be seen behind it.
func FuzzAnyBytesAsASegment(f *testing.F) {
	good := image(f)
	f.Add(good, 0, []byte{}, false)
	f.Add(good[:headerLen], 0x50, []byte{255, 255, 255, 255}, true)
	f.Add(good, 0x38, []byte{0, 0, 0, 0, 0, 0, 0, 0xff}, true)
	f.Add(good, tableOff, []byte{1, 0, 0, 0, 9, 0, 0, 0}, false)
	f.Add(good, tableOff, []byte{2, 0, 0, 0, 9, 0, 0, 0}, false)
	f.Add(good, tableOff, []byte{77, 1, 2, 3, 0, 0, 0, 0, 1, 0, 0, 0}, false)
	f.Add(good, controlOff, []byte{1}, false)
	f.Add(good[:len(good)-1], 0, []byte{}, true)
	path := filepath.Join(f.TempDir(), "seg")
	f.Fuzz(func(t *testing.T, b []byte, at int, over []byte, seal bool) {
		b = append([]byte(nil), b...)
		if at >= 0 && at < len(b) {
			copy(b[at:], over)
		}
		if seal {
			reseal(b)
		}
		path := fmt.Sprintf("%s-%d", path, os.Getpid())
		defer os.Remove(path)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		err := hostile(path)
		if s, err := OpenOrCreate(path, &Options{Size: 1}); err == nil {
			s.Close()
		}
		if s, err := Create(path, &Options{Size: 1}); err == nil {
			s.Close()
		}
		if err != nil && strings.Contains(err.Error(), "busy") {
			t.Errorf("%v", err)
		}
	})
}
