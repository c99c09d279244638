package archtest

import (
	"os"
	"path/filepath"
	"testing"
)

// rules are those that read the tree alone.
var rules = map[string]func(*tree) []string{
	"imports point one way": checkImports,
	"unsafe files":          checkUnsafe,
	"import C":              checkImportC,
	"sync notes":            checkSync,
	"package comments":      checkDocs,
	"sizes":                 checkSizes,
	"sleep":                 checkSleep,
	"skips":                 checkSkips,
}

// platforms are those whose packages are listed; the rules on source read all.
var platforms = []string{
	"linux/amd64", "linux/arm64", "darwin/arm64", "windows/amd64", "freebsd/amd64",
}

// root returns the top of the module.
func root(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "go.mod")); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestRules(t *testing.T) {
	tr, err := load(os.DirFS(root(t)))
	if err != nil {
		t.Fatal(err)
	}
	if len(tr.sources) < 50 {
		t.Fatalf("only %d Go files: this is not the module", len(tr.sources))
	}
	for name, check := range rules {
		t.Run(name, func(t *testing.T) { report(t, check(tr)) })
	}
}

func TestNoCgo(t *testing.T) {
	dir := root(t)
	for _, platform := range platforms {
		t.Run(platform, func(t *testing.T) {
			on, err := list(dir, platform, "1")
			if err != nil {
				t.Fatal(err)
			}
			report(t, checkCgo(on))
			off, err := list(dir, platform, "0")
			if err != nil {
				t.Fatal(err)
			}
			report(t, checkNoCgo(off))
			if len(off) < 50 {
				t.Errorf("only %d packages: go list saw something else", len(off))
			}
		})
	}
}

func TestFiles(t *testing.T) {
	dir := root(t)
	fsys := os.DirFS(dir)
	files, err := tracked(dir, fsys)
	if err != nil {
		t.Fatal(err)
	}
	t.Run("top level", func(t *testing.T) { report(t, checkTop(files)) })
	t.Run("machine paths", func(t *testing.T) { report(t, checkPaths(fsys, files)) })
}

func report(t *testing.T, bad []string) {
	t.Helper()
	for _, b := range bad {
		t.Error(b)
	}
}
