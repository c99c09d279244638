package proc

import (
	"io"
	"os"
	"strings"

	"github.com/sluice-ipc/sluice/internal/codec"
)

// A child reports in a file: a mark when it has come to Main, and then either a
// report, in CBOR, or what the Go runtime says when it crashes, as text. What
// exits by itself, or is killed, says nothing more.
const begun = 'M'

// A report is what a child says of its function when that is over.
type report struct{ Err, Panic, Stack string }

const (
	maxText   = 256 << 10 // of each text in a report, so that all fit in one
	maxReport = 1 << 20   // bounds what the parent reads
)

// bytes returns the report as it is written.
func (r report) bytes() []byte {
	for _, s := range []*string{&r.Err, &r.Panic, &r.Stack} {
		if len(*s) > maxText {
			*s = (*s)[:maxText] + "…"
		}
	}
	b, err := codec.CBOR.MarshalAppend(nil, r)
	if err != nil {
		panic(err) // strings can be encoded
	}
	return b
}

func readReport(f *os.File) ([]byte, error) {
	return io.ReadAll(io.NewSectionReader(f, 0, maxReport))
}

// exitError says how a child ended: nil if its function ended well.
func exitError(name string, state *os.ProcessState, said []byte) error {
	e := &ExitError{Func: name, Pid: state.Pid(), Code: state.ExitCode()}
	e.Signal = signalOf(state)
	if len(said) == 0 || said[0] != begun {
		e.noMain = e.Signal == nil
	} else {
		e.parse(said[1:])
	}
	if state.Success() && !e.noMain {
		return nil
	}
	return e
}

// parse takes in what a child said after its mark.
func (e *ExitError) parse(said []byte) {
	var r report
	if codec.CBOR.Unmarshal(said, &r) == nil {
		e.Err, e.Panic, e.Stack = r.Err, r.Panic, r.Stack
		return
	}
	text := strings.TrimSpace(string(said))
	head, stack, ok := strings.Cut(text, "\n\ngoroutine ")
	switch {
	case text == "":
	case ok && strings.HasPrefix(head, "panic: "):
		e.Panic, e.Stack = strings.TrimPrefix(head, "panic: "), "goroutine "+stack
	default:
		// The runtime says which error it is before it begins to crash.
		e.Panic, e.Stack = "fatal error, see its standard error", text
	}
}
