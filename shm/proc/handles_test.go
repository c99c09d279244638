//go:build linux

package proc_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"runtime"
	"testing"

	"github.com/sluice-ipc/sluice/conn"
	"github.com/sluice-ipc/sluice/internal/shmtest"
	"github.com/sluice-ipc/sluice/ring"
	"github.com/sluice-ipc/sluice/shm"
	"github.com/sluice-ipc/sluice/shm/lock"
	"github.com/sluice-ipc/sluice/shm/proc"
	"github.com/sluice-ipc/sluice/value"
)

func init() {
	proc.Register("count", func(s *shm.Segment) { s.Data()[0]++ })
	proc.Register("double", double)
	proc.Register("work", work)
	proc.Register("relay", relay)
	proc.Register("write", func(r *ring.Ring) error {
		w, err := r.Writer()
		if err != nil {
			return err
		}
		return errors.Join(w.Write(bg, []byte("through the ring")), w.Close())
	})
	proc.Register("twice", twice)
	proc.Register("many", many)
	proc.Register("add", add)
	proc.Register("hold lock", holdLock)
	for name, how := range map[string]func(c *conn.Conn) error{
		"end well":   func(*conn.Conn) error { return nil },
		"end badly":  func(*conn.Conn) error { return errors.New("badly") },
		"end closed": func(c *conn.Conn) error { return c.Close() },
		"end panic":  func(*conn.Conn) error { panic("badly") },
		"end exit":   func(*conn.Conn) error { os.Exit(0); return nil },
		"end killed": func(*conn.Conn) error { self, _ := os.FindProcess(os.Getpid()); self.Kill(); select {} },
	} {
		proc.Register(name, func(c *conn.Conn) error {
			return errors.Join(c.Send(bg, 1), how(c))
		})
	}
}

func double(ctx context.Context, in, out *ring.Queue[int]) error {
	for v, err := range in.All(ctx) {
		if err != nil {
			return err
		}
		if err := out.Put(ctx, 2*v); err != nil {
			return err
		}
	}
	return out.CloseSend()
}

func work(ctx context.Context, q ring.JoinableQueue[string], want string) error {
	v, err := q.Get(ctx)
	if err != nil || v != want {
		return fmt.Errorf("%q, %v", v, err)
	}
	return q.TaskDone()
}

func relay(ctx context.Context, r *conn.RecvConn, s *conn.SendConn) error {
	for v, err := range r.All(ctx) {
		if err := errors.Join(err, s.Send(ctx, v)); err != nil {
			return err
		}
	}
	return nil
}

func TestHandlesAsArguments(t *testing.T) {
	shmtest.NoLeaks(t, "sluice-proc-")
	t.Run("segment", func(t *testing.T) {
		s := segment(t, shm.Options{})
		well(t, start(t, "count", s))
		well(t, start(t, "count", s))
		if n := s.Data()[0]; n != 2 || len(s.Participants()) != 1 {
			t.Errorf("%d, %v", n, s.Participants())
		}
	})
	t.Run("segment with a name", func(t *testing.T) {
		s, err := shm.Create(fmt.Sprintf("sluice-proc-%d", os.Getpid()), &shm.Options{Size: 1})
		if err != nil {
			t.Fatal(err)
		}
		defer shm.Remove(s.Name())
		defer s.Close()
		well(t, start(t, "count", s))
		if s.Data()[0] != 1 {
			t.Errorf("%d", s.Data()[0])
		}
	})
	t.Run("queues", func(t *testing.T) {
		in := closing(t)(ring.AnonymousQueue[int]("in", nil)).(*ring.Queue[int])
		out := closing(t)(ring.AnonymousQueue[int]("out", nil)).(*ring.Queue[int])
		p := start(t, "double", in, out)
		for i := range 100 {
			if err := in.Put(bg, i); err != nil {
				t.Fatal(err)
			}
			if v, err := out.Get(bg); v != 2*i || err != nil {
				t.Fatalf("%d, %v", v, err)
			}
		}
		if err := in.CloseSend(); err != nil {
			t.Fatal(err)
		}
		well(t, p)
		if v, err := out.Get(bg); err != io.EOF {
			t.Errorf("%v, %v", v, err)
		}
	})
	t.Run("joinable queue", func(t *testing.T) {
		q := closing(t)(ring.AnonymousJoinableQueue[string]("tasks", nil)).(ring.JoinableQueue[string])
		if err := q.Put(bg, "a task"); err != nil {
			t.Fatal(err)
		}
		p := start(t, "work", q, "a task")
		if err := q.Join(bg); err != nil || q.Unfinished() != 0 {
			t.Errorf("%v, %d", err, q.Unfinished())
		}
		well(t, p)
	})
	t.Run("ring", func(t *testing.T) {
		r := closing(t)(ring.Anonymous("r", nil)).(*ring.Ring)
		rd, err := r.Reader()
		if err != nil {
			t.Fatal(err)
		}
		well(t, start(t, "write", r))
		if b, err := rd.ReadAppend(bg, nil, -1); string(b) != "through the ring" {
			t.Errorf("%q, %v", b, err)
		}
	})
}

