//go:build linux

package conn_test

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"testing"

	"github.com/sluice-ipc/sluice/conn"
	"github.com/sluice-ipc/sluice/internal/shmtest"
	"github.com/sluice-ipc/sluice/ring"
	"github.com/sluice-ipc/sluice/shm"
)

// G3: a child can pass the end on to a child of its own.
func TestPassToGrandchild(t *testing.T) {
	a, b := newPipe(t, nil)
	c := spawn(t, b, "middle")
	c.Expect("passed on")
	send(t, a, "hello")
	expect(t, a, "echo hello")
	if p := a.Peer(); p.PID == c.Pid() || p.PID == 0 {
		t.Errorf("Peer = %+v, the middle is %d", p, c.Pid())
	}
	send(t, a, "stop")
	expectEOF(t, a)
	c.Exit()
}

func init() {
	roles["middle"] = func([]string) int {
		c := must(conn.Inherited("end", nil))
		cmd := exec.Command(os.Args[0], "-test.run=^$", "--")
		cmd.Env = append(os.Environ(), "SLUICE_TEST_ROLE=echo")
		if err := shm.Pass(cmd, "end", c); err != nil {
			panic(err)
		}
		if err := shm.Start(cmd); err != nil {
			panic(err)
		}
		shmtest.Say("passed on")
		if err := cmd.Wait(); err != nil {
			panic(err)
		}
		return 0
	}
	roles["echo"] = func([]string) int {
		c := must(conn.Inherited("end", nil))
		for msg, err := range c.AllBytes(bg) {
			if err != nil {
				return 1
			}
			if string(msg) == "stop" {
				return 0
			}
			if err := c.SendBytes(bg, append([]byte("echo "), msg...)); err != nil {
				return 1
			}
		}
		return 0
	}
}

// P28: a poll here and a receive there leave messages as they are; and a
// direction that was closed stays closed when the end moves.
func TestPollThenPass(t *testing.T) {
	a, b := newPipe(t, nil)
	send(t, a, "one", "two")
	if ready, err := b.Poll(bg); !ready || err != nil {
		t.Fatal(ready, err)
	}
	if err := b.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	c := spawn(t, b, "peer", "both")
	c.Expect("ready")
	ask(c, "recv", "got one")
	ask(c, "recv", "got two")
	c.Send("send x")
	if got := c.Line(); got != "error: conn: send to memfd:pipe.b: end is closed" {
		t.Error(got)
	}
	expectEOF(t, a)
	send(t, a, "three")
	ask(c, "recv", "got three")
}

// The same for the other direction.
func TestPassOfEndThatOnlySends(t *testing.T) {
	a, b := newPipe(t, nil)
	if err := b.CloseRead(); err != nil {
		t.Fatal(err)
	}
	c := spawn(t, b, "peer", "both")
	c.Expect("ready")
	is(t, "send", a.SendBytes(bg, nil), conn.ErrBrokenPipe)
	c.Send("recv")
	if got := c.Line(); got != "error: conn: receive from memfd:pipe.b: end is closed" {
		t.Error(got)
	}
	ask(c, "send up", "sent")
	expect(t, a, "up")
}

// P41: what is not an end of the right kind is refused, with an error that says
// why, and an end that was refused can be asked for as what it is.
func TestInheritedRefuses(t *testing.T) {
	_, err := conn.Inherited("nothing", nil)
	is(t, "Inherited", err, fs.ErrNotExist, shm.ErrNotFound)

	r, w := newSimplex(t, nil)
	c := spawn(t, r, "picky")
	for _, want := range []string{"direction", "direction", "fine"} {
		c.Expect(want)
	}
	is(t, "send", w.SendBytes(bg, nil), nil)

	rr, err := ring.Anonymous("ring", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer rr.Close()
	c = spawn(t, rr, "picky")
	for range 3 {
		c.Expect("kind")
	}
}

func init() {
	roles["picky"] = func([]string) int {
		_, duplex := conn.Inherited("end", nil)
		_, sends := conn.InheritedSend("end", nil)
		r, receives := conn.InheritedRecv("end", nil)
		for _, err := range []error{duplex, sends, receives} {
			var f *shm.FormatError
			switch {
			case errors.Is(err, conn.ErrDirection):
				shmtest.Say("direction")
			case errors.As(err, &f):
				shmtest.Say("%s", f.Field)
			case err == nil:
				shmtest.Say("fine")
			default:
				shmtest.Say("%v", err)
			}
		}
		shmtest.Hear()
		if r != nil {
			r.Close()
		}
		return 0
	}
}
