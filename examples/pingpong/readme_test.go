package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// blocks are the README's code blocks of a language.
func blocks(t *testing.T, lang string) []string {
	t.Helper()
	page, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	fence := regexp.MustCompile("(?ms)^```" + lang + "\n(.*?)^```$")
	var all []string
	for _, m := range fence.FindAllSubmatch(page, -1) {
		all = append(all, string(m[1]))
	}
	if len(all) == 0 {
		t.Fatalf("README.md: no block of %s", lang)
	}
	return all
}

func TestREADMEHoldsTheExamples(t *testing.T) {
	files, err := filepath.Glob("../*/main.go")
	if err != nil {
		t.Fatal(err)
	}
	programs := ""
	for _, file := range files {
		program, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		programs += "\n" + string(program)
	}
	for _, code := range blocks(t, "go") {
		if !strings.Contains(programs, "\n"+code) {
			t.Errorf("in no example as it is:\n%s", code)
		}
	}
	shown := blocks(t, "go")[0]
	for _, process := range []string{"func parent(", "func child("} {
		if !strings.Contains(shown, process) {
			t.Errorf("the example lacks %s...)", process)
		}
	}
}

func TestREADMEBeginsWithTheTwoCommands(t *testing.T) {
	got := strings.Split(strings.TrimSpace(blocks(t, "sh")[0]), "\n")
	for i, line := range got {
		line, _, _ = strings.Cut(line, "#")
		got[i] = strings.TrimSpace(line)
	}
	want := []string{"go run ./bench", "go test ./..."}
	if !slices.Equal(got, want) {
		t.Errorf("the first commands are %q, want %q", got, want)
	}
}

func TestREADMEIsShort(t *testing.T) {
	page, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(page), "\n"); n > 150 {
		t.Errorf("%d lines, at most 150", n)
	}
}
