package shmtest

import (
	"bufio"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// A Role is what a child process does, with the arguments its parent gave it.
// The result is the exit code.
type Role func(args []string) int

const (
	roleEnv   = "SLUICE_TEST_ROLE"
	tracedEnv = "SLUICE_TEST_TRACED"
	emptyRole = "shmtest-empty" // an operation of no instruction, see EveryPoint

	// wrapperEnv names the program that runs test binaries made for another
	// processor: what was given to go test -exec.
	wrapperEnv = "SLUICE_TEST_EXEC"
)

// Main runs the tests of a package whose children take these roles, or, in such
// a child, the role. It does not return: it is the last call of TestMain.
func Main(m *testing.M, roles map[string]Role) {
	name, isChild := os.LookupEnv(roleEnv)
	if !isChild {
		os.Exit(m.Run())
	}
	// The child's own children are not that role by accident.
	os.Unsetenv(roleEnv)
	if name == emptyRole {
		Trace(func() {})
		os.Exit(0)
	}
	role := roles[name]
	if role == nil {
		fmt.Fprintf(os.Stderr, "shmtest: no role %q in this package\n", name)
		os.Exit(2)
	}
	os.Exit(role(roleArgs()))
}

// roleArgs returns what stands behind the "--" that Command puts in front.
func roleArgs() []string {
	return os.Args[slices.Index(os.Args, "--")+1:]
}

var stdin = bufio.NewReader(os.Stdin)

// Say sends a line to the parent. Of a parent that has gone the child dies, by
// SIGPIPE where there is one.
func Say(format string, args ...any) {
	line := strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", " ")
	if _, err := fmt.Println(line); err != nil {
		fmt.Fprintf(os.Stderr, "shmtest: say %q: %v\n", line, err)
		os.Exit(3)
	}
}

// Hear waits for the next line from the parent. False means that there will be
// none: the parent has closed its side or has gone.
func Hear() (line string, ok bool) {
	line, err := stdin.ReadString('\n')
	return strings.TrimSuffix(line, "\n"), err == nil
}
