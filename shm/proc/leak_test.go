//go:build linux

package proc_test

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-ipc/sluice/conn"
	"github.com/sluice-ipc/sluice/internal/shmtest"
	"github.com/sluice-ipc/sluice/ring"
	"github.com/sluice-ipc/sluice/shm"
	"github.com/sluice-ipc/sluice/shm/proc"
)

// noLeaks is shmtest.NoLeaks for tests with many children: none is left either,
// living or dead. It is the test's first call.
func noLeaks(t testing.TB) {
	t.Helper()
	shmtest.NoLeaks(t)
	t.Cleanup(func() {
		if pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); err != syscall.ECHILD {
			t.Errorf("children left behind: %d, %v", pid, err)
		}
	})
}

func init() {
	proc.Register("burden", func(c *conn.Conn, q *ring.Queue[int], s *shm.Segment, b []byte, code int) error {
		s.Data()[0]++
		if err := errors.Join(c.Send(bg, len(b)), q.Put(bg, code)); err != nil || code == 0 {
			return err
		}
		if code < 0 {
			panic(code)
		}
		return fmt.Errorf("code %d", code)
	})
}

// A burden is what each of many children is given.
type burden struct {
	q *ring.Queue[int]
	s *shm.Segment // which has room for few
	b []byte
}

func newBurden(t testing.TB, most int) burden {
	o := &ring.QueueOptions{}
	o.Segment.MaxParticipants = most
	return burden{
		q: closing(t)(ring.AnonymousQueue[int](t.Name(), o)).(*ring.Queue[int]),
		s: segment(t, shm.Options{MaxParticipants: most}),
		b: make([]byte, 100_000),
	}
}

// alone checks that nobody is left who has the burden.
func (b burden) alone(t testing.TB) {
	t.Helper()
	for _, s := range []*shm.Segment{b.s, b.q.Segment()} {
		shmtest.Eventually(t, func() bool { return present(s) == 1 }, "%s has one participant", s.Name())
	}
}

// Two hundred children in a row, with all kinds of ends, leave nothing.
func TestManyChildrenLeaveNothing(t *testing.T) {
	noLeaks(t)
	b := newBurden(t, 3)
	before := shmtest.FDs()
	for i := range rounds(200) {
		ours, theirs := pipe(t)
		p := newProcess("burden", theirs, b.q, b.s, b.b, i%3-1)
		p.Cmd.Stderr = nil
		if i%7 == 0 {
			p.Cmd.Path = "/no/such/program"
			if err := p.Start(); err == nil {
				t.Fatal("started")
			}
		} else {
			launch(t, p)
			if n := hear(t, ours); n != len(b.b) {
				t.Fatalf("%d bytes arrived", n)
			}
			end(t, p)
			if v, err := b.q.Get(bg); v != i%3-1 || err != nil {
				t.Fatalf("%d, %v", v, err)
			}
		}
		if err := ours.Close(); err != nil {
			t.Fatal(err)
		}
		// The segments watch who is there, until they see them gone.
		shmtest.Eventually(t, func() bool { return len(shmtest.FDs()) <= len(before) },
			"no more descriptors than before: %q, %q", before, shmtest.FDs())
	}
	b.alone(t)
}

// Children may be started by many goroutines at a time.
func TestTwentyChildrenAtOnce(t *testing.T) {
	noLeaks(t)
	const goroutines, each = 5, 4
	b := newBurden(t, 1+goroutines*each)
	var g sync.WaitGroup
	var ours, theirs [goroutines * each]*conn.Conn
	for i := range ours {
		ours[i], theirs[i] = pipe(t)
	}
	var ps [goroutines * each]*proc.Process
	for i := range goroutines {
		g.Go(func() {
			for j := i * each; j < (i+1)*each; j++ {
				ps[j] = newProcess("burden", theirs[j], b.q, b.s, b.b, j)
				if err := ps[j].Start(); err != nil {
					t.Error(err)
				}
			}
			for j := i * each; j < (i+1)*each; j++ {
				err := ps[j].Wait(bg)
				if e, ok := errors.AsType[*proc.ExitError](err); j > 0 && (!ok || e.Err != fmt.Sprintf("code %d", j)) || j == 0 && err != nil {
					t.Errorf("%d: %v", j, err)
				}
				if v, err := ours[j].Recv(bg); v != int64(len(b.b)) || err != nil {
					t.Errorf("%d: %v, %v", j, v, err)
				}
			}
		})
	}
	g.Wait()
	if n := b.q.Len(); n != goroutines*each {
		t.Errorf("%d have put something", n)
	}
	b.alone(t)
}

