//go:build linux

package value_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Reading a number costs what reading memory costs: the call is not there.
func TestLoadIsInlined(t *testing.T) {
	gotool, err := exec.LookPath("go")
	if err != nil {
		t.Skip("missing: the go command")
	}
	main := filepath.Join(t.TempDir(), "main.go")
	check(os.WriteFile(main, []byte(`package main

import "github.com/sluice-ipc/sluice/value"

func main() {
	v, _ := value.Anonymous[int64]("n", 0, nil)
	println(v.Load())
	f, _ := value.Anonymous[float32]("f", 0, nil)
	println(f.Load())
}
`), 0o600))
	out, err := exec.Command(gotool, "build", "-gcflags=-m", "-o", os.DevNull, main).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, at := range []string{"main.go:7:16", "main.go:9:16"} {
		if !strings.Contains(string(out), at+": inlining call to value.(*Value[") {
			t.Errorf("%s is not inlined:\n%s", at, out)
		}
	}
}
