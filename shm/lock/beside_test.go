//go:build linux

package lock_test

import (
	"context"
	"encoding/binary"
	"sync"
	"testing"

	"github.com/sluice-ipc/sluice/shm"
	"github.com/sluice-ipc/sluice/shm/lock"
)

// A segment has no lock of its own; one that lies in front of the data serves,
// and each attachment finds it at the same place.
func TestMutexBesideData(t *testing.T) {
	const at, each = 128, 2000
	a, err := shm.Anonymous("beside", &shm.Options{Size: 4096})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	f, err := a.File()
	if err != nil {
		t.Fatal(err)
	}
	b, err := shm.FromFile(f, nil)
	f.Close()
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	var wg sync.WaitGroup
	for _, s := range []*shm.Segment{a, b, a, b} {
		wg.Go(func() {
			m, err := lock.At[lock.Mutex](s, 0, nil)
			for range each {
				if err == nil {
					err = m.With(context.Background(), func() error {
						n := s.Data()[at:]
						binary.NativeEndian.PutUint64(n, binary.NativeEndian.Uint64(n)+1)
						return nil
					})
				}
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := binary.NativeEndian.Uint64(b.Data()[at:]); n != 4*each {
		t.Errorf("counted to %d, want %d", n, 4*each)
	}
}
