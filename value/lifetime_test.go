//go:build linux

package value_test

import (
	"errors"
	"io/fs"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/sluice-ipc/sluice/internal/shmtest"
	"github.com/sluice-ipc/sluice/shm"
	"github.com/sluice-ipc/sluice/value"
)

// What cannot fail works after Close, for as long as the handle is there; what can
// says that it is closed.
func TestAfterClose(t *testing.T) {
	shmtest.NoLeaks(t)
	func() {
		v := must(value.Anonymous[int32]("v", 5, nil))
		a := must(value.AnonymousArrayFrom("a", []int32{1, 2, 3}, nil))
		for range 2 {
			check(v.Close())
			check(a.Close())
		}
		v.Store(v.Load() + 1)
		a.Set(1, a.AddAt(1, 1)+v.Add(1))
		for i, n := range a.All() {
			if n != []int32{1, 10, 3}[i] {
				t.Errorf("element %d is %d", i, n)
			}
		}
		if n, err := v.Wait(bg, 3); !errors.Is(err, value.ErrClosed) || n != 7 {
			t.Errorf("Wait: %d, %v", n, err)
		}
		for what, err := range map[string]error{
			"Snapshot": second(a.Snapshot(bg, 0, 1)), "CopyIn": a.CopyIn(bg, 0, []int32{1}),
			"CopyOut": a.CopyOut(bg, 0, []int32{1}), "With": a.With(bg, nil), "Apply": a.Apply(nil),
			"View": second(a.View()),
		} {
			if !errors.Is(err, value.ErrClosed) || !strings.Contains(err.Error(), "memfd:a") {
				t.Errorf("%s: %v", what, err)
			}
		}
	}()
	collected(t, "memfd:a")
	collected(t, "memfd:v")
}

// collected waits until the collector has done away with a mapping.
func collected(t testing.TB, name string) {
	t.Helper()
	shmtest.Eventually(t, func() bool {
		runtime.GC()
		for _, m := range shmtest.Mappings() {
			if strings.Contains(m, name) {
				return false
			}
		}
		return true
	}, "%s is mapped", name)
}

// What nobody closes, the collector does, views included.
func TestCollected(t *testing.T) {
	shmtest.NoLeaks(t)
	func() {
		a := must(value.AnonymousArray[int64]("lost", 4, nil))
		must(value.Anonymous[int64]("lost", 4, nil))
		must(a.View())
		must(a.View()).Release()
		s := must(shm.Anonymous("kept", &shm.Options{Size: 1024}))
		v := must(value.At[int64](s, 0, nil))
		must(value.ArrayAt[int64](s, 128, 4, nil))
		check(s.Close()) // the memory stays for the handles
		if v.Add(1) != 1 {
			t.Error("the memory is gone, or another")
		}
	}()
	collected(t, "memfd:lost")
	collected(t, "memfd:kept")
}

// Memory that one process has given up stays what it is for the others, and is
// nobody else's.
func TestMemoryIsNotReused(t *testing.T) {
	v, w := pairOf(t, 111)
	check(v.Close())
	for range 100 {
		x := must(value.Anonymous("next", 222, nil))
		if x.Add(1); w.Load() != 111 || x.Load() != 223 {
			t.Fatalf("%v beside %v", w, x)
		}
		check(x.Close())
		runtime.GC()
	}
}

// A handle that is in use is not collected, even if nobody looks at it again.
func TestNotCollectedInTheMiddle(t *testing.T) {
	var w sync.WaitGroup
	stop := make(chan bool)
	w.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				runtime.GC()
			}
		}
	})
	n := 1000
	if testing.Short() {
		n = 30
	}
	for range n {
		if got := must(value.Anonymous("brief", 3, nil)).Add(4); got != 7 {
			t.Fatal(got)
		}
		if got := must(value.AnonymousArray[byte]("brief", 3, nil)).AddAt(2, 4); got != 4 {
			t.Fatal(got)
		}
	}
	close(stop)
	w.Wait()
	collected(t, "memfd:brief")
}

func TestViews(t *testing.T) {
	shmtest.NoLeaks(t)
	a := must(value.AnonymousArrayFrom("seen", []int16{1, 2, 3}, nil))
	v := must(a.View())
	s := v.Slice()
	s[1] = 20
	if a.At(1) != 20 || len(s) != 3 || cap(s) != 3 {
		t.Errorf("a view of %v, %d long", a.At(1), len(s))
	}
	a.Set(2, 30)
	if s[2] != 30 {
		t.Error("a view of something else")
	}
	panics(t, "index out of range [3] with length 3", func() { s[3] = 0 })
	other := must(a.View())
	f := must(a.Segment().File())
	b := must(value.ArrayFromFile[int16](f, nil))
	check(f.Close())
	check(a.Close())
	if v.Slice()[0] = 10; a.At(0) != 10 {
		t.Error("Close took the memory away")
	}
	if p := b.Segment().Participants(); len(p) != 2 {
		t.Errorf("Close left the segment under a view: %v", p)
	}
	v.Release()
	v.Release()
	if p := b.Segment().Participants(); len(p) != 2 {
		t.Errorf("a view that was released twice took the memory from under another: %v", p)
	}
	other.Release()
	func() {
		defer func() {
			if p, want := recover(), "value: the view of an array in memfd:seen has been released"; p != want {
				t.Errorf("panic %v, want %s", p, want)
			}
		}()
		v.Slice()
	}()
	if p := b.Segment().Participants(); len(p) != 1 {
		t.Errorf("after the last view the segment is not closed: %v", p)
	}
	check(b.Close())
}

// Room for an array is there when it is made, or the error says that it is not.
func TestNoRoom(t *testing.T) {
	name := fresh(t)
	_, err := value.CreateArray[int64](name, 1<<36, nil)
	if !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("an array of 2^36 elements: %v", err)
	}
	if _, err := value.CreateArray[int64](name, 1<<50, nil); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("an array of 2^50 elements: %v", err)
	}
	if len(shmtest.ShmFiles(strings.TrimPrefix(name, "/dev/shm/"))) != 0 {
		t.Error("a file was left")
	}
}
