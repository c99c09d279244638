//go:build linux

package conn_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-ipc/sluice/conn"
	"github.com/sluice-ipc/sluice/internal/race"
	"github.com/sluice-ipc/sluice/internal/shmtest"
	"github.com/sluice-ipc/sluice/internal/sys"
	"github.com/sluice-ipc/sluice/ring"
	"github.com/sluice-ipc/sluice/shm"
)

func init() { roles["crowd"] = crowd }

// crowd dials as often as it is told, opens the queues, and then sends so many
// messages into each.
func crowd(args []string) int {
	var conns, queues, each int
	fmt.Sscan(args[2], &conns)
	fmt.Sscan(args[3], &queues)
	fmt.Sscan(args[4], &each)
	var cs []*conn.Conn
	for range conns {
		cs = append(cs, must(conn.Dial(bg, args[0], &conn.DialOptions{Conn: conn.Options{Size: 1 << 12}})))
	}
	var qs []*ring.Queue[int64]
	for i := range queues {
		qs = append(qs, must(ring.OpenQueue[int64](fmt.Sprintf("%s-%d", args[1], i), nil)))
	}
	shmtest.Say("ready %d", len(shmtest.FDs()))
	for {
		if _, ok := shmtest.Hear(); !ok {
			return 0
		}
		for range each {
			for _, c := range cs {
				if err := c.SendBytes(bg, []byte("x")); err != nil {
					shmtest.Say("%v", err)
				}
			}
			for _, q := range qs {
				if err := q.Put(bg, 1); err != nil {
					shmtest.Say("%v", err)
				}
			}
		}
		shmtest.Say("sent")
	}
}

// Ten thousand goroutines blocked on two thousand connections and queues of
// another process cost few threads and no CPU while nothing happens; all are
// woken, and all can be cancelled.
func TestTenThousandWaiters(t *testing.T) {
	most, each, idle := 1000, 5, 10*time.Second
	if testing.Short() || race.Enabled || os.Getenv("SLUICE_EMULATED") == "1" {
		most, idle = 100, time.Second
	}
	if !sys.HaveWaitv() {
		t.Skip("missing: futex_waitv in this kernel")
	}
	conns := affordable(t, most)
	queues := conns
	before := shmtest.Threads()
	prefix := fmt.Sprintf("crowd-%d", os.Getpid())
	shmtest.NoLeaks(t, "sluice-"+prefix)
	l := must(conn.Listen("", &conn.ListenOptions{Backlog: conns}))
	defer l.Close()
	fds := len(shmtest.FDs())
	var qs []*ring.Queue[int64]
	// Few participants make small segments: /dev/shm may have but 64 MiB.
	o := &ring.QueueOptions{Capacity: 8, Hold: 1, Lanes: 1, Segment: shm.Options{MaxParticipants: 3}}
	for i := range queues {
		name := fmt.Sprintf("%s-%d", prefix, i)
		q := must(ring.CreateQueue[int64](name, o))
		qs = append(qs, q)
		t.Cleanup(func() { q.Close(); shm.Remove(name) })
	}
	perQueue := float64(len(shmtest.FDs())-fds) / float64(queues)
	c := shmtest.Start(t, "crowd", l.Addr(), prefix, fmt.Sprint(conns), fmt.Sprint(queues), fmt.Sprint(each))
	var cs []*conn.Conn
	for range conns {
		a := must(l.Accept(bg))
		cs = append(cs, a)
		t.Cleanup(func() { a.Close() })
	}
	var theirs int
	fmt.Sscanf(c.Line(), "ready %d", &theirs)
	perConn := float64(len(shmtest.FDs())-fds)/float64(conns) - perQueue*float64(queues)/float64(conns)
	t.Logf("descriptors: %.2f for a connection here, %.2f for a queue; %d in the other process", perConn, perQueue, theirs)
	if perConn > 3.1 {
		t.Errorf("%.2f descriptors for a connection", perConn)
	}
	ctx, cancel := context.WithCancel(bg)
	defer cancel()
	var all sync.WaitGroup
	var got, cancelled atomic.Int64
	block := func(get func() error) {
		for range each {
			all.Go(func() {
				for {
					switch err := get(); {
					case err == nil:
						got.Add(1)
					case errors.Is(err, context.Canceled):
						cancelled.Add(1)
						return
					default:
						t.Error(err)
						return
					}
				}
			})
		}
	}
	for _, a := range cs {
		block(func() error { _, err := a.RecvBytes(ctx); return err })
	}
	for _, q := range qs {
		block(func() error { _, err := q.Get(ctx); return err })
	}
	quiet(t)
	cpu, start := sys.CPUTime(), time.Now()
	<-time.After(idle)
	used := sys.CPUTime() - cpu
	t.Logf("%d goroutines: %d threads, %v CPU time in %v", (conns+queues)*each, shmtest.Threads(), used, time.Since(start).Round(time.Millisecond))
	// Go keeps the threads that other tests have needed.
	if n := shmtest.Threads(); n > max(64, before) {
		t.Errorf("%d threads, and %d before", n, before)
	}
	for round := range 2 {
		start := time.Now()
		c.Send("go")
		c.Expect("sent")
		want := int64((conns + queues) * each * (round + 1))
		shmtest.Eventually(t, func() bool { return got.Load() == want }, "%d of %d", got.Load(), want)
		t.Logf("%d messages received in %v", (conns+queues)*each, time.Since(start).Round(time.Millisecond))
	}
	quiet(t)
	start = time.Now()
	cancel()
	all.Wait()
	t.Logf("%d cancelled in %v", cancelled.Load(), time.Since(start).Round(time.Millisecond))
	if cancelled.Load() != int64((conns+queues)*each) {
		t.Error(cancelled.Load())
	}
	c.Exit()
	for _, a := range cs {
		if _, err := a.RecvBytes(bg); err != io.EOF {
			t.Error(err)
		}
	}
}

// affordable returns for how many connections and as many queues there are
// descriptors here, and in a child, but not more than most.
func affordable(t *testing.T, most int) int {
	t.Helper()
	const (
		perPair = 2 + 1 // a connection and a queue
		margin  = 100   // handshakes, and what the test needs besides
		few     = 20
	)
	var limit syscall.Rlimit // Go has made the soft one what the hard one is
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	limit.Cur = min(limit.Cur, 1<<20) // it may be infinite
	n := min(most, (int(limit.Cur)-len(shmtest.FDs())-margin)/perPair)
	if n < few {
		t.Skipf("missing: descriptors, RLIMIT_NOFILE is %d", limit.Cur)
	}
	t.Logf("%d connections and %d queues, of %d; RLIMIT_NOFILE is at least %d", n, n, most, limit.Cur)
	return n
}

// quiet waits until this process uses no CPU to speak of: all its goroutines
// are blocked.
func quiet(t *testing.T) {
	shmtest.Eventually(t, func() bool {
		before := sys.CPUTime()
		<-time.After(200 * time.Millisecond)
		return sys.CPUTime()-before < 40*time.Millisecond
	})
}
