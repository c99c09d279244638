package archtest

import (
	"fmt"
	"slices"
	"strings"
)

// A layer is one row of the design's map: a package, and what of the module and
// of the world outside the standard library it may import. A row may name only
// rows above it.
type layer struct {
	pkg    string
	module []string
	world  []string
}

// everywhere are the packages that every other may import: they compile to
// nothing in a user's program.
var everywhere = []string{"internal/race", "internal/hook"}

var (
	internals = []string{"internal/mem", "internal/cpu", "internal/sys", "internal/wait",
		"internal/codec"}
	public = []string{"shm", "shm/lock", "shm/proc", "ring", "value", "conn"}
	all    = slices.Concat(internals, public)
)

// layers is the map, bottom up. A package without a row breaks the rule: whoever
// adds one decides where it stands.
var layers = []layer{
	{".", nil, nil},
	{"internal/race", nil, nil},
	{"internal/hook", nil, nil},
	{"internal/mem", nil, nil},
	{"internal/cpu", nil, []string{"github.com/klauspost/cpuid/v2"}},
	{"internal/sys", nil, []string{
		"golang.org/x/sys", "github.com/edsrzf/mmap-go"}},
	{"internal/wait", []string{"internal/mem", "internal/cpu", "internal/sys"}, nil},
	{"internal/codec", nil, []string{"github.com/fxamacker/cbor/v2"}},
	{"internal/model", nil, nil},
	{"internal/shmtest", nil, []string{"go.uber.org/goleak"}},
	{"internal/archtest", nil, nil},
	{"shm", internals, nil},
	{"internal/place", add(internals, "shm"), nil},
	{"shm/lock", add(internals, "shm", "internal/place"), nil},
	{"ring", add(internals, "shm"), nil},
	{"internal/soak", nil, nil},
	{"value", add(internals, "shm", "internal/place", "shm/lock"), nil},
	{"conn", add(internals, "shm", "ring"), nil},
	{"shm/proc", add(internals, "shm"), nil}, // up here for its tests, which pass all of the above
	{"examples", public, nil},
	{"cmd", all, nil},
	{"bench", all, []string{"*"}},
}

// testWorld is what tests may import besides.
var testWorld = []string{
	"go.uber.org/goleak", "pgregory.net/rapid",
	"github.com/anishathalye/porcupine", "golang.org/x/net/nettest",
}

func add(list []string, more ...string) []string {
	return slices.Concat(list, more)
}

// layerOf returns the row of a package. The examples and commands share one.
func layerOf(pkg string) (layer, int) {
	for _, family := range []string{"examples", "cmd", "bench"} {
		if strings.HasPrefix(pkg, family+"/") {
			pkg = family
		}
	}
	i := slices.IndexFunc(layers, func(l layer) bool { return l.pkg == pkg })
	if i < 0 {
		return layer{}, -1
	}
	return layers[i], i
}

// checkImports holds the map.
func checkImports(tr *tree) []string {
	var bad []string
	for _, pkg := range tr.packages() {
		if _, i := layerOf(pkg); i < 0 {
			bad = append(bad, pkg+": the package has no row in archtest's map")
		}
	}
	for _, s := range tr.sources {
		for _, imp := range s.imports() {
			if why := forbidden(s, imp); why != "" {
				bad = append(bad, fmt.Sprintf("%s: imports %s: %s", s.path, imp, why))
			}
		}
	}
	return bad
}

// forbidden says why a file may not import something, or "".
func forbidden(s *source, imp string) string {
	row, at := layerOf(s.dir())
	if at < 0 {
		return "" // said already
	}
	inside, own := strings.CutPrefix(imp, module+"/")
	switch {
	case imp == module:
		return "the root package is a page, not a library"
	case own && s.test:
		return forbiddenInTest(inside, s.dir(), at)
	case own:
		if slices.Contains(row.module, inside) || slices.Contains(everywhere, inside) {
			return ""
		}
		if _, i := layerOf(inside); i == at && i >= 0 && row.pkg == "bench" {
			return ""
		}
		return "imports point one way, and the map does not show this one"
	case !strings.Contains(strings.Split(imp, "/")[0], "."):
		return "" // the standard library
	case within(imp, row.world), s.test && within(imp, testWorld):
		return ""
	}
	return "the dependency is not that package's"
}

// forbiddenInTest is for test files: they may also use the harness, and any
// package that stands below theirs.
func forbiddenInTest(inside, dir string, at int) string {
	_, i := layerOf(inside)
	switch {
	case inside == dir, inside == "internal/shmtest":
		return ""
	case i < 0:
		return "no such package in the map"
	case i >= at:
		return "a test may not reach above its package"
	case inside == "internal/archtest":
		return "it has nothing to offer"
	}
	return ""
}

// within reports whether an import path is one of the modules or in one.
func within(imp string, modules []string) bool {
	return slices.ContainsFunc(modules, func(m string) bool {
		return m == "*" || imp == m || strings.HasPrefix(imp, m+"/")
	})
}

// checkUnsafe holds that unsafe is imported only in files named for it, and
// x/sys only in internal/sys.
func checkUnsafe(tr *tree) []string {
	var bad []string
	for _, s := range tr.sources {
		name := strings.TrimSuffix(strings.TrimSuffix(s.path, ".go"), "_test")
		for _, imp := range s.imports() {
			if imp == "unsafe" && !strings.HasSuffix(name, "_unsafe") {
				bad = append(bad, s.path+": imports unsafe and is not named *_unsafe.go")
			}
			if within(imp, []string{"golang.org/x/sys"}) && s.dir() != "internal/sys" {
				bad = append(bad, s.path+": imports "+imp+" outside internal/sys")
			}
		}
	}
	return bad
}
