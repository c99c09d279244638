//go:build linux && (amd64 || arm64)

package main

import (
	"os"
	"os/exec"
	"testing"
)

// The test binary is the example when it is told to play: the parent, which
// then starts it as the child.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && (os.Args[1] == "parent" || os.Args[1] == "child") {
		main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestPlays(t *testing.T) {
	cmd := exec.Command(os.Args[0], "parent")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	const want = "[pong [ping 0]]\n[pong [ping 1]]\n[pong [ping 2]]\n"
	if string(out) != want {
		t.Errorf("it printed %q, want %q", out, want)
	}
}
