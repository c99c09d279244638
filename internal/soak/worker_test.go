//go:build linux

package soak_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/sluice-ipc/sluice/internal/hook"
	"github.com/sluice-ipc/sluice/internal/shmtest"
	"github.com/sluice-ipc/sluice/shm"
)

// A worker is a child: one slot of producers or consumers, and which of its
// processes.
type worker struct {
	*plan
	slot, incarnation int

	q      port
	ledger *ledger
	ctx    context.Context // done when the parent says so, or has gone
}

// fail ends the child, and with it the soak.
func fail(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "pid %d: %s\n", os.Getpid(), fmt.Sprintf(format, args...))
	os.Exit(1)
}

// work attaches a child to queue and ledger, runs f in each of its goroutines,
// and leaves.
func work(args []string, f func(w *worker, g int, rnd *rand.Rand)) int {
	startPoller()
	haunt()
	before := descriptors()
	w := &worker{plan: decodePlan(args[0])}
	w.slot, _ = strconv.Atoi(args[1])
	w.incarnation, _ = strconv.Atoi(args[2])
	file := os.NewFile(3, "ledger")
	var err error
	if w.ledger, err = openLedger(file); err != nil {
		fail("%v", err)
	}
	w.attach()
	var cancel func()
	w.ctx, cancel = context.WithCancel(context.Background())
	go func() {
		shmtest.Hear()
		cancel()
	}()
	var wg sync.WaitGroup
	for g := range w.Crowd {
		wg.Go(func() {
			seed := w.Seed ^ uint64(w.Epoch)<<32 ^ uint64(w.incarnation)<<16
			f(w, g, rand.New(rand.NewPCG(seed, uint64(w.slot*crowd+g))))
		})
	}
	wg.Wait()
	if err := w.q.Close(); err != nil {
		fail("Close: %v", err)
	}
	w.ledger.close()
	leaks(before)
	return 0
}

// attach opens the queue. When all slots are taken, some of them are dead men's
// whose messages others are about to take, and free at once.
func (w *worker) attach() {
	dog := time.AfterFunc(shmtest.Watchdog(), func() { fail("no slot becomes free") })
	defer dog.Stop()
	for {
		var err error
		if w.q, err = openPort(w.plan, false); err == nil {
			return
		}
		if !errors.Is(err, shm.ErrFull) {
			fail("open: %v", err)
		}
		runtime.Gosched()
	}
}

// haunt makes a child stumble at the named steps, if the program has them: it
// takes its time there, or dies. The first arrivals at a step, which may be the
// only ones, are the most dangerous.
func haunt() {
	hook.Set(func(step string) {
		n := hook.Count(step)
		switch {
		case rand.IntN(400*n) == 0:
			syscall.Kill(os.Getpid(), syscall.SIGKILL)
		case rand.IntN(40*n) == 0, rand.IntN(20000) == 0:
			<-time.After(time.Duration(rand.IntN(20)) * time.Millisecond)
		case rand.IntN(200) == 0:
			runtime.Gosched()
		}
	})
}

// startPoller makes the runtime open the descriptors of its network poller.
func startPoller() {
	r, w, err := os.Pipe()
	if err != nil {
		fail("%v", err)
	}
	r.Close()
	w.Close()
}

// descriptors is how many there are.
func descriptors() int { return len(shmtest.FDs()) }

// leaks fails a child that has as many descriptors as before its ledger was
// closed.
func leaks(before int) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	dog := time.AfterFunc(shmtest.Watchdog(), func() {
		fail("descriptors left, %d before: %s", before, strings.Join(shmtest.FDs(), ", "))
	})
	defer dog.Stop()
	for descriptors() >= before {
		<-tick.C
	}
}
