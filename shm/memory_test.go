//go:build linux

package shm

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/sluice-ipc/sluice/internal/shmtest"
)

func init() {
	roles["visitor"] = visitor
	roles["founder"] = founder
	roles["cramped"] = cramped
}

// visitor attaches by a name, or without one to what it was passed, says what it
// reads, writes what it is told, and exits without closing.
func visitor(args []string) int {
	var s *Segment
	var err error
	if len(args) > 0 {
		s, err = Open(args[0], nil)
	} else {
		s, _, err = Inherited("s", nil)
	}
	if errors.Is(err, fs.ErrNotExist) {
		shmtest.Say("no such segment")
		return 0
	} else if err != nil {
		return complain("%v", err)
	}
	shmtest.Say("attached")
	for line, ok := shmtest.Hear(); ok; line, ok = shmtest.Hear() {
		if line != "" {
			write(s, line)
		}
		shmtest.Say("%s", read(s))
	}
	return 0
}

// write and read put a text at the end of the data, and get it back.
func write(s *Segment, text string) {
	copy(s.Data()[s.Size()-textSize:], text+"\x00")
}

func read(s *Segment) string {
	text, _, _ := strings.Cut(string(s.Data()[s.Size()-textSize:]), "\x00")
	return text
}

const textSize = 40

// founder makes a segment of a name and one without, and waits to be killed.
func founder(args []string) int {
	s, err := Create(args[0], &Options{Size: 5000})
	if err == nil {
		_, err = Anonymous(args[0], &Options{Size: 5000})
	}
	if err != nil {
		return complain("%v", err)
	}
	write(s, "left behind")
	shmtest.Say("founded")
	shmtest.Hear()
	return 0
}

func TestNewMemoryIsZero(t *testing.T) {
	noLeaks(t)
	name := testName(t)
	o := &Options{Size: 3*4096 + 5}
	for _, make := range []func() (*Segment, error){
		func() (*Segment, error) { return Create(name, o) },
		func() (*Segment, error) { return Create(name, o) }, // in place of the first
		func() (*Segment, error) { return Anonymous("zero", o) },
	} {
		s := must(make())(t)
		if n := bytes.Count(s.Data(), []byte{0}); n != len(s.Data()) {
			t.Errorf("%s: %d of %d bytes are zero", s.Name(), n, len(s.Data()))
		}
		for i := range s.Data() {
			s.Data()[i] = 0xff
		}
		s.Close()
	}
}

// The data is a slice of exactly the size: indexing beyond it panics, although
// the mapping goes on to the end of the page, and an append copies.
func TestDataIsASlice(t *testing.T) {
	noLeaks(t)
	s := closing(t, must(Anonymous("slice", &Options{Size: 100}))(t))
	b := s.Data()
	if len(b) != 100 || cap(b) != 100 {
		t.Errorf("%d bytes, capacity %d, want 100", len(b), cap(b))
	}
	for _, i := range []int{100, -1, 4095} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("byte %d can be written", i)
				}
			}()
			b[i] = 1
		}()
	}
	if b = append(b, 1); &b[0] == &s.Data()[0] {
		t.Error("an append goes beyond the data")
	}
}

func TestAnonymousNeedsNoName(t *testing.T) {
	noLeaks(t)
	for _, label := range []string{"", testName(t), strings.Repeat("x/", 500)} {
		a := closing(t, must(Anonymous(label, &Options{Size: 1}))(t))
		b := closing(t, must(Anonymous(label, &Options{Size: 1}))(t))
		a.Data()[0] = 1
		if b.Data()[0] != 0 || a.UUID() == b.UUID() {
			t.Errorf("%.20q: the label was taken for a name", label)
		}
		if label == "" {
			continue
		}
		if f := shmtest.ShmFiles(prefix + label); len(f) > 0 {
			t.Errorf("%.20q: there are files %q", label, f)
		}
	}
}

