//go:build linux

package shm

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluice-ipc/sluice/internal/sys"
)

// image returns the bytes of a good segment in which nobody is.
func image(t testing.TB) []byte {
	t.Helper()
	name := testName(t)
	s := must(Create(name, &Options{Size: 5000, MaxParticipants: 4, Kind: KindQueue,
		Version: 3, Fingerprint: 0xfeed, ElemType: "pkg.T"}))(t)
	path := s.path
	s.Close()
	b := must(os.ReadFile(path))(t)
	Remove(name)
	return b
}

// reseal makes the checksum right again.
func reseal(b []byte) {
	if len(b) >= headerLen {
		sum := crc32.Checksum(b[:headerLen-4], crc32.MakeTable(crc32.Castagnoli))
		binary.NativeEndian.PutUint32(b[headerLen-4:], sum)
	}
}

func put16(off int, v uint16) func([]byte) []byte {
	return func(b []byte) []byte { binary.NativeEndian.PutUint16(b[off:], v); return b }
}

func put32(off int, v uint32) func([]byte) []byte {
	return func(b []byte) []byte { binary.NativeEndian.PutUint32(b[off:], v); return b }
}

func put64(off int, v uint64) func([]byte) []byte {
	return func(b []byte) []byte { binary.NativeEndian.PutUint64(b[off:], v); return b }
}

func cut(n int) func([]byte) []byte {
	return func(b []byte) []byte { return b[:n] }
}

// badFiles are spoilt copies of a good segment, and the field that Open names.
var badFiles = []struct {
	name  string
	spoil func([]byte) []byte
	seal  bool // with a checksum that is right
	o     *Options
	field string
}{
	{name: "empty file", spoil: cut(0), field: "file length"},
	{name: "half a header", spoil: cut(300), field: "file length"},
	{name: "header only", spoil: cut(4096), field: "file length"},
	{name: "truncated data", spoil: func(b []byte) []byte {
		return b[:len(b)-4096]
	}, field: "file length"},
	{name: "more than there should be", spoil: func(b []byte) []byte {
		return append(b, 0)
	}, field: "file length"},
	{name: "wrong magic", spoil: put32(0, 0x20202020), field: "magic"},
	{name: "text mode damage", spoil: func(b []byte) []byte {
		return append([]byte("SLUICE\n"), b[8:]...)
	}, field: "magic"},
	{name: "other byte order", spoil: put32(8, 0x04030201), seal: true, field: "byte order"},
	{name: "next major version", spoil: put16(12, 2), seal: true, field: "major version"},
	{name: "flipped crc", spoil: func(b []byte) []byte { b[0x1fc] ^= 1; return b }, field: "crc"},
	{name: "flipped bit under the crc", spoil: func(b []byte) []byte { b[0x101] ^= 4; return b }, field: "crc"},
	{name: "unknown header length", spoil: put32(0x10, 1024), seal: true, field: "header length"},
	{name: "unknown incompatible feature", spoil: put32(0x18, 1<<31), seal: true, field: "incompatible features"},
	{name: "another boot", spoil: put64(0x70, 1), seal: true, field: "boot id"},
	{name: "file length that wraps", spoil: put64(0x30, ^uint64(0)), seal: true, field: "file length"},
	{name: "no participants", spoil: put32(0x50, 0), seal: true, field: "participants"},
	{name: "too many participants", spoil: put32(0x50, 1<<31), seal: true, field: "participants"},
	{name: "table elsewhere", spoil: put64(0x48, 64), seal: true, field: "table offset"},
	{name: "data over the table", spoil: put64(0x38, 0x1000), seal: true, field: "data offset"},
	{name: "data unaligned", spoil: put64(0x38, 0x2008), seal: true, field: "data offset"},
	{name: "data beyond the file", spoil: put64(0x38, 1<<62), seal: true, field: "data offset"},
	{name: "data longer than the file", spoil: put64(0x40, 1<<20), seal: true, field: "data length"},
	{name: "data length that wraps", spoil: put64(0x40, ^uint64(0)), seal: true, field: "data length"},
	{name: "no data", spoil: put64(0x40, 0), seal: true, field: "data length"},
	{name: "another kind", o: &Options{Kind: KindRing}, field: "kind"},
	{name: "another version of the kind", o: &Options{Kind: KindQueue, Version: 4}, field: "version of kind queue"},
	{name: "another element type", o: &Options{Fingerprint: 0xf00d, ElemType: "pkg.U"}, field: "element type"},
	{name: "an element type where there is none", spoil: put64(0x28, 0), seal: true,
		o: &Options{Fingerprint: 0xfeed}, field: "element type"},
}

