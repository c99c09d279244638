//go:build linux

package shm

import (
	"errors"
	"io/fs"
	"testing"
)

func TestSmoke(t *testing.T) {
	s, err := Create("smoke", &Options{Size: 100})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Create("smoke", &Options{Size: 100}); !errors.Is(err, fs.ErrExist) {
		t.Fatal(err)
	}
	o, err := Open("smoke", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Log(o.Participants())
	copy(s.Data(), "hello")
	if string(o.Data()[:5]) != "hello" {
		t.Error("no")
	}
	l, err := List()
	t.Log(l, err)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if !o.Gone(s.ID()) {
		t.Error("not gone")
	}
	if err := o.Close(); err != nil {
		t.Error(err)
	}
	s, err = Create("smoke", &Options{Size: 200})
	if err != nil {
		t.Fatal(err)
	}
	if err := Remove("smoke"); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	a, err := Anonymous("x", &Options{Size: 5})
	if err != nil {
		t.Fatal(err)
	}
	f, err := a.File()
	if err != nil {
		t.Fatal(err)
	}
	b, err := FromFile(f, nil)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	t.Log(b.Name(), b.ID(), a.ID())
	b.Close()
	a.Close()
}