// Killed at any moment between its start and its first words, a child leaves
// nothing, and everybody sees that it is gone.
func TestKilledAfterStart(t *testing.T) {
	noLeaks(t)
	b := newBurden(t, 3)
	heard := 0
	var life time.Duration // how long a child takes to say something
	for i := range rounds(100) {
		ours, theirs := pipe(t)
		p := newProcess("hold with all", theirs, b.q, b.s, b.b)
		launch(t, p)
		begun := time.Now()
		if i == 0 {
			hear(t, ours)
			life = time.Since(begun)
		}
		for moment := life * time.Duration(i) / 100; time.Since(begun) < moment; {
			runtime.Gosched()
		}
		if err := p.Kill(); err != nil {
			t.Error(err)
		}
		if e := badly(t, p); e.Signal != syscall.SIGKILL || e.Code != -1 || errors.Is(e, proc.ErrNoMain) {
			t.Errorf("%v", e)
		}
		v, err := ours.Recv(bg)
		if err == nil && i > 0 {
			heard++
			v, err = ours.Recv(bg)
		}
		if err != io.EOF || ours.Peer().State != ring.PeerDied {
			t.Errorf("%v, %v, the peer is %v", v, err, ours.Peer().State)
		}
		if err := ours.Close(); err != nil {
			t.Error(err)
		}
	}
	t.Logf("a child takes %v; %d of them came to speak", life, heard)
	b.alone(t)
}

func init() {
	proc.Register("hold with all", func(c *conn.Conn, q *ring.Queue[int], s *shm.Segment, b []byte) error {
		return hold(bg, c)
	})
}

// A process that is forgotten runs on, and is reaped.
func TestForgottenProcess(t *testing.T) {
	noLeaks(t)
	ours, theirs := pipe(t)
	if err := newProcess("hold", theirs).Start(); err != nil {
		t.Fatal(err)
	}
	hear(t, ours)
	runtime.GC()
	runtime.GC()
	if err := ours.Send(bg, 1); err != nil {
		t.Error(err)
	}
	if v, err := ours.Recv(bg); err != io.EOF {
		t.Errorf("%v, %v", v, err)
	}
	shmtest.Eventually(t, func() bool {
		_, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
		return err == syscall.ECHILD
	}, "the child is reaped")
}

// Out of descriptors, at whichever step, a start fails with that error and leaves
// nothing open.
func TestOutOfDescriptors(t *testing.T) {
	noLeaks(t)
	b := newBurden(t, 3)
	var was syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
	defer syscall.Setrlimit(syscall.RLIMIT_NOFILE, &was)
	failed := 0
	for spare := uint64(0); ; spare++ {
		ours, theirs := pipe(t)
		p := newProcess("burden", theirs, b.q, b.s, b.b, 0)
		next, err := syscall.Open("/dev/null", syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		syscall.Close(next)
		few := was
		few.Cur = uint64(next) + spare
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &few); err != nil {
			t.Fatal(err)
		}
		err = p.Start()
		if err2 := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &was); err2 != nil {
			t.Fatal(err2)
		}
		if err == nil {
			p.Kill() // it has few descriptors itself, and may say so
			end(t, p)
			break
		}
		failed++
		ours.Close()
		theirs.Close()
		if !errors.Is(err, syscall.EMFILE) {
			t.Fatalf("with %d descriptors more: %v", spare, err)
		}
		for _, f := range p.Cmd.ExtraFiles {
			if f != nil && f.Close() == nil {
				t.Errorf("with %d descriptors more, %s was open", spare, f.Name())
			}
		}
	}
	if failed < 5 {
		t.Errorf("started with %d descriptors", failed)
	}
	b.alone(t)
}
