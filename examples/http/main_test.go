//go:build linux && (amd64 || arm64)

package main

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"testing"
	"testing/iotest"
)

const failEnv = "HTTP_TEST_CLIENT_FAILS"

// The test binary is the example when it is told to be: the server, which then
// starts it as the client.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "client" && os.Getenv(failEnv) != "" {
		os.Exit(3)
	}
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

// A client that fails is no reason to leave a socket behind.
func TestClientFails(t *testing.T) {
	tmp := t.TempDir()
	cmd := exec.Command(os.Args[0], "server")
	cmd.Env = append(os.Environ(), failEnv+"=1", "TMPDIR="+tmp)
	if out, err := cmd.CombinedOutput(); err == nil {
		t.Errorf("it ends well, and says %q", out)
	}
	if left, err := os.ReadDir(tmp); len(left) > 0 || err != nil {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// Nor is one that breaks off a reason for the server to end.
func TestClientBreaksOff(t *testing.T) {
	w := httptest.NewRecorder()
	upper(w, httptest.NewRequest("POST", "/upper", iotest.ErrReader(errors.New("broken off"))))
	if w.Code != http.StatusBadRequest {
		t.Errorf("the answer is %d", w.Code)
	}
}
