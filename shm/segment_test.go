//go:build linux

package shm

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluice-ipc/sluice/internal/sys"
)

func TestSharedMemoryIsShared(t *testing.T) {
	noLeaks(t)
	named := testName(t)
	for _, tt := range []struct {
		name string
		make func(o *Options) (*Segment, error)
		open func(s *Segment) (*Segment, error)
	}{
		{"by name",
			func(o *Options) (*Segment, error) { return Create(named, o) },
			func(*Segment) (*Segment, error) { return Open(named, nil) }},
		{"open or create",
			func(o *Options) (*Segment, error) { return OpenOrCreate(named, o) },
			func(*Segment) (*Segment, error) { return OpenOrCreate(named, &Options{Size: 1}) }},
		{"anonymous",
			func(o *Options) (*Segment, error) { return Anonymous("anon", o) },
			openFileOf},
		{"by descriptor of a named one",
			func(o *Options) (*Segment, error) { return Create(named, o) },
			openFileOf},
	} {
		t.Run(tt.name, func(t *testing.T) {
			Remove(named)
			a := closing(t, must(tt.make(&Options{Size: 10_000, Kind: KindValue}))(t))
			b := closing(t, must(tt.open(a))(t))
			if !a.Created() || b.Created() {
				t.Errorf("Created is %v and %v, want true and false", a.Created(), b.Created())
			}
			if a.UUID() != b.UUID() || a.UUID() == [16]byte{} {
				t.Errorf("uuids %x and %x", a.UUID(), b.UUID())
			}
			if a.ID() == b.ID() || a.ID() == 0 || b.ID() == 0 {
				t.Errorf("ids %v and %v", a.ID(), b.ID())
			}
			if a.Name() != b.Name() && tt.name == "anonymous" {
				t.Errorf("names %q and %q", a.Name(), b.Name())
			}
			if b.Kind() != KindValue || b.Size() != 10_000 || len(b.Data()) != 10_000 {
				t.Errorf("kind %v, size %d, %d bytes", b.Kind(), b.Size(), len(b.Data()))
			}
			want := bytes.Repeat([]byte("sluice"), 1_000)
			copy(a.Data()[4_000:], want)
			if !bytes.Equal(b.Data()[4_000:], want) {
				t.Error("what one attachment wrote the other does not read")
			}
		})
	}
}

func openFileOf(s *Segment) (*Segment, error) {
	f, err := s.File()
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return FromFile(f, nil)
}

func TestNamesAndErrors(t *testing.T) {
	noLeaks(t)
	name := testName(t)
	if _, err := Open(name, nil); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), name) {
		t.Errorf("Open of nothing: %v", err)
	}
	if err := Remove(name); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Remove of nothing: %v", err)
	}
	s := must(Create(name, &Options{Size: 1}))(t)
	if _, err := Create(name, &Options{Size: 1}); !errors.Is(err, fs.ErrExist) {
		t.Errorf("Create over a live one: %v", err)
	}
	if err := Remove(name); err != nil {
		t.Errorf("Remove under a live one: %v", err)
	}
	s2 := must(Create(name, &Options{Size: 1}))(t)
	if s2.UUID() == s.UUID() {
		t.Error("the new segment is the old one")
	}
	s.Data()[0] = 1
	if s2.Data()[0] != 0 {
		t.Error("the new segment has the old one's memory")
	}
	s.Close()
	s2.Close()
	for _, bad := range []string{"", "a\x00b"} {
		if _, err := Create(bad, &Options{Size: 1}); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("Create(%q): %v", bad, err)
		}
	}
	for _, o := range []*Options{nil, {Size: -1}, {Size: 1 << 41},
		{Size: 1, MaxParticipants: 513}, {Size: 1, MaxParticipants: -1},
		{Size: 1, Mode: fs.ModeSetuid}, {Size: 1, Group: -1}} {
		if _, err := Create(name, o); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("Create with %+v: %v", o, err)
		}
	}
}

func TestCreateReplacesOneThatNobodyIsIn(t *testing.T) {
	noLeaks(t)
	name := testName(t)
	old := must(Create(name, &Options{Size: 1}))(t)
	f := must(old.File())(t)
	defer f.Close()
	old.Data()[0] = 7
	old.Close()
	s := closing(t, must(Create(name, &Options{Size: 1}))(t))
	if s.Data()[0] != 0 || s.UUID() == old.UUID() {
		t.Error("Create attached to the old segment")
	}
	if _, err := FromFile(f, nil); !errors.Is(err, ErrRetired) {
		t.Errorf("joining the replaced segment: %v, want ErrRetired", err)
	}
}

func TestOpenKeepsWhatTheDepartedLeft(t *testing.T) {
	noLeaks(t)
	name := testName(t)
	s := must(Create(name, &Options{Size: 1}))(t)
	s.Data()[0] = 7
	s.Close()
	s = closing(t, must(OpenOrCreate(name, &Options{Size: 1}))(t))
	if s.Created() || s.Data()[0] != 7 {
		t.Error("OpenOrCreate did not attach to the old segment")
	}
}

