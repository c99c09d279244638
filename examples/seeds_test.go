//go:build linux && (amd64 || arm64)

// Package examples_test runs the examples.
package examples_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// seeds are the examples that came from one in Python, and what they print.
var seeds = map[string]string{
	"evens":     "0\n2\n4\n6\n8\n",
	"greetings": "Hello\nHola\nGuten Tag\n",
	"values":    "3.1415927\n[0 -1 -2 -3 -4 -5 -6 -7 -8 -9]\n",
	"objects":   "[42 <nil> hello]\n",
	"hello":     "[42 <nil> hello]\n",
	"bytes":     "[1 hello <nil>]\nthank you\n",
	"arrays":    "[0 1 2 3 4 0 0 0 0 0]\n",
}

// Every example prints what the one in Python prints that it came from, in Go's
// own manner, with its processes being real ones.
func TestSeedExamples(t *testing.T) {
	if os.Getenv("SLUICE_EMULATED") == "1" {
		t.Skip("missing: children that run under the emulator too")
	}
	bin := t.TempDir()
	for name, want := range seeds {
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

var imports = regexp.MustCompile(`(?s)\nimport \(.*?\n\)`)

// They are short: 40 lines, without the imports.
func TestSeedExamplesAreShort(t *testing.T) {
	for name := range seeds {
		program, err := os.ReadFile(filepath.Join(name, "main.go"))
		if err != nil {
			t.Fatal(err)
		}
		program = imports.ReplaceAllLiteral(program, nil)
		if n := strings.Count(string(program), "\n"); n > 40 {
			t.Errorf("%s has %d lines, at most 40", name, n)
		}
	}
}
