//go:build linux && (amd64 || arm64)

package main

import (
	"os"
	"os/exec"
	"testing"
)

// The test binary is the example when it is told so, or is one of its children.
func TestMain(m *testing.M) {
	switch {
	case os.Getenv("EVENS") == "parent":
		os.Unsetenv("EVENS")
		os.Args = os.Args[:1]
		main()
	case len(os.Args) == 2 && (os.Args[1] == "put" || os.Args[1] == "print"):
		main()
	default:
		os.Exit(m.Run())
	}
}

func TestPrintsTheEvenNumbers(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "EVENS=parent")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	const want = "0\n2\n4\n6\n8\n"
	if string(out) != want {
		t.Errorf("it printed %q, want %q", out, want)
	}
}
