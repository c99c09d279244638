package shm

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/sluice-ipc/sluice/internal/hook"
	"github.com/sluice-ipc/sluice/internal/sys"
)

// Create makes a segment and is its first participant. Nobody ever sees it
// half made, nor without a participant, and if this process dies on the way
// nothing is left.
//
// It fails with fs.ErrExist where a segment with a live participant has the
// name. One whose participants are all gone is replaced, and what it held is
// lost. A file that is not a segment is never replaced: [FormatError]. No room
// is a [NoSpaceError]; later accesses never fail for want of room.
func Create(name string, o *Options) (*Segment, error) {
	m, err := newMaker(name, o)
	if err != nil {
		return nil, wrap("create", name, err)
	}
	defer m.close()
	err = until(func() error {
		if err := vacate(m.path, name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return m.publish()
	})
	if err != nil {
		return nil, wrap("create", name, err)
	}
	return m.take(), nil
}

// OpenOrCreate attaches to the segment of that name, be its participants dead
// or alive, or makes it. One from before the machine was started last is
// replaced. [Segment.Created] tells what happened.
func OpenOrCreate(name string, o *Options) (s *Segment, err error) {
	m, err := newMaker(name, o)
	if err != nil {
		return nil, wrap("open or create", name, err)
	}
	defer m.close()
	err = until(func() error {
		if s, err = openPath(name, m.path, &m.opt); err == nil {
			return nil
		}
		if staleBoot(err) {
			err = vacate(m.path, name)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err = m.publish(); err != nil {
			m.close() // so that Attach runs last for what we return
		}
		return err
	})
	if err != nil {
		return nil, wrap("open or create", name, err)
	}
	if s != nil {
		return s, nil
	}
	return m.take(), nil
}

// Anonymous makes a segment without a name: a memfd of fixed size, which
// nobody can shrink. Others attach to it through [Pass], or through
// [Segment.File] and [FromFile]. It is gone with its last user.
func Anonymous(label string, o *Options) (*Segment, error) {
	name := memfdName(label)
	if err := checkName(name); err != nil {
		return nil, wrap("create", name, err)
	}
	opt := o.withDefaults()
	if err := opt.checkNew(); err != nil {
		return nil, wrap("create", name, err)
	}
	fd, err := sys.MemfdCreate(label)
	if err != nil {
		return nil, wrap("create", name, err)
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	s, err := build(f, name, newHeader(&opt, label), &opt)
	return s, wrap("create", name, err)
}

// memfdName is how an anonymous segment is called in errors.
func memfdName(label string) string { return "memfd:" + label }

// A maker makes a segment that has no name yet, at most once, and gives it the
// name when that is free.
type maker struct {
	name, path string
	opt        Options
	file       *os.File
	temp       string // name of file, where the file system has none without
	seg        *Segment
}

func newMaker(name string, o *Options) (*maker, error) {
	m := &maker{name: name, opt: o.withDefaults()}
	if err := m.opt.checkNew(); err != nil {
		return nil, err
	}
	var err error
	m.path, err = pathOf(name)
	return m, err
}

// publish makes the segment unless that has been done, and links it under the
// name: errAgain if the name is taken.
func (m *maker) publish() (err error) {
	if m.seg == nil {
		if m.file, m.temp, err = newFile(m.path); err != nil {
			return err
		}
		m.seg, err = build(m.file, m.name, newHeader(&m.opt, m.name), &m.opt)
		if err != nil {
			return err
		}
		m.seg.path = m.path
	}
	hook.At("shm.create.link")
	err = sys.LinkFD(int(m.file.Fd()), m.path)
	switch {
	case errors.Is(err, fs.ErrExist):
		return errAgain
	case m.temp != "" && errors.Is(err, fs.ErrNotExist) && haveProc():
		m.close() // somebody took our temporary file for a stale one
		return errAgain
	}
	return procError(err)
}

// take hands out the segment that now has the name.
func (m *maker) take() *Segment {
	s := m.seg
	m.seg = nil
	return s
}

// close drops what has not been handed out. A segment without a name vanishes
// with it.
func (m *maker) close() {
	if m.temp != "" {
		os.Remove(m.temp)
		m.temp = ""
	}
	if m.seg != nil {
		m.seg.Close()
		m.seg = nil
	}
	if m.file != nil {
		m.file.Close()
		m.file = nil
	}
}

// build makes an empty file a segment and joins it. The file stays the
// caller's.
func build(f *os.File, name string, h *header, o *Options) (*Segment, error) {
	if err := reserve(f, name, h, o); err != nil {
		return nil, err
	}
	if _, err := f.WriteAt(h.bytes(), 0); err != nil {
		return nil, err
	}
	s, err := newSegment(f, name, h, o)
	if err != nil {
		return nil, err
	}
	s.created = true
	if s.lockFD, err = reopen(int(f.Fd())); err == nil {
		err = s.start(o)
	}
	if err != nil {
		s.discard()
		return nil, err
	}
	return s, nil
}

// start fills a new segment and makes us its first participant.
func (s *Segment) start(o *Options) error {
	if o.Init != nil {
		if err := o.Init(s.Data()); err != nil {
			return err
		}
	}
	if err := s.attach(o); err != nil {
		return err
	}
	return s.join(o, func() error { return nil })
}

// reserve gives the file its length, all of which then exists, and its
// permissions.
func reserve(f *os.File, name string, h *header, o *Options) error {
	fd := int(f.Fd())
	fsName, coherent, err := sys.FSName(fd)
	if err != nil {
		return err
	}
	if !coherent {
		return incoherent(fsName)
	}
	if err := sys.Fallocate(fd, int64(h.fileLen)); errors.Is(err, errNoSpace) {
		return &NoSpaceError{name, int64(h.fileLen), sys.FreeFD(fd)}
	} else if err != nil {
		return err
	}
	if memfd, _ := sys.IsMemfd(fd); memfd {
		return sys.AddSeals(fd)
	}
	if o.Group != 0 {
		if err := sys.Chgrp(fd, o.Group); err != nil {
			return err
		}
	}
	return sys.Chmod(fd, uint32(o.Mode.Perm()|0o600))
}

func incoherent(fsName string) error {
	return fmt.Errorf("memory and locks are not shared on %s: %w",
		fsName, errors.ErrUnsupported)
}