func TestConnectionsAsArguments(t *testing.T) {
	shmtest.NoLeaks(t)
	theirR, ourS, err := conn.SimplexPipe(nil)
	if err != nil {
		t.Fatal(err)
	}
	ourR, theirS, err := conn.SimplexPipe(nil)
	if err != nil {
		t.Fatal(err)
	}
	closing(t)(ourS, nil)
	closing(t)(ourR, nil)
	p := start(t, "relay", theirR, theirS)
	if err := theirS.Send(bg, 1); !errors.Is(err, conn.ErrMoved) {
		t.Errorf("an end that was passed: %v", err)
	}
	for i := range 100 {
		if err := ourS.Send(bg, i); err != nil {
			t.Fatal(err)
		}
		if v, err := ourR.Recv(bg); v != int64(i) || err != nil {
			t.Fatalf("%v, %v", v, err)
		}
	}
	ourS.Close()
	well(t, p)
	if v, err := ourR.Recv(bg); err != io.EOF {
		t.Errorf("%v, %v", v, err)
	}
}

func twice(a, b *ring.Queue[int], c, d ring.JoinableQueue[int], e, f *conn.Conn, n int, other *ring.Queue[int]) error {
	if a != b || c != d || e != f || n != 7 || a == other {
		return fmt.Errorf("they are %p and %p, %v and %v, %p and %p; %d, %p", a, b, c, d, e, f, n, other)
	}
	return errors.Join(a.Put(bg, 1), c.Put(bg, 2), e.Send(bg, 3), other.Put(bg, 4))
}

// The same handle given twice arrives as one, as in Python; so an end of a pipe
// can be, too. Another handle on the same queue remains another one.
func TestSameHandleTwice(t *testing.T) {
	shmtest.NoLeaks(t)
	q := closing(t)(ring.AnonymousQueue[int]("q", nil)).(*ring.Queue[int])
	f, err := q.Segment().File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	again := closing(t)(ring.QueueFromFile[int](f, nil)).(*ring.Queue[int])
	j := closing(t)(ring.AnonymousJoinableQueue[int]("j", nil)).(ring.JoinableQueue[int])
	ours, theirs := pipe(t)
	well(t, start(t, "twice", q, q, j, j, theirs, theirs, 7, again))
	one, err1 := q.Get(bg)
	two, err2 := j.Get(bg)
	four, err3 := q.Get(bg)
	if one != 1 || two != 2 || four != 4 || errors.Join(err1, err2, err3) != nil {
		t.Errorf("%d %d %d %v", one, two, four, errors.Join(err1, err2, err3))
	}
	if n := hear(t, ours); n != 3 {
		t.Errorf("received %d", n)
	}
}

type tip = *conn.Conn