func TestBadNames(t *testing.T) {
	noLeaks(t)
	name := testName(t)
	longest := name + strings.Repeat("x", 255-len(prefix)-len(name))
	t.Cleanup(func() { Remove(longest) })
	closing(t, must(Create(longest, &Options{Size: 1}))(t))
	calls := map[string]func(name string) (*Segment, error){
		"Create":       func(name string) (*Segment, error) { return Create(name, &Options{Size: 1}) },
		"OpenOrCreate": func(name string) (*Segment, error) { return OpenOrCreate(name, &Options{Size: 1}) },
		"Open":         func(name string) (*Segment, error) { return Open(name, nil) },
		"Remove":       func(name string) (*Segment, error) { return nil, Remove(name) },
	}
	for verb, call := range calls {
		for bad, want := range map[string]error{
			"":                   fs.ErrInvalid,
			"\x00":               fs.ErrInvalid,
			name + "\x00x":       fs.ErrInvalid,
			"/dev/shm/" + "\x00": fs.ErrInvalid,
			longest + "x":        syscall.ENAMETOOLONG,
		} {
			s, err := call(bad)
			if !errors.Is(err, want) || !strings.Contains(err.Error(), strings.Trim(fmt.Sprintf("%q", bad), `"`)) {
				t.Errorf("%s(%.20q): %v, want %v with the name", verb, bad, err, want)
			}
			if s != nil {
				t.Errorf("%s(%.20q) returns a segment", verb, bad)
			}
		}
	}
	if _, err := Open(name, nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a name was cut at its NUL: %v", err)
	}
	if _, err := Anonymous("a\x00b", &Options{Size: 1}); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("Anonymous with a NUL in its label: %v", err)
	}
}

// What one process writes the other reads, and a process that attached and ends,
// well or badly, takes nothing from those that stay.
func TestVisitorsLeaveTheSegment(t *testing.T) {
	noLeaks(t)
	s := closing(t, must(Create(testName(t), &Options{Size: 10_000}))(t))
	kept := must(Open(s.Name(), nil))(t)
	kept.Close() // as an attachment that came and went
	for i, end := range []func(*shmtest.Child){(*shmtest.Child).Exit, (*shmtest.Child).Kill} {
		write(s, fmt.Sprint("from the parent ", i))
		c := shmtest.Start(t, "visitor", s.Name())
		c.Expect("attached")
		c.Send("")
		c.Expect(fmt.Sprint("from the parent ", i))
		c.Send("from the child %d", i)
		c.Expect(fmt.Sprint("from the child ", i))
		if got := read(s); got != fmt.Sprint("from the child ", i) {
			t.Errorf("the parent reads %q", got)
		}
		write(s, "once more")
		c.Send("")
		c.Expect("once more")
		end(c)
		o := must(Open(s.Name(), nil))(t)
		if o.UUID() != s.UUID() || read(o) != "once more" {
			t.Errorf("after a visitor's end the name leads to another segment, with %q", read(o))
		}
		o.Close()
	}
}

func TestRemove(t *testing.T) {
	noLeaks(t)
	name := testName(t)
	a := must(Create(name, &Options{Size: 5000}))(t)
	c := shmtest.Start(t, "visitor", name)
	c.Expect("attached")
	if err := Remove(name); err != nil {
		t.Fatal(err)
	}
	write(a, "without a name")
	c.Send("")
	c.Expect("without a name")
	late := shmtest.Start(t, "visitor", name)
	late.Expect("no such segment")
	late.Exit()
	if err := Remove(name); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), name) {
		t.Errorf("a second Remove: %v", err)
	}
	b := must(Create(name, &Options{Size: 5000}))(t)
	write(b, "another")
	c.Send("")
	c.Expect("without a name")
	c.Exit()
	a.Close()
	b.Close()
	if err := Remove(name); err != nil {
		t.Errorf("Remove after Close: %v", err)
	}
	if _, err := Open(name, nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Open after Remove: %v", err)
	}
}

// A segment without a name belongs to those who are in it, whoever made it.
func TestSegmentOutlivesItsCreator(t *testing.T) {
	noLeaks(t)
	s := must(Anonymous("heirloom", &Options{Size: 5000}))(t)
	write(s, "for the child")
	c := passing(t, "visitor")
	pass(t, c, "s", s)
	c.Start()
	c.Expect("attached")
	s.Close()
	c.Send("")
	c.Expect("for the child")
	c.Exit()
}

