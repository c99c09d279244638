//go:build linux

package proc_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"regexp"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/sluice-ipc/sluice/internal/shmtest"
	"github.com/sluice-ipc/sluice/ring"
	"github.com/sluice-ipc/sluice/shm/proc"
)

func init() {
	proc.Register("panic", func(text string) { panic(text) })
	proc.Register("panic with error", func() error { panic(fmt.Errorf("wrapped: %w", io.ErrUnexpectedEOF)) })
	proc.Register("goexit", func() error { runtime.Goexit(); return nil })
	proc.Register("exit", func(code int) { os.Exit(code) })
	proc.Register("log", func(text string) { log.Fatal(text) })
	proc.Register("panic elsewhere", func(ctx context.Context) { go panicElsewhere(); <-ctx.Done() })
	proc.Register("fatal", func() { new(sync.Mutex).Unlock() })
	proc.Register("fault", func() { *(*int)(nil)++ })
	proc.Register("fault elsewhere", func() { go func() { *(*int)(nil)++ }(); select {} })
	proc.Register("overflow", func() { debug.SetMaxStack(1 << 20); overflow(0) })
	proc.Register("kill", func(sig int) { syscall.Kill(os.Getpid(), syscall.Signal(sig)); select {} })
}

func panicElsewhere() { panic("elsewhere") }

func overflow(n int) int { return overflow(n+1) + 1 }

var where = regexp.MustCompile(`pc=0x[0-9a-f]+`)

// A child is started on each of these, and this is what the parent is told.
func TestHowChildrenEnd(t *testing.T) {
	shmtest.NoLeaks(t)
	long := strings.Repeat("x", 2<<20)
	for _, c := range []struct {
		name   string
		args   []any
		want   proc.ExitError
		stack  string // a part of it
		stderr string // a part of it
		text   string // of the error, after the process's id
	}{
		{name: "fail", args: []any{"a reason"}, want: proc.ExitError{Code: 1, Err: "a reason"},
			text: ": a reason"},
		{name: "fail", args: []any{""}, want: proc.ExitError{Code: 1},
			text: " exited with code 1"},
		{name: "fail", args: []any{long}, want: proc.ExitError{Code: 1, Err: long[:256<<10] + "…"},
			text: ": " + long[:256<<10] + "…"},
		{name: "panic", args: []any{"a text"}, want: proc.ExitError{Code: 2, Panic: "a text"},
			stack: "exit_test.go", stderr: "panic: a text\n\ngoroutine ", text: " panicked: a text"},
		{name: "panic", args: []any{long}, want: proc.ExitError{Code: 2, Panic: long[:256<<10] + "…"},
			stack: "exit_test.go", text: " panicked: " + long[:256<<10] + "…"},
		{name: "panic", args: []any{""}, want: proc.ExitError{Code: 2},
			stack: "exit_test.go", stderr: "panic: \n", text: " panicked"},
		{name: "panic with error", want: proc.ExitError{Code: 2, Panic: "wrapped: unexpected EOF"},
			stack: "exit_test.go", stderr: "panic: wrapped", text: " panicked: wrapped: unexpected EOF"},
		{name: "goexit", want: proc.ExitError{Code: 2, Panic: "the function called runtime.Goexit"},
			stack: "exit_test.go", stderr: "runtime.Goexit", text: " panicked: the function called runtime.Goexit"},
		{name: "panic elsewhere", want: proc.ExitError{Code: 2, Panic: "elsewhere"},
			stack: "panicElsewhere", stderr: "panic: elsewhere", text: " panicked: elsewhere"},
		{name: "fatal", want: proc.ExitError{Code: 2, Panic: "fatal error, see its standard error"},
			stack: "exit_test.go", stderr: "unlock of unlocked", text: " panicked: fatal error, see its standard error"},
		{name: "fault", want: proc.ExitError{Code: 2, Panic: "runtime error: invalid memory address or nil pointer dereference"},
			stack: "exit_test.go", stderr: "nil pointer", text: " panicked: runtime error: invalid memory address or nil pointer dereference"},
		{name: "fault elsewhere", want: proc.ExitError{Code: 2, Panic: "runtime error: invalid memory address or nil pointer dereference\n" +
			"[signal SIGSEGV: segmentation violation code=0x1 addr=0x0 pc=PC]"}, stack: "exit_test.go", stderr: "nil pointer",
			text: " panicked: runtime error: invalid memory address or nil pointer dereference\n" +
				"[signal SIGSEGV: segmentation violation code=0x1 addr=0x0 pc=PC]"},
		{name: "exit", args: []any{7}, want: proc.ExitError{Code: 7},
			text: " exited with code 7"},
		{name: "log", args: []any{"for the log"}, want: proc.ExitError{Code: 1},
			stderr: "for the log", text: " exited with code 1"},
		{name: "kill", args: []any{int(syscall.SIGKILL)}, want: proc.ExitError{Code: -1, Signal: syscall.SIGKILL},
			text: " was ended by killed"},
		{name: "kill", args: []any{int(syscall.SIGTERM)}, want: proc.ExitError{Code: -1, Signal: syscall.SIGTERM},
			text: " was ended by terminated"},
	} {
		p := newProcess(c.name, c.args...)
		var stderr strings.Builder
		p.Cmd.Stderr = &stderr
		launch(t, p)
		e := badly(t, p)
		got := *e
		got.Func, got.Pid, got.Stack = "", 0, ""
		got.Panic = where.ReplaceAllString(got.Panic, "pc=PC")
		if got != c.want {
			t.Errorf("%s: %.200v, want %.200v", c.name, got, c.want)
		}
		if !strings.Contains(e.Stack, c.stack) || (c.stack == "") != (e.Stack == "") {
			t.Errorf("%s: stack %s", c.name, e.Stack)
		}
		if e.Stack != "" && !strings.HasPrefix(e.Stack, "goroutine ") {
			t.Errorf("%s: stack begins %.100q", c.name, e.Stack)
		}
		if s := stderr.String(); !strings.Contains(s, c.stderr) || c.stderr == "" && c.stack == "" && s != "" {
			t.Errorf("%s: standard error %.1000q", c.name, s)
		}
		if want := fmt.Sprintf("proc: %s (process %d)%s", c.name, p.Pid(), c.text); where.ReplaceAllString(e.Error(), "pc=PC") != want {
			t.Errorf("%.200q, want %.200q", e, want)
		}
		if errors.Is(e, proc.ErrNoMain) {
			t.Errorf("%s: %v", c.name, proc.ErrNoMain)
		}
	}
	well(t, start(t, "exit", 0))
	well(t, start(t, "nothing"))
}