func many(c0, c1, c2, c3, c4, c5, c6, c7, c8, c9, c10, c11, c12, c13, c14, c15 tip, first int) error {
	for i, c := range []tip{c0, c1, c2, c3, c4, c5, c6, c7, c8, c9, c10, c11, c12, c13, c14, c15} {
		if err := c.Send(bg, first+i); err != nil {
			return err
		}
	}
	return nil
}

func TestManyHandles(t *testing.T) {
	shmtest.NoLeaks(t)
	var ours []*conn.Conn
	var args []any
	for range 16 {
		a, b := pipe(t)
		ours, args = append(ours, a), append(args, b)
	}
	p := start(t, "many", append(args, 100)...)
	for i, c := range ours {
		if n := hear(t, c); n != 100+i {
			t.Errorf("from %d: %d", i, n)
		}
	}
	well(t, p)
}

func add(m *lock.Mutex, v *value.Value[int64], a *value.Array[int32], rounds int) error {
	for range rounds {
		v.Add(1)
		err := m.With(bg, func() error {
			a.Set(1, a.At(1)+1) // not atomic: the lock is needed
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func TestLocksAndValuesAsArguments(t *testing.T) {
	shmtest.NoLeaks(t)
	t.Cleanup(func() { runtime.GC(); runtime.GC() }) // the memory stays while a handle may be used
	m, err1 := lock.Anonymous[lock.Mutex]("m", nil)
	v, err2 := value.Anonymous("v", int64(0), nil)
	a, err3 := value.AnonymousArray[int32]("a", 3, nil)
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	defer v.Close()
	defer a.Close()
	const rounds = 1000
	ps := []*proc.Process{start(t, "add", m, v, a, rounds), start(t, "add", m, v, a, rounds)}
	if err := add(m, v, a, rounds); err != nil {
		t.Fatal(err)
	}
	for _, p := range ps {
		well(t, p)
	}
	if v.Load() != 3*rounds || a.At(1) != 3*rounds || a.At(0) != 0 {
		t.Errorf("%d, %d", v.Load(), a.At(1))
	}
	// Whatever can be passed can be an argument.
	for _, h := range []shm.Handle{new(lock.RWMutex), new(lock.Semaphore), new(lock.Event), new(lock.Cond), new(lock.Barrier)} {
		if _, ok := h.(shm.Inheritor); !ok {
			t.Errorf("%v is none", reflect.TypeOf(h))
		}
	}
}

func holdLock(m *lock.Mutex, how string) error {
	if err := m.Lock(bg); err != nil {
		return err
	}
	if how == "panic" {
		panic("with the lock held")
	}
	return nil
}

func TestLockOfADeadChild(t *testing.T) {
	shmtest.NoLeaks(t)
	t.Cleanup(func() { runtime.GC(); runtime.GC() }) // the memory stays while a handle may be used
	for _, how := range []string{"panic", "return"} {
		m, err := lock.Anonymous[lock.Mutex]("m", nil)
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		end(t, quiet(t, "hold lock", m, how))
		if err := m.Lock(bg); !errors.Is(err, lock.ErrOwnerDied) {
			t.Errorf("%s: %v", how, err)
		}
		if err := errors.Join(m.MarkConsistent(), m.Unlock()); err != nil {
			t.Error(err)
		}
	}
}

// What was passed to Cmd by hand is there as well.
func TestPassedBesideArguments(t *testing.T) {
	shmtest.NoLeaks(t)
	s := segment(t, shm.Options{})
	ours, theirs := pipe(t)
	p := newProcess("by hand", theirs)
	if err := shm.Pass(p.Cmd, "mine", s); err != nil {
		t.Fatal(err)
	}
	launch(t, p)
	if n := hear(t, ours); n != 1 {
		t.Errorf("heard %d", n)
	}
	well(t, p)
	if s.Data()[0] != 1 {
		t.Errorf("%d", s.Data()[0])
	}
}

func init() {
	proc.Register("by hand", func(c *conn.Conn) error {
		s, _, err := shm.Inherited("mine", nil)
		if err != nil {
			return err
		}
		defer s.Close()
		s.Data()[0]++
		return c.Send(bg, 1)
	})
}
