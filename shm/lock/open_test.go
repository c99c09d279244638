//go:build linux

package lock_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"github.com/sluice-ipc/sluice/internal/shmtest"
	"github.com/sluice-ipc/sluice/shm"
	"github.com/sluice-ipc/sluice/shm/lock"
)

func init() {
	roles["inherit"] = inherit
	roles["open-or-create"] = openOrCreate
}

// raw makes a segment of the caller's.
func raw(t testing.TB, size int64) *shm.Segment {
	t.Helper()
	s := must(shm.Anonymous("lock-raw", &shm.Options{Size: size, MaxParticipants: 8}))
	t.Cleanup(func() { s.Close() })
	return s
}

// join attaches to the segment once more, as another participant.
func join(t testing.TB, s *shm.Segment) *shm.Segment {
	t.Helper()
	f := must(s.File())
	defer f.Close()
	again := must(shm.FromFile(f, nil))
	t.Cleanup(func() { again.Close() })
	return again
}

func TestMutexesBesideEachOther(t *testing.T) {
	a := raw(t, 4096)
	b := join(t, a)
	n := must(lock.Size[lock.Mutex](0, nil))
	if n != 128 || must(lock.Size[lock.Mutex](a.Slots(), nil)) != n {
		t.Fatalf("a mutex takes %d bytes", n)
	}
	var ours, theirs []*lock.Mutex
	for off := int64(0); off < 4096; off += n { // up to the last bytes
		ours = append(ours, must(lock.At[lock.Mutex](a, off, nil)))
		theirs = append(theirs, must(lock.At[lock.Mutex](b, off, nil)))
	}
	for i, m := range ours {
		check(m.Lock(bg))
		for j, o := range theirs {
			if ok := must(o.TryLock()); ok != (j != i) {
				t.Fatalf("with %d held, TryLock of %d = %v", i, j, ok)
			} else if ok {
				check(o.Unlock())
			}
		}
		check(m.Unlock())
	}
	if s, want := ours[3].String(), "+384, free"; !strings.Contains(s, want) {
		t.Errorf("%q does not say %q", s, want)
	}
	check(ours[0].Close()) // does nothing
	check(ours[0].Lock(bg))
	check(a.Close()) // takes effect later
	if b.Gone(a.ID()) {
		t.Error("a segment in which a lock is held is gone")
	}
	wantErr(t, "Lock in a closed segment", ours[1].Lock(bg), lock.ErrClosed)
	check(ours[0].Unlock())
	if !b.Gone(a.ID()) {
		t.Error("the segment is still there")
	}
	_, err := lock.At[lock.Mutex](a, 0, nil)
	wantErr(t, "At in a closed segment", err, lock.ErrClosed)
}

// Close of the caller's segment wakes those who wait for a lock in it.
func TestCloseOfTheSegmentWhileWaiting(t *testing.T) {
	a := raw(t, 4096)
	b := join(t, a)
	check(must(lock.At[lock.Mutex](b, 256, nil)).Lock(bg))
	m := must(lock.At[lock.Mutex](a, 256, nil))
	waiting := asleep(t, func() error { return m.Lock(bg) })
	check(a.Close())
	wantErr(t, "Lock", got(t, waiting), lock.ErrClosed)
}

func TestAtRefusesWhatCannotBe(t *testing.T) {
	s := raw(t, 1024)
	binary.LittleEndian.PutUint64(s.Data()[512:], 42) // something else lies there
	for _, c := range []struct {
		off  int64
		want string
	}{
		{1, "offset is 1, want a multiple of 128"},
		{64, "offset is 64, want a multiple of 128"},
		{-128, "offset is -128, want a multiple of 128"},
		{1 << 62, fmt.Sprintf("size of the data area is 1024, want 128 bytes at %d", 1<<62)},
		{1024, "size of the data area is 1024, want 128 bytes at 1024"},
		{512, "kind of lock is 42, want "},
	} {
		m, err := lock.At[lock.Mutex](s, c.off, nil)
		var f *shm.FormatError
		if m != nil || !errors.As(err, &f) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("At %d: %v, want %q", c.off, err, c.want)
		}
	}
	small := raw(t, 64)
	if _, err := lock.At[lock.Mutex](small, 0, nil); err == nil {
		t.Error("a mutex fits into 64 bytes")
	}
	if s.Data()[512] != 42 || s.Data()[8] != 0 {
		t.Error("what was refused was changed")
	}
}

