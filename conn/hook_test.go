//go:build linux && sluice_hooks

package conn_test

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"

	"github.com/sluice-ipc/sluice/conn"
	"github.com/sluice-ipc/sluice/internal/hook"
	"github.com/sluice-ipc/sluice/internal/shmtest"
	"github.com/sluice-ipc/sluice/ring"
)

func init() {
	roles["stepper"] = stepper
	roles["passer"] = func([]string) int {
		code := roles["middle"](nil)
		sayDone()
		return code
	}
}

// stepper does with its end all that can be done with one.
func stepper([]string) int {
	c := must(conn.Inherited("end", &conn.Options{Spin: ring.SpinNever}))
	for i, n := range []int{10, 3000, 20} {
		if err := c.SendBytes(bg, message(i, n)); err != nil {
			return 1
		}
		if _, err := c.RecvBytes(bg); err != nil {
			return 1
		}
	}
	c.TryRecvBytes()
	c.CloseWrite()
	c.Close()
	sayDone()
	return 0
}

// sayDone tells which steps were passed, and how often.
func sayDone() {
	var steps []string
	for _, s := range hook.Steps() {
		steps = append(steps, fmt.Sprintf("%s:%d", s, hook.Count(s)))
	}
	shmtest.Say("steps %s", strings.Join(steps, " "))
	shmtest.Hear()
}

// eachStep runs body for every arrival of a role at a step, at most three for
// each step.
func eachStep(t *testing.T, role string, body func(t *testing.T, step string)) {
	a, b := newPipe(t, asleep)
	c := spawn(t, b, role)
	finish(a, role)
	line := c.Line()
	for !strings.HasPrefix(line, "steps ") {
		line = c.Line()
	}
	n := 0
	for _, s := range strings.Fields(line)[1:] {
		step, times, _ := strings.Cut(s, ":")
		count, err := strconv.Atoi(times)
		if err != nil {
			t.Fatal(err)
		}
		for i := range min(count, 3) {
			n++
			at := fmt.Sprintf("%s:%d", step, i+1)
			t.Run(at, func(t *testing.T) { body(t, at) })
		}
	}
	t.Logf("%s: %d steps", role, n)
	if n < 10 {
		t.Errorf("only %d steps: %s", n, line)
	}
}

// finish is the other end for a role. It returns what came, and why it ended.
func finish(a *conn.Conn, role string) (msgs [][]byte, err error) {
	if role == "passer" {
		a.SendBytes(bg, []byte("hello"))
	} else {
		for range 3 {
			a.SendBytes(bg, []byte("to you"))
		}
	}
	for {
		msg, err := a.RecvBytes(bg)
		if err != nil && !errors.Is(err, conn.ErrMessageLost) {
			return msgs, err
		}
		if err == nil {
			msgs = append(msgs, msg)
		}
		if role == "passer" {
			a.SendBytes(bg, []byte("stop"))
		}
	}
}

// A child that is killed at any step, of adopting its end, of using it and of
// closing it, has sent what it had sent, whole, and has closed its end.
func TestChildKilledAtEachStep(t *testing.T) {
	eachStep(t, "stepper", func(t *testing.T, step string) {
		a, b := newPipe(t, asleep)
		killAt(t, b, "stepper", step)
		msgs, err := finish(a, "stepper")
		if err != io.EOF {
			t.Errorf("RecvBytes = %v", err)
		}
		last := -1
		for _, m := range msgs {
			i, _, ok := parse(m)
			if !ok || i <= last {
				t.Errorf("message %d after %d is torn or out of order", i, last)
			}
			last = i
		}
		shmtest.Eventually(t, func() bool {
			return errors.Is(a.TrySendBytes(nil), conn.ErrBrokenPipe)
		}, "the other direction is closed")
	})
}

// killAt passes an end to a child that is killed at a step.
func killAt(t *testing.T, end *conn.Conn, role, step string) {
	t.Helper()
	c := shmtest.Command(t, role)
	c.Cmd.Env = append(c.Cmd.Env, "SLUICE_HOOK="+step+":kill")
	launch(t, c, end)
	c.Hang() // it ends also when it does not come by the step this time
}

// A process that is killed at any step of passing its end on has either passed
// it on, or taken it along.
func TestPasserKilledAtEachStep(t *testing.T) {
	eachStep(t, "passer", func(t *testing.T, step string) {
		a, b := newPipe(t, asleep)
		killAt(t, b, "passer", step)
		msgs, err := finish(a, "passer")
		if err != io.EOF || len(msgs) > 1 || len(msgs) == 1 && string(msgs[0]) != "echo hello" {
			t.Errorf("received %q, %v", msgs, err)
		}
	})
}
