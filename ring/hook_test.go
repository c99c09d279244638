//go:build linux && sluice_hooks

package ring_test

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/sluice-ipc/sluice/internal/hook"
	"github.com/sluice-ipc/sluice/internal/shmtest"
	"github.com/sluice-ipc/sluice/ring"
	"github.com/sluice-ipc/sluice/shm"
)

func init() {
	roles["step-writer"] = stepWriter
	roles["step-reader"] = stepReader
}

// sayDone tells which steps were passed, and how often.
func sayDone() {
	var steps []string
	for _, s := range hook.Steps() {
		steps = append(steps, fmt.Sprintf("%s:%d", s, hook.Count(s)))
	}
	shmtest.Say("%s", strings.Join(steps, " "))
	shmtest.Hear()
}

// stepWriter sends some of everything that a writer can send, with a reader
// that sleeps, and closes.
func stepWriter(args []string) int {
	r := must(ring.Open(args[0], &ring.Options{Spin: ring.SpinNever}))
	w := must(r.Writer())
	for i, n := range []int{100, 1000, 3000, 2000} {
		if err := w.Write(bg, payload(i, n)); err != nil {
			panic(err)
		}
	}
	if err := w.WriteBatch(bg, [][]byte{payload(4, 900), payload(5, 900), payload(6, 900)}); err != nil {
		panic(err)
	}
	r.Close()
	sayDone()
	return 0
}

func stepReader(args []string) int {
	r := must(ring.Open(args[0], &ring.Options{Spin: ring.SpinNever}))
	rd := must(r.Reader())
	for range 7 {
		must(rd.Peek(bg))
		if err := rd.Release(); err != nil {
			panic(err)
		}
	}
	r.Close()
	sayDone()
	return 0
}

// eachStep runs body for every arrival at every step of ours that the role
// comes by when nothing disturbs it, at most three for each step.
func eachStep(t *testing.T, role string, body func(t *testing.T, step string)) {
	r, name := newRing(t, &ring.Options{Spin: ring.SpinNever})
	c := shmtest.Command(t, role, name)
	c.Start()
	stop := serve(t, r, role)
	steps := strings.Fields(c.Line())
	stop()
	n := 0
	for _, s := range steps {
		step, times, _ := strings.Cut(s, ":")
		if !strings.HasPrefix(step, "ring.") && !strings.HasPrefix(step, "wait.") {
			continue
		}
		for i := range min(atoi(t, times), 3) {
			n++
			t.Run(fmt.Sprintf("%s:%d", step, i+1), func(t *testing.T) {
				body(t, fmt.Sprintf("%s:%d", step, i+1))
			})
		}
	}
	t.Logf("%s: %d steps", role, n)
	if n < 10 {
		t.Errorf("only %d steps: %v", n, steps)
	}
}

// serve is the other end for a role: it reads everything, or sends everything.
// The function it returns waits for its end and returns what came.
func serve(t testing.TB, r *ring.Ring, role string) (wait func() []int) {
	out := make(chan []int, 1)
	if role == "step-writer" {
		rd := must(r.Reader())
		go func() {
			got := drain(t, rd)
			rd.Close()
			out <- got
		}()
	} else {
		w := must(r.Writer())
		go func() {
			for i := range 7 {
				if w.Write(bg, payload(i, 500+300*i)) != nil {
					break
				}
			}
			w.Close()
			out <- nil
		}()
	}
	return func() []int { return <-out }
}

// A writer or reader killed at any step leaves what it had committed, and a
// successor that goes on.
func TestKillAtEveryStep(t *testing.T) {
	for _, role := range []string{"step-writer", "step-reader"} {
		t.Run(role, func(t *testing.T) {
			eachStep(t, role, func(t *testing.T, step string) {
				r, name := newRing(t, &ring.Options{Spin: ring.SpinNever})
				c := shmtest.Command(t, role, name)
				c.Cmd.Env = append(c.Cmd.Env, "SLUICE_HOOK="+step+":kill")
				got := serve(t, r, role)
				c.Start()
				c.Hang() // it ends also when it does not come by the step this time
				c.Wait()
				if strings.HasPrefix(step, "ring.take.") {
					// It never had the end, so that nobody waits for
					// it: take its place and leave.
					if role == "step-writer" {
						must(r.Writer()).Close()
					} else {
						must(r.Reader()).Close()
					}
				}
				if role == "step-writer" {
					inOrder(t, got(), 0)
				} else {
					got()
					rd := must(r.Reader())
					inOrder(t, drain(t, rd), -1)
					rd.Close()
				}
				goOn(t, r, must(r.Reader()))
			})
		})
	}
}

// inOrder checks that numbers count up from first, or from anywhere if that is
// negative. A message in pieces may be lost with who sent or read it.
func inOrder(t *testing.T, got []int, first int) {
	t.Helper()
	for i, v := range got {
		if i == 0 && first >= 0 && v != first {
			t.Fatalf("message %d came first: %v", v, got)
		}
		if i > 0 && v <= got[i-1] || i > 0 && v > got[i-1]+2 {
			t.Fatalf("out of order: %v", got)
		}
	}
}

// A writer or reader stopped at any step is not taken for dead, and goes on.
func TestStopAtEveryStep(t *testing.T) {
	for _, role := range []string{"step-writer", "step-reader"} {
		t.Run(role, func(t *testing.T) {
			eachStep(t, role, func(t *testing.T, step string) {
				r, name := newRing(t, &ring.Options{Spin: ring.SpinNever})
				c := shmtest.Command(t, role, name)
				c.Cmd.Env = append(c.Cmd.Env, "SLUICE_HOOK="+step+":stop")
				got := serve(t, r, role)
				c.Start()
				c.Hang()
				shmtest.Eventually(t, func() bool { return strings.ContainsAny(state(c.Pid()), "TZX") })
				if state(c.Pid()) == "T" { // it may not have come by the step this time
					for range 20 {
						r.Segment().CheckPeers()
					}
					for _, p := range r.Segment().Participants() {
						if p.State != shm.Active {
							t.Fatalf("participant %v is %v while stopped", p.ID, p.State)
						}
					}
					c.Cont()
				}
				if role == "step-writer" {
					if n := got(); len(n) != 7 {
						t.Fatalf("%d of 7 messages came", len(n))
					}
				} else {
					got()
				}
				c.Wait()
			})
		})
	}
}

// state returns the letter that the kernel gives the state of a process, X for
// one that is gone.
func state(pid int) string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, ok := strings.Cut(string(b), ") ")
	if err != nil || !ok {
		return "X"
	}
	return rest[:1]
}

// A writer that sends its last message and closes between the reader's look at
// the header and its look at the role has not sent it in vain.
func TestLastMessageIsNotTakenForTheEnd(t *testing.T) {
	mem := make([]byte, size)
	w, rd := pair(t, mem, mem, nil)
	var once sync.Once
	hook.Set(func(step string) {
		if step == "ring.peek.departed" {
			once.Do(func() {
				w.Write(bg, []byte("last"))
				w.Close()
			})
		}
	})
	defer hook.Set(nil)
	msg, err := rd.TryReadAppend(nil, -1)
	if err != nil || string(msg) != "last" {
		t.Fatalf("read %q, %v", msg, err)
	}
}
