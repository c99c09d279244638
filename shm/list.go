package shm

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/sluice-ipc/sluice/internal/sys"
)

// Info is what can be seen of a segment from outside.
type Info struct {
	Name    string // for Open and Remove
	Path    string
	Bytes   int64 // of the file
	Size    int64 // of the data area
	Kind    Kind
	UUID    [16]byte
	Created time.Time
	Live    bool  // a live participant is in it
	Err     error // why the rest is not known
}

// List returns the segments in /dev/shm, whoever made them; not those made
// with a path. It attaches to none of them. A file that cannot be read, or is
// not a segment that this version knows, is listed with the reason.
func List() ([]Info, error) {
	if _, err := pathOf("list"); err != nil {
		return nil, fmt.Errorf("shm: list: %w", err)
	}
	entries, err := os.ReadDir(shmDir)
	if err != nil {
		return nil, fmt.Errorf("shm: list: %w", err)
	}
	var all []Info
	for _, e := range entries {
		name, ok := strings.CutPrefix(e.Name(), prefix)
		if !ok {
			continue
		}
		i := Info{Name: name, Path: filepath.Join(shmDir, e.Name())}
		if i.Err = i.read(); i.Err == nil || !os.IsNotExist(i.Err) {
			all = append(all, i)
		}
	}
	return all, nil
}

// read fills in what the file says.
func (i *Info) read() error {
	fd, err := sys.Open(i.Path, true)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), i.Path)
	defer f.Close()
	id, err := sys.Stat(fd)
	if err != nil {
		return err
	}
	i.Bytes = id.Size
	h, err := readHeader(f, i.Name)
	if err != nil {
		return err
	}
	i.Size, i.Kind, i.UUID = int64(h.dataLen), Kind(h.kind), h.uuid
	i.Created = time.Unix(0, h.created)
	i.Live, err = anyoneIn(f, h)
	return err
}
