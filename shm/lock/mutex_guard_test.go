//go:build linux

package lock_test

import (
	"encoding/binary"
	"errors"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/sluice-ipc/sluice/internal/shmtest"
	"github.com/sluice-ipc/sluice/shm"
	"github.com/sluice-ipc/sluice/shm/lock"
)

// try does with a mutex whatever does not wait.
func try(m *lock.Mutex) {
	o := m.Owner()
	for range 2 {
		m.TryLock()
		m.Held()
		m.Holder()
		_ = m.String()
		m.MarkConsistent()
		o.TryLock()
		m.Unlock()
		o.MarkConsistent()
		o.Unlock()
	}
	m.Lock(soon{bg})
	m.Unlock()
}

// words are what a peer may write into a mutex.
func words(m *lock.Mutex, others ...*lock.Mutex) []uint64 {
	slots := uint64(m.Segment().Slots())
	all := []uint64{0, 1, 1<<41 - 1, ^uint64(0), 1 << 63, 511 << 32, (slots-1)<<32 | 3, slots << 32}
	for _, h := range append(others, m) {
		all = append(all, uint64(h.Segment().ID()))
	}
	for _, v := range all[:len(all):len(all)] {
		for bits := range uint64(16) {
			all = append(all, v|bits<<48)
		}
	}
	return all
}

// Whatever a peer writes into a mutex, calls end, with the lock or an error.
func TestGarbageInTheWords(t *testing.T) {
	m, file := newMutex(t)
	other := another(t, file)
	for _, v := range words(m, other) {
		for _, ev := range []uint32{0, 1, 3, ^uint32(0), ^uint32(0) - 1} {
			m.Word().Store(v)
			m.EventWord().Store(ev)
			try(m)
			m.Word().Store(v)
			m.Lock(soon{bg})
		}
	}
	m.Word().Store(0)
	goOn(t, m, other)
}

func FuzzMutex(f *testing.F) {
	f.Add(uint64(0), uint32(0), []byte{})
	f.Add(uint64(lock.Inconsistent), uint32(1), []byte("garbage"))
	f.Fuzz(func(t *testing.T, word uint64, event uint32, rest []byte) {
		s := must(shm.Anonymous("fuzz", &shm.Options{Size: 128}))
		defer s.Close()
		m := must(lock.At[lock.Mutex](s, 0, nil))
		copy(s.Data()[24:], rest)
		m.Word().Store(word)
		m.EventWord().Store(event)
		try(m)
		binary.NativeEndian.PutUint64(s.Data(), word)
		lock.At[lock.Mutex](s, 0, nil)
	})
}

// A peer that writes all the time: calls end all the same.
func TestPeerThatWritesGarbage(t *testing.T) {
	m, file := newMutex(t)
	other := another(t, file)
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		all := words(other)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				other.Word().Store(all[i%len(all)])
				other.EventWord().Add(uint32(i))
			}
		}
	}()
	for range shorten(2000) {
		try(m)
	}
	close(stop)
	<-done
	m.Word().Store(0)
	goOn(t, m, other)
}

// A file that is cut off is an error of who guards against it, and the sleeping
// are woken by Close.
func TestTruncationUnderGuard(t *testing.T) {
	shmtest.RequireFaults(t)
	m, file := newMutex(t)
	check(os.Truncate(file, m.Segment().DataOffset()))
	var fault *shm.FaultError
	if err := shm.Guard(func() error { return m.Lock(bg) }); !errors.As(err, &fault) {
		t.Errorf("Lock: %v", err)
	}
	if err := shm.Guard(m.Unlock); !errors.As(err, &fault) {
		t.Errorf("Unlock: %v", err)
	}
	if _, err := m.TryLock(); !errors.As(err, &fault) { // it is known by now
		t.Errorf("TryLock: %v", err)
	}
}

// Who has lost the proof of being alive is told, also while it waits.
func TestLostLockEndsWaits(t *testing.T) {
	m := must(lock.Anonymous[lock.Mutex]("lost-lock", nil))
	defer m.Close()
	check(m.Lock(bg))
	waiting := asleep(t, func() error { return m.Lock(bg) })
	null := must(os.Open(os.DevNull))
	defer null.Close()
	for _, fd := range shmtest.FDs() {
		if n, to, _ := strings.Cut(fd, " "); strings.Contains(to, "lost-lock") {
			check(syscall.Dup3(int(null.Fd()), must(strconv.Atoi(n)), syscall.O_CLOEXEC))
		}
	}
	wantErr(t, "Lock", got(t, waiting), shm.ErrLost)
	wantErr(t, "Lock", m.Lock(bg), shm.ErrLost)
	wantErr(t, "Unlock", m.Unlock(), nil)
}
