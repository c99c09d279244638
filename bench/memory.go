package main

import (
	"fmt"
	"os"

	"github.com/sluice-ipc/sluice/internal/sys"
)

// shareMemory makes memory of its own for a pair, zeroed and of a fixed size.
func shareMemory(label string, size int) (*shared, error) {
	f, err := newMemory(label, size)
	if err != nil {
		return nil, err
	}
	sh := &shared{}
	sh.files[0], sh.files[1] = []*os.File{f}, []*os.File{f}
	return sh, nil
}

func newMemory(label string, size int) (*os.File, error) {
	fd, err := sys.MemfdCreate("bench-" + label)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), label)
	if err := firstError(sys.Fallocate(fd, int64(size)), sys.AddSeals(fd)); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// mapShared maps inherited memory and closes the descriptor.
func mapShared(f *os.File) (sys.Mapping, error) {
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	m, err := sys.Map(int(f.Fd()), st.Size())
	if err != nil {
		return nil, err
	}
	if err := m.Prefault(); err != nil {
		m.Unmap()
		return nil, fmt.Errorf("bench: %w", err)
	}
	return m, nil
}
