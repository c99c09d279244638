//go:build linux && (amd64 || arm64)

// Package examples_test runs the examples.
package examples_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Every example prints what the one in Python prints that it came from, in Go's
// own manner, with its processes being real ones.
func TestSeedExamples(t *testing.T) {
	if os.Getenv("SLUICE_EMULATED") == "1" {
		t.Skip("missing: children that run under the emulator too")
	}
	bin := t.TempDir()
	for name, want := range map[string]string{
		"evens":     "0\n2\n4\n6\n8\n",
		"greetings": "Hello\nHola\nGuten Tag\n",
		"values":    "3.1415927\n[0 -1 -2 -3 -4 -5 -6 -7 -8 -9]\n",
		"objects":   "[42 <nil> hello]\n",
		"hello":     "[42 <nil> hello]\n",
		"bytes":     "[1 hello <nil>]\nthank you\n",
		"arrays":    "5 [0 1 2 3 4 0 0 0 0 0]\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			program := filepath.Join(bin, name)
			build := exec.Command("go", "build", "-o", program, "./"+name)
			if out, err := build.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			run := exec.Command(program)
			run.Stderr = os.Stderr
			out, err := run.Output()
			if err != nil {
				t.Fatal(err)
			}
			if string(out) != want {
				t.Errorf("it printed %q, want %q", out, want)
			}
		})
	}
}