func TestPathsAreNames(t *testing.T) {
	noLeaks(t)
	path := filepath.Join(t.TempDir(), "seg")
	s := closing(t, must(Create(path, &Options{Size: 1, Mode: 0o640, Group: os.Getgid()}))(t))
	closing(t, must(Open(path, nil))(t))
	if st := must(os.Stat(path))(t); st.Mode() != 0o640 {
		t.Errorf("mode %v, want 0640", st.Mode())
	}
	if s.Name() != path {
		t.Errorf("name %q", s.Name())
	}
	t.Chdir(filepath.Dir(path))
	closing(t, must(Open("./seg", nil))(t))
	if err := Remove(path); err != nil {
		t.Error(err)
	}
}

func TestModeIsPrivateByDefault(t *testing.T) {
	name := testName(t)
	closing(t, must(Create(name, &Options{Size: 1}))(t))
	st := must(sys.StatPath(filepath.Join(shmDir, prefix+name)))(t)
	if st.Mode != 0o600 {
		t.Errorf("mode %v, want 0600", st.Mode)
	}
}

func TestFileSystemsWithoutUnnamedFiles(t *testing.T) {
	noLeaks(t)
	openTmp = func(string, uint32) (int, error) { return -1, errors.ErrUnsupported }
	t.Cleanup(func() { openTmp = sys.OpenTmp })
	dir := t.TempDir()
	path := filepath.Join(dir, "seg")
	const random = "ABCDEFGHIJKLMNOPQRSTUVWXY2" // as of a process that died
	for name, content := range map[string]string{
		tempMark + random: "",
		// Files of others, however they are called, stay.
		tempMark + "backup":          "",
		tempMark + random[:25] + "7": "text",
	} {
		if err := os.WriteFile(path+name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := closing(t, must(Create(path, &Options{Size: 1}))(t))
	closing(t, must(Open(path, nil))(t))
	s.Data()[0] = 1
	entries := must(os.ReadDir(dir))(t)
	if len(entries) != 3 || entries[0].Name() != "seg" {
		t.Errorf("the directory has %v, want the segment and two files of others", entries)
	}
	for _, e := range entries {
		if e.Name() == "seg"+tempMark+random {
			t.Errorf("%s is still there", e.Name())
		}
	}
}

func TestOptionsOfTheMapping(t *testing.T) {
	noLeaks(t)
	s := must(Anonymous("opts", &Options{Size: 1 << 20, Prefault: true, HugePages: true}))(t)
	s.Data()[1<<20-1] = 1
	s.Close()
	s, err := Anonymous("lock", &Options{Size: 4096, Lock: true})
	if err != nil {
		t.Skipf("mlock is not permitted here: %v", err)
	}
	defer s.Close()
	smaps := must(os.ReadFile("/proc/self/smaps"))(t)
	_, of, _ := strings.Cut(string(smaps), "memfd:lock")
	if _, locked, _ := strings.Cut(of, "\nLocked:"); strings.HasPrefix(strings.TrimSpace(locked), "0 kB") {
		t.Error("the mapping is not locked")
	}
}

func TestInitAndAttachSeeTheSegmentFirst(t *testing.T) {
	noLeaks(t)
	name := testName(t)
	var calls []string
	o := &Options{Size: 8,
		Init: func(b []byte) error {
			if _, err := Open(name, nil); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("during Init the name leads somewhere: %v", err)
			}
			calls = append(calls, "init")
			b[0] = 9
			return nil
		},
		Attach: func(s *Segment) (Repairer, error) {
			calls = append(calls, fmt.Sprintf("attach %d %d", s.Data()[0], s.ID()))
			return nil, nil
		}}
	closing(t, must(Create(name, o))(t))
	closing(t, must(Open(name, o))(t))
	if got := fmt.Sprint(calls); got != "[init attach 9 0 attach 9 0]" {
		t.Errorf("calls: %s", got)
	}
	oops := errors.New("oops")
	o.Attach = func(*Segment) (Repairer, error) { return nil, oops }
	if _, err := Open(name, o); !errors.Is(err, oops) {
		t.Errorf("Open with a refusing Attach: %v", err)
	}
	o.Init = func([]byte) error { return oops }
	if _, err := Anonymous("x", o); !errors.Is(err, oops) {
		t.Errorf("Anonymous with a failing Init: %v", err)
	}
	if n := len(must(Open(name, nil))(t).participantsAndClose()); n != 3 {
		t.Errorf("%d participants, want 3: the refused one has left", n)
	}
}

func (s *Segment) participantsAndClose() []Participant {
	defer s.Close()
	return s.Participants()
}
