//go:build linux

package conn_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"testing"

	"github.com/sluice-ipc/sluice/conn"
	"github.com/sluice-ipc/sluice/internal/shmtest"
	"github.com/sluice-ipc/sluice/ring"
	"github.com/sluice-ipc/sluice/shm"
)

// roles are what children of this package do; files add theirs.
var roles = map[string]shmtest.Role{}

func TestMain(m *testing.M) {
	if os.Getenv("EXAMPLE_CHILD") != "" {
		exampleChild()
		return
	}
	shmtest.Main(m, roles)
}

var bg = context.Background()

// done is a context that has ended, so that a call makes one attempt.
var done = func() context.Context {
	ctx, cancel := context.WithCancel(bg)
	cancel()
	return ctx
}()

// small makes pipes of the least size, which are soon full.
var small = &conn.Options{Size: 4096}

// asleep makes blocked calls sleep at once.
var asleep = &conn.Options{Size: 4096, Spin: ring.SpinNever}

// newPipe makes a pipe whose ends are closed when the test ends.
func newPipe(t testing.TB, o *conn.Options) (a, b *conn.Conn) {
	t.Helper()
	a, b, err := conn.Pipe(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		a.Close()
		b.Close()
	})
	return a, b
}

// newSimplex is newPipe for one direction.
func newSimplex(t testing.TB, o *conn.Options) (*conn.RecvConn, *conn.SendConn) {
	t.Helper()
	r, w, err := conn.SimplexPipe(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r.Close()
		w.Close()
	})
	return r, w
}

// must is for what a test needs in order to go on, and for children, whose
// parent reads what they die of.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// send sends messages and fails the test if that cannot be done at once.
func send(t testing.TB, c conn.Sender, msgs ...string) {
	t.Helper()
	for _, m := range msgs {
		if err := c.TrySendBytes([]byte(m)); err != nil {
			t.Fatalf("send %.40q: %v", m, err)
		}
	}
}

// expect waits for exactly those messages, in order.
func expect(t testing.TB, c conn.Receiver, msgs ...string) {
	t.Helper()
	for _, m := range msgs {
		got, err := c.RecvBytes(bg)
		if err != nil || string(got) != m {
			t.Fatalf("received %.40q, %v, want %.40q", got, err, m)
		}
	}
}

// expectEOF checks the end of the stream, more than once.
func expectEOF(t testing.TB, c conn.Receiver) {
	t.Helper()
	for range 3 {
		if b, err := c.RecvBytes(bg); err != io.EOF {
			t.Fatalf("received %q, %v, want io.EOF", b, err)
		}
	}
}

// is fails the test unless err is all of want.
func is(t testing.TB, what string, err error, want ...error) {
	t.Helper()
	for _, w := range want {
		if !errors.Is(err, w) {
			t.Errorf("%s: %v, want %v", what, err, w)
		}
	}
}

// inside waits until a goroutine is inside a direction of an end.
func inside(t testing.TB, try func() error) {
	t.Helper()
	shmtest.Eventually(t, func() bool { return errors.Is(try(), conn.ErrBusy) },
		"a goroutine blocks")
}

// receiving is for inside: it says whether somebody receives.
func receiving(c conn.Receiver) func() error {
	return func() error { _, err := c.TryPoll(); return err }
}

// sending is for inside: it says whether somebody sends.
func sending(c interface {
	TryReserve(n int) ([]byte, error)
	Abort() error
}) func() error {
	return func() error {
		_, err := c.TryReserve(0)
		if err == nil {
			c.Abort()
		}
		return err
	}
}

// spawn passes an end to a child in that role, under the name "end".
func spawn(t testing.TB, end shm.Handle, role string, args ...string) *shmtest.Child {
	t.Helper()
	c := shmtest.Command(t, role, args...)
	launch(t, c, end)
	return c
}

// launch passes an end to a child and starts it.
func launch(t testing.TB, c *shmtest.Child, end shm.Handle) {
	t.Helper()
	c.Launch = shm.Start
	if err := shm.Pass(c.Cmd, "end", end); err != nil {
		t.Fatal(err)
	}
	c.Start()
}

func init() { roles["peer"] = peer }

// peer is a child that does with its end what the parent tells it, line by
// line, and answers each line with one. It ends, without closing the end, when
// the parent has nothing more to say.
func peer(args []string) int {
	p := &puppet{}
	p.adopt(args)
	shmtest.Say("ready")
	for {
		line, ok := shmtest.Hear()
		if !ok {
			return 0
		}
		p.do(line)
	}
}

// A puppet is the end that a peer has, in the forms that its direction allows.
type puppet struct {
	c *conn.Conn
	r conn.Receiver
	s conn.Sender
}

// adopt inherits the end; the first argument says which direction it has.
func (p *puppet) adopt(args []string) {
	o := &conn.Options{MaxMessage: 1 << 30}
	switch args[0] {
	case "recv":
		p.r = must(conn.InheritedRecv("end", o))
	case "send":
		p.s = must(conn.InheritedSend("end", o))
	default:
		p.c = must(conn.Inherited("end", o))
		p.r, p.s = p.c, p.c
	}
}

func (p *puppet) do(line string) {
	var verb, arg string
	fmt.Sscan(line, &verb, &arg)
	switch verb {
	case "send":
		answer("sent", p.s.SendBytes(bg, []byte(arg)))
	case "fill": // a message of that many bytes
		var n int
		fmt.Sscan(arg, &n)
		answer("sent", p.s.SendBytes(bg, make([]byte, n)))
	case "recv":
		b, err := p.r.RecvBytes(bg)
		answer("got "+string(b), err)
	case "size":
		b, err := p.r.RecvBytes(bg)
		answer(fmt.Sprint("got ", len(b)), err)
	case "close":
		if p.s != nil {
			answer("closed", p.s.Close())
		} else {
			answer("closed", p.r.Close())
		}
	default:
		p.more(verb)
	}
}

// more are the verbs of a duplex end.
func (p *puppet) more(verb string) {
	switch verb {
	case "closewrite":
		answer("closed", p.c.CloseWrite())
	case "peek":
		b, err := p.r.(interface {
			Peek(context.Context) ([]byte, error)
		}).Peek(bg)
		answer("peeked "+string(b), err)
	case "reserve":
		_, err := p.s.(interface {
			Reserve(context.Context, int) ([]byte, error)
		}).Reserve(bg, 10)
		answer("reserved", err)
	case "block": // in a receive, for good
		go p.r.RecvBytes(bg)
		for {
			if _, err := p.r.TryPoll(); errors.Is(err, conn.ErrBusy) {
				break
			}
		}
		shmtest.Say("blocking")
	default:
		panic("no verb " + verb)
	}
}

func answer(ok string, err error) {
	switch {
	case err == io.EOF:
		shmtest.Say("EOF")
	case err != nil:
		shmtest.Say("error: %v", err)
	default:
		shmtest.Say("%s", ok)
	}
}

// ask sends a line to a peer and expects the answer.
func ask(c *shmtest.Child, line, want string) {
	c.Send("%s", line)
	c.Expect(want)
}
