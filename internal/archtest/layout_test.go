package archtest

import (
	"bytes"
	"fmt"
	"io/fs"
	"os/exec"
	"regexp"
	"slices"
	"strings"
)

// top is what may lie at the top of the module.
var top = []string{
	"go.mod", "go.sum", "ring", "shm", "conn", "value", "bench", "cgo_free.go",
	"README.md",
	// Beside them only support.
	"internal", "examples", "cmd", "docs", ".ci", ".github", "LICENSE",
	"CHANGELOG.md", "CONTRIBUTING.md", ".gitignore", ".gitattributes",
}

// tracked returns the files of the project: those that git tracks or would, or
// all where there is no git.
func tracked(dir string, fsys fs.FS) ([]string, error) {
	cmd := exec.Command("git", "ls-files", "-z",
		"--cached", "--others", "--exclude-standard")
	cmd.Dir = dir
	if out, err := cmd.Output(); err == nil {
		names := strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
		slices.Sort(names)
		return slices.Compact(names), nil
	}
	var names []string
	err := fs.WalkDir(fsys, ".", func(p string, d fs.DirEntry, err error) error {
		if err == nil && p == ".git" {
			return fs.SkipDir
		}
		if err == nil && !d.IsDir() {
			names = append(names, p)
		}
		return err
	})
	return names, err
}

// checkTop holds that nothing else lies at the top, and that the top is one.
func checkTop(files []string) []string {
	var bad, seen []string
	for _, f := range files {
		name, _, _ := strings.Cut(f, "/")
		if slices.Contains(seen, name) {
			continue
		}
		seen = append(seen, name)
		if !slices.Contains(top, name) {
			bad = append(bad, name+": does not belong at the top")
		}
	}
	if !slices.Contains(seen, "go.mod") {
		bad = append(bad, "go.mod: not at the top")
	}
	return bad
}

// machinePath is a path that leads somewhere on one machine only.
var machinePath = regexp.MustCompile(
	`(?:^|[^A-Za-z0-9_.~-])/(?:(?:work|root)/|(?:home|Users)/[A-Za-z])`)

// checkPaths holds that no file names a place on somebody's machine.
func checkPaths(fsys fs.FS, files []string) []string {
	var bad []string
	for _, name := range files {
		text, err := fs.ReadFile(fsys, name)
		if err != nil || bytes.IndexByte(text, 0) >= 0 {
			continue // deleted but still tracked, or not a text
		}
		for i, line := range bytes.Split(text, []byte("\n")) {
			if machinePath.Match(line) {
				bad = append(bad, fmt.Sprintf("%s:%d: a path of one machine: %s",
					name, i+1, bytes.TrimSpace(line)))
			}
		}
	}
	return bad
}