func TestOpenRefusesWhatItDoesNotUnderstand(t *testing.T) {
	noLeaks(t)
	good := image(t)
	for _, tt := range badFiles {
		t.Run(tt.name, func(t *testing.T) {
			b := append([]byte(nil), good...)
			if tt.spoil != nil {
				b = tt.spoil(b)
			}
			if tt.seal {
				reseal(b)
			}
			path := filepath.Join(t.TempDir(), "seg")
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := Open(path, tt.o)
			var f *FormatError
			if !errors.As(err, &f) || f.Field != tt.field || !strings.Contains(err.Error(), path) {
				t.Fatalf("error %v, want a FormatError for %q in %s", err, tt.field, path)
			}
			t.Log(err)
		})
	}
}

func TestElementTypeErrorNamesBoth(t *testing.T) {
	path := filepath.Join(t.TempDir(), "seg")
	if err := os.WriteFile(path, image(t), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Open(path, &Options{Fingerprint: 1, ElemType: "pkg.U"})
	if err == nil || !strings.Contains(err.Error(), "pkg.T") || !strings.Contains(err.Error(), "pkg.U") {
		t.Errorf("error %v names not both types", err)
	}
	closing(t, must(Open(path, &Options{Fingerprint: 0xfeed, Kind: KindQueue, Version: 3}))(t))
}

func TestUnknownCompatibleFeatureAndMinorVersionAreFine(t *testing.T) {
	b := put16(14, 9)(put32(0x1c, 1<<31)(image(t)))
	reseal(b)
	path := filepath.Join(t.TempDir(), "seg")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	closing(t, must(Open(path, nil))(t))
}

func TestSegmentFromBeforeARestart(t *testing.T) {
	noLeaks(t)
	b := put64(0x70, 1)(image(t))
	reseal(b)
	path := filepath.Join(t.TempDir(), "seg")
	for name, make := range map[string]func(string, *Options) (*Segment, error){
		"Create": Create, "OpenOrCreate": OpenOrCreate,
	} {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := make(path, &Options{Size: 1})
		if err != nil || !s.Created() {
			t.Fatalf("%s does not replace it: %v", name, err)
		}
		s.Close()
		Remove(path)
	}
}

func TestFilesThatAreNotOursAreLeftAlone(t *testing.T) {
	noLeaks(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "diary")
	if err := os.WriteFile(path, []byte("dear diary"), 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	o := &Options{Size: 1}
	for what, f := range map[string]func(string) error{
		"Create":       func(p string) error { _, err := Create(p, o); return err },
		"OpenOrCreate": func(p string) error { _, err := OpenOrCreate(p, o); return err },
		"Open":         func(p string) error { _, err := Open(p, o); return err },
		"Remove":       Remove,
	} {
		var fe *FormatError
		if err := f(path); !errors.As(err, &fe) {
			t.Errorf("%s: %v, want a FormatError", what, err)
		}
		if err := f(link); err == nil {
			t.Errorf("%s follows a symbolic link", what)
		}
		if err := f(dir + "/"); err == nil {
			t.Errorf("%s takes a directory", what)
		}
	}
	if b := must(os.ReadFile(path))(t); string(b) != "dear diary" {
		t.Errorf("the file is now %q", b)
	}
}

func TestUnsealedMemfdIsRefused(t *testing.T) {
	noLeaks(t)
	fd := must(sys.MemfdCreate("loose"))(t)
	f := os.NewFile(uintptr(fd), "loose")
	defer f.Close()
	must(f.Write(image(t)))(t)
	var fe *FormatError
	if _, err := FromFile(f, nil); !errors.As(err, &fe) || !strings.Contains(fe.Field, "seal") {
		t.Errorf("error %v", err)
	}
	if err := sys.AddSeals(fd); err != nil {
		t.Fatal(err)
	}
	closing(t, must(FromFile(f, nil))(t))
}

func TestFromFileOfOtherThings(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	dir := must(os.Open(t.TempDir()))(t)
	closed := must(os.Open("/dev/null"))(t)
	closed.Close()
	for _, f := range []*os.File{r, w, dir, closed, os.Stdin} {
		if _, err := FromFile(f, nil); err == nil {
			t.Errorf("FromFile(%s) works", f.Name())
		}
	}
	dir.Close()
}