// Who is killed leaves the name, and what it wrote, until somebody decides.
func TestKilledFounder(t *testing.T) {
	noLeaks(t)
	name := testName(t)
	c := shmtest.Start(t, "founder", name)
	c.Expect("founded")
	c.Kill()
	for _, i := range must(List())(t) {
		if i.Name == name && (i.Live || i.Err != nil || i.Size != 5000) {
			t.Errorf("listed as %+v", i)
		}
	}
	s := must(Open(name, nil))(t)
	if got := read(s); got != "left behind" {
		t.Errorf("it left %q", got)
	}
	for _, p := range s.Participants() {
		if !p.Self && p.State == Active {
			t.Errorf("%+v seems to live", p)
		}
	}
	s.Close()
	s = closing(t, must(Create(name, &Options{Size: 1}))(t))
	if len(s.Participants()) != 1 {
		t.Errorf("participants of the new one: %+v", s.Participants())
	}
}

func TestAfterClose(t *testing.T) {
	noLeaks(t)
	name := testName(t)
	s := must(Create(name, &Options{Size: 5000, Kind: KindValue}))(t)
	o := closing(t, must(Open(name, nil))(t))
	write(s, "stays")
	for range 2 {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	if s.Name() != name || s.Size() != 5000 || s.UUID() != o.UUID() || s.Kind() != KindValue || !s.Created() {
		t.Error("a closed segment does not know what it was")
	}
	if b := s.Data(); b != nil {
		t.Errorf("Data returns %d bytes that are not mapped", len(b))
	}
	if s.Usable() || !errors.Is(s.Retain(), os.ErrClosed) {
		t.Error("a closed segment is usable")
	}
	if read(o) != "stays" {
		t.Errorf("the other attachment reads %q", read(o))
	}
}

func TestKeepOutlastsClose(t *testing.T) {
	noLeaks(t)
	name := testName(t)
	s := must(Create(name, &Options{Size: 5000}))(t)
	o := closing(t, must(Open(name, nil))(t))
	s.Keep()
	s.Keep()
	s.Close()
	if !o.Gone(s.ID()) {
		t.Error("who only keeps the memory is still a participant")
	}
	if err := s.Unkeep(); err != nil {
		t.Error(err)
	}
	write(s, "kept")
	if read(o) != "kept" {
		t.Errorf("the other attachment reads %q", read(o))
	}
	if err := s.Unkeep(); err != nil {
		t.Error(err)
	}
	if s.Data() != nil || len(shmtest.Mappings()) != 1 {
		t.Errorf("after the last Unkeep there are %q", shmtest.Mappings())
	}
}

// cramped has no address space for the segment, then it has.
func cramped(args []string) int {
	b, err := os.ReadFile("/proc/self/statm")
	var pages uint64
	if err == nil {
		_, err = fmt.Sscan(string(b), &pages)
	}
	var old syscall.Rlimit
	if err == nil {
		err = syscall.Getrlimit(syscall.RLIMIT_AS, &old)
	}
	if err != nil {
		return complain("%v", err)
	}
	few := syscall.Rlimit{Cur: pages*uint64(os.Getpagesize()) + crampedSize/2, Max: old.Max}
	if err := syscall.Setrlimit(syscall.RLIMIT_AS, &few); err != nil {
		return complain("%v", err)
	}
	s, err := Open(args[0], nil)
	if err2 := syscall.Setrlimit(syscall.RLIMIT_AS, &old); err2 != nil {
		return complain("%v", err2)
	}
	if !errors.Is(err, syscall.ENOMEM) || s != nil {
		return complain("Open without address space: %v", err)
	}
	if err := nothingOpen(len(shmtest.FDs())); err != nil {
		return complain("%v", err)
	}
	if s, err = Open(args[0], nil); err != nil {
		return complain("%v", err)
	}
	return 0
}

const crampedSize = 32 << 20

func TestFailedOpenHarmsNothing(t *testing.T) {
	if os.Getenv("SLUICE_EMULATED") != "" {
		t.Skip("missing: limits on the address space, under emulation")
	}
	noLeaks(t)
	s := closing(t, must(Create(testName(t), &Options{Size: crampedSize}))(t))
	write(s, "here")
	c := shmtest.Start(t, "cramped", s.Name())
	c.Exit()
	o := closing(t, must(Open(s.Name(), nil))(t))
	if o.UUID() != s.UUID() || read(o) != "here" {
		t.Error("the segment is another one")
	}
}