func TestStackOverflowIsTold(t *testing.T) {
	e := badly(t, quiet(t, "overflow"))
	if e.Code != 2 || !strings.Contains(e.Panic, "fatal error") || !strings.Contains(e.Stack, "overflow(") {
		t.Errorf("%.500q, %.500q", e.Panic, e.Stack)
	}
}

const noMainEnv = "PROC_TEST_NO_MAIN"

// withoutMain is a main that forgot Main, and starts a child. Or it is one that
// stays, for which there is a word instead of a number.
func withoutMain() {
	if os.Getenv(noMainEnv) == "stay" {
		fmt.Println("here")
		signal.Notify(make(chan os.Signal, 1)) // else all goroutines are asleep
		select {}
	}
	p, err := proc.Start("nothing")
	fmt.Println(p, errors.Is(err, proc.ErrNoMain))
	code, _ := strconv.Atoi(os.Getenv(noMainEnv))
	if code < 0 {
		panic("before Main")
	}
	os.Exit(code)
}

// A program that does not call Main runs its main in the child, and that must
// neither start children without end nor pass for a function that ended well.
func TestProgramWithoutMain(t *testing.T) {
	shmtest.NoLeaks(t)
	for _, code := range []int{0, 3, -1} {
		p := newProcess("fail", "it has run")
		var out strings.Builder
		p.Cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d", noMainEnv, code))
		p.Cmd.Stdout, p.Cmd.Stderr = &out, nil
		launch(t, p)
		e := badly(t, p)
		if code < 0 {
			code = 2
		}
		want := fmt.Sprintf("proc: fail (process %d) exited with code %d before it called Main", p.Pid(), code)
		if !errors.Is(e, proc.ErrNoMain) || e.Code != code || e.Error() != want {
			t.Errorf("code %d: %v %+v", code, e, e)
		}
		if out.String() != "<nil> true\n" {
			t.Errorf("the child's Start: %s", out.String())
		}
	}
}

// A function that returns has its handles closed: its peers see that it left.
// One that panics or exits dies.
func TestPeersSeeHowChildrenEnd(t *testing.T) {
	shmtest.NoLeaks(t)
	for name, want := range map[string]ring.PeerState{
		"end well":   ring.PeerClosed,
		"end badly":  ring.PeerClosed,
		"end closed": ring.PeerClosed,
		"end panic":  ring.PeerDied,
		"end exit":   ring.PeerDied,
		"end killed": ring.PeerDied,
	} {
		t.Run(name, func(t *testing.T) {
			ours, theirs := pipe(t)
			p := quiet(t, name, theirs)
			hear(t, ours)
			if v, err := ours.Recv(bg); err != io.EOF {
				t.Errorf("%v, %v", v, err)
			}
			end(t, p)
			if got := ours.Peer().State; got != want {
				t.Errorf("the peer is %v, want %v", got, want)
			}
		})
	}
}
