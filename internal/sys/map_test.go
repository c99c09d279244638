//go:build linux && (amd64 || arm64)

package sys_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"
	"testing"

	"github.com/sluice-ipc/sluice/internal/sys"
)

func TestMappingsShareMemory(t *testing.T) {
	fd, err := sys.MemfdCreate("sluice-test")
	must(t, err)
	must(t, sys.Fallocate(fd, 64<<10))
	a, b := mapped(t, fd), mapped(t, fd)
	must(t, sys.Close(fd)) // not needed any more
	copy(a.Bytes()[60000:], "hello")
	if got := b.Bytes()[60000:60005]; string(got) != "hello" {
		t.Fatalf("the other mapping has %q", got)
	}
	if len(a) != 64<<10 || len(a.Bytes()) != len(a) {
		t.Fatalf("%d bytes", len(a))
	}
}

func TestMapTakesNoDescriptor(t *testing.T) {
	fd := memfd(t)
	before := descriptors(t)
	for range 100 {
		mapped(t, fd)
	}
	// There may be fewer: the garbage collector closes what earlier tests left.
	if now := descriptors(t); now > before {
		t.Fatalf("%d descriptors, %d after mapping", before, now)
	}
	// Descriptors that now have the numbers that Map used meanwhile: a
	// forgotten cleanup would close one of them.
	var fds []int
	for range 100 {
		fds = append(fds, duplicate(t, fd))
	}
	for range 3 {
		runtime.GC()
		cleanups := make(chan struct{})
		runtime.SetFinalizer(&[16]byte{}, func(*[16]byte) { close(cleanups) })
		runtime.GC()
		within(t, "finalizers", cleanups)
	}
	for _, fd := range fds {
		if _, err := sys.Stat(fd); err != nil {
			t.Fatal(err)
		}
	}
}

func TestMapErrors(t *testing.T) {
	fd := memfd(t)
	before := descriptors(t)
	for _, tt := range []struct {
		name string
		fd   int
		size int64
		want error
	}{
		{"nothing", fd, 0, syscall.EINVAL},
		{"less", fd, -1, syscall.EINVAL},
		{"more than there is address space", fd, 1 << 62, syscall.ENOMEM},
		{"no descriptor", -1, 4096, syscall.EBADF},
	} {
		m, err := sys.Map(tt.fd, tt.size)
		if !errors.Is(err, tt.want) || m != nil {
			t.Errorf("%s: got %d bytes, %v, want %v", tt.name, len(m), err, tt.want)
		}
	}
	if now := descriptors(t); now > before {
		t.Errorf("%d descriptors, %d after errors", before, now)
	}
}

func TestUnmap(t *testing.T) {
	fd, err := sys.MemfdCreate("sluice-unmapped")
	closing(t, fd, err)
	must(t, sys.Fallocate(fd, 4096))
	m, err := sys.Map(fd, 4096)
	must(t, err)
	visible := func() bool {
		b, err := os.ReadFile("/proc/self/maps")
		must(t, err)
		return bytes.Contains(b, []byte("sluice-unmapped"))
	}
	if !visible() {
		t.Fatal("not in /proc/self/maps while mapped")
	}
	must(t, m.Unmap())
	if visible() {
		t.Fatal("still in /proc/self/maps")
	}
	if err := m.Unmap(); !errors.Is(err, syscall.EINVAL) {
		t.Fatalf("again: got %v, want EINVAL", err)
	}
}

// prefaults are the two ways, and each must hold what Prefault promises.
func prefaults(t *testing.T, body func(t *testing.T, prefault func(sys.Mapping))) {
	t.Run("as the kernel can", func(t *testing.T) {
		body(t, func(m sys.Mapping) { must(t, m.Prefault()) })
	})
	t.Run("by touching", func(t *testing.T) { body(t, sys.Touch) })
}

func TestPrefaultMakesPagesPresent(t *testing.T) {
	prefaults(t, func(t *testing.T, prefault func(sys.Mapping)) {
		fd, err := sys.MemfdCreate("sluice-test")
		closing(t, fd, err)
		must(t, syscall.Ftruncate(fd, 64<<10)) // a hole, so that pages show
		m := mapped(t, fd)
		prefault(m)
		wantReserved(t, fd, 64<<10)
	})
}

// Present is not enough: on a disk file a page that was only read faults
// again when it is first written. So does one that the kernel has written back
// in between, which it does when it likes: hence several attempts.
func TestPrefaultSparesLaterFaults(t *testing.T) {
	const size = 16 << 20
	pages := int64(size / os.Getpagesize())
	prefaults(t, func(t *testing.T, prefault func(sys.Mapping)) {
		var n int64
		for range 3 {
			if n = laterFaults(t, size, prefault); n <= pages/2 {
				return
			}
			t.Logf("%d faults on %d pages", n, pages)
		}
		t.Errorf("%d faults on %d pages", n, pages)
	})
}

// laterFaults counts the page faults of writing to each page of a fresh file that
// has been prefaulted.
func laterFaults(t *testing.T, size int64, prefault func(sys.Mapping)) int64 {
	t.Helper()
	faults := func() int64 {
		var ru syscall.Rusage
		must(t, syscall.Getrusage(syscall.RUSAGE_SELF, &ru))
		return ru.Minflt
	}
	fd, err := sys.OpenExcl(t.TempDir()+"/file", 0o600)
	closing(t, fd, err)
	must(t, sys.Fallocate(fd, size))
	m, err := sys.Map(fd, size)
	must(t, err)
	defer m.Unmap()
	prefault(m)
	before := faults()
	for off := 0; off < len(m); off += os.Getpagesize() {
		m[off] = 1
	}
	return faults() - before
}

func TestPrefaultChangesNothing(t *testing.T) {
	prefaults(t, func(t *testing.T, prefault func(sys.Mapping)) {
		fd := memfd(t)
		m := mapped(t, fd)
		for i := range m {
			m[i] = byte(i * 7)
		}
		want := bytes.Clone(m)
		prefault(m)
		if !bytes.Equal(m, want) {
			t.Fatal("bytes changed")
		}
		// Nor does it lose what others write at the same time.
		w, _ := word(m, 0)
		w.Store(0)
		done := make(chan error, 1)
		go func() {
			for i := range uint32(300_000) {
				if got := w.Add(1); got != i+1 {
					done <- fmt.Errorf("counted %d, found %d", i+1, got)
					return
				}
			}
			done <- nil
		}()
		for {
			select {
			case err := <-done:
				must(t, err)
				return
			default:
				prefault(m[:4096])
			}
		}
	})
}

func TestLockInMemory(t *testing.T) {
	m := mapped(t, memfd(t))
	err := m[:4096].Lock()
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOMEM) {
		t.Skipf("missing: RLIMIT_MEMLOCK of a page: %v", err)
	}
	must(t, err)
}

func TestHugeAdvice(t *testing.T) {
	m := mapped(t, memfd(t))
	if err := m.HugeAdvice(); errors.Is(err, errors.ErrUnsupported) {
		t.Skip("missing: transparent huge pages")
	} else {
		must(t, err)
	}
}
