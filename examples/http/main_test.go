//go:build linux && (amd64 || arm64)

package main

import (
	"os"
	"os/exec"
	"testing"
)

// The test binary is the example when it is told to be: the server, which then
// starts it as the client.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && (os.Args[1] == "server" || os.Args[1] == "client") {
		main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestServes(t *testing.T) {
	cmd := exec.Command(os.Args[0], "server")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	if string(out) != "HELLO\n" {
		t.Errorf("it printed %q", out)
	}
}