func TestOpenRefusesWhatIsNoMutex(t *testing.T) {
	file := fresh(t)
	_, err := lock.Open[lock.Mutex](file, nil)
	wantErr(t, "Open of nothing", err, fs.ErrNotExist)
	s := must(shm.Create(file, &shm.Options{Size: 4096}))
	_, err = lock.Open[lock.Mutex](file, nil)
	var f *shm.FormatError
	if !errors.As(err, &f) || f.Field != "kind" {
		t.Errorf("Open of a raw segment: %v", err)
	}
	s.Close()
	m := must(lock.Create[lock.Mutex](file, nil)) // replaces what nobody is in
	defer m.Close()
	_, err = lock.Create[lock.Mutex](file, nil)
	wantErr(t, "Create of what there is", err, fs.ErrExist)
	_, err = lock.Inherited[lock.Mutex]("nothing", nil)
	wantErr(t, "Inherited of nothing", err, shm.ErrNotFound)

	// The tag in the memory counts as well as the header.
	binary.LittleEndian.PutUint64(m.Segment().Data(), 42)
	before := len(m.Segment().Participants())
	if _, err = lock.Open[lock.Mutex](file, nil); !errors.As(err, &f) || f.Field != "kind of lock" {
		t.Errorf("Open of what says it is something else: %v", err)
	}
	if n := len(m.Segment().Participants()); n != before {
		t.Errorf("%d participants, %d before", n, before)
	}
}

func TestFromFile(t *testing.T) {
	m := must(lock.Anonymous[lock.Mutex]("from-file", nil))
	defer m.Close()
	f := must(m.Segment().File())
	other := must(lock.FromFile[lock.Mutex](f, nil))
	defer other.Close()
	f.Close()
	check(m.Lock(bg))
	if ok := must(other.TryLock()); ok || other.Holder() != m.Segment().ID() {
		t.Error("it is not the same lock")
	}
	check(m.Unlock())
	if s, want := other.String(), "lock.Mutex(memfd:from-file, free)"; s != want {
		t.Errorf("%q, want %q", s, want)
	}
}

// inherit gets a mutex of its own, and one beside a counter, from its parent,
// and counts under both.
func inherit([]string) int {
	m := must(lock.Inherited[lock.Mutex]("mutex", nil))
	_, err := lock.Inherited[lock.Mutex]("placed", nil)
	var f *shm.FormatError
	if !errors.As(err, &f) {
		panic(err) // it lies among other things
	}
	s, detail, err := shm.Inherited("placed", nil)
	check(err)
	shmtest.Say("%s", detail)
	placed := must(lock.At[lock.Mutex](s, 256, nil))
	shmtest.Say("%s %s", name(m.Unlock()), name(placed.Unlock()))
	shmtest.Hear()
	for range 1000 {
		check(m.Lock(bg))
		check(placed.Lock(bg))
		increment(s.Data()[384:])
		check(placed.Unlock())
		check(m.Unlock())
	}
	return 0
}

// increment counts as no processor does in one step.
func increment(b []byte) {
	binary.LittleEndian.PutUint64(b, binary.LittleEndian.Uint64(b)+1)
}

// A child gets a handle of its own and not the lock.
func TestPass(t *testing.T) {
	m := must(lock.Anonymous[lock.Mutex]("pass", nil))
	defer m.Close()
	s := raw(t, 1024)
	placed := must(lock.At[lock.Mutex](s, 256, nil))
	check(m.Lock(bg))
	check(placed.Lock(bg))
	c := shmtest.Command(t, "inherit")
	check(shm.Pass(c.Cmd, "mutex", m))
	check(shm.Pass(c.Cmd, "placed", placed))
	c.Launch = shm.Start
	c.Start()
	c.Expect("at 256")
	c.Expect("notowner notowner")
	check(m.Unlock())
	check(placed.Unlock())
	c.Send("go")
	for range 1000 {
		check(placed.Lock(bg))
		increment(s.Data()[384:])
		check(placed.Unlock())
	}
	c.Exit()
	if n := binary.LittleEndian.Uint64(s.Data()[384:]); n != 2000 {
		t.Errorf("counted to %d", n)
	}
	if m.Holder() != 0 || placed.Holder() != 0 {
		t.Errorf("%v, %v", m, placed)
	}
}

func openOrCreate(args []string) int {
	shmtest.Say("ready")
	shmtest.Hear()
	m := must(lock.OpenOrCreate[lock.Mutex](args[0], nil))
	check(m.Lock(bg))
	shmtest.Say("%v", m.Segment().Created())
	shmtest.Hear()
	check(m.Unlock())
	return 0
}

// Of those who open or create at the same time, one creates, and all have the
// same lock.
func TestOpenOrCreateRace(t *testing.T) {
	for range 3 {
		file := fresh(t)
		var cs []*shmtest.Child
		for range 4 {
			c := shmtest.Start(t, "open-or-create", file)
			c.Expect("ready")
			cs = append(cs, c)
		}
		for _, c := range cs {
			c.Send("go")
		}
		lines := make(chan int, len(cs))
		made := make([]bool, len(cs))
		for i, c := range cs {
			go func() {
				line, ok := c.Next()
				made[i] = ok && line == "true"
				lines <- i
			}()
		}
		created := 0
		for range cs { // one holds the lock at a time
			i := <-lines
			if made[i] {
				created++
			}
			if len(lines) > 0 {
				t.Error("two hold the lock")
			}
			cs[i].Send("unlock")
		}
		for _, c := range cs {
			c.Exit()
		}
		if created != 1 {
			t.Errorf("%d have created it", created)
		}
	}
}
