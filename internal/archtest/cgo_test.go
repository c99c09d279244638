package archtest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// A listed package is what `go list -json` says of it, as far as it matters.
type listed struct {
	ImportPath string
	Standard   bool
	CgoFiles   []string
	Error      *struct{ Err string }
	Module     *struct{ Main bool }
}

// list runs `go list -deps` for the packages in dir, tests excluded, with cgo
// on or off, for a platform ("linux/amd64").
func list(dir, platform, cgo string) ([]listed, error) {
	goos, goarch, _ := strings.Cut(platform, "/")
	cmd := exec.Command("go", "list", "-e", "-deps", "-json", "./...")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOOS="+goos, "GOARCH="+goarch,
		"CGO_ENABLED="+cgo, "GOWORK=off", "GOFLAGS=-mod=readonly")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w\n%s", err, stderr.String())
	}
	var all []listed
	dec := json.NewDecoder(strings.NewReader(string(out)))
	for {
		var p listed
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
}

// checkCgo holds that no package outside the standard library has cgo files
// when cgo is on.
func checkCgo(pkgs []listed) []string {
	var bad []string
	for _, p := range pkgs {
		if !p.Standard && len(p.CgoFiles) > 0 {
			bad = append(bad, fmt.Sprintf("%s: uses cgo in %q", p.ImportPath, p.CgoFiles))
		}
	}
	return bad
}

// checkNoCgo holds that every package is there when cgo is off: one that has
// only cgo files would be an error.
func checkNoCgo(pkgs []listed) []string {
	var bad []string
	for _, p := range pkgs {
		if p.Error != nil {
			bad = append(bad, fmt.Sprintf("%s: %s", p.ImportPath, p.Error.Err))
		}
	}
	return bad
}

// checkImportC holds that no file imports "C", whatever its build tags.
func checkImportC(tr *tree) []string {
	var bad []string
	for _, s := range tr.sources {
		if slices.Contains(s.imports(), "C") {
			bad = append(bad, s.path+`: imports "C"`)
		}
	}
	return bad
}
