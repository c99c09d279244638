package archtest

import (
	"bytes"
	"fmt"
	"go/ast"
	"path"
	"slices"
	"strings"
)

// The sizes that the rules refuse. The style asks for 300 and 40.
const (
	maxFileLines = 400
	maxFuncLines = 60
)

// sleepers are the files, or directories, outside tests that may call
// time.Sleep, and why.
var sleepers = map[string]string{
	"internal/shmtest": "polls a condition, under a watchdog",
	"shm/open.go":      "backs off between the tries of a bounded loop",
	"bench":            "lets time pass that it measures",
}

// checkDocs holds that each package has one package comment, in one file.
func checkDocs(tr *tree) []string {
	docs := map[string][]string{} // by package
	var bad []string
	for _, s := range tr.sources {
		if s.test {
			continue
		}
		if _, known := docs[s.dir()]; !known {
			docs[s.dir()] = nil
		}
		text := s.ast.Doc.Text() // without directives
		if text == "" {
			continue
		}
		docs[s.dir()] = append(docs[s.dir()], s.path)
		want := "Package " + s.ast.Name.Name + " "
		if s.ast.Name.Name == "main" {
			want = "Command " + path.Base(s.dir()) + " "
		}
		if !strings.HasPrefix(text, want) {
			bad = append(bad, fmt.Sprintf("%s: the package comment does not begin with %q",
				s.path, want))
		}
	}
	for _, pkg := range tr.packages() {
		if files, ok := docs[pkg]; ok && len(files) != 1 {
			bad = append(bad, fmt.Sprintf("%s: %d package comments, want 1: %q",
				pkg, len(files), files))
		}
	}
	return bad
}

// checkSizes holds that what has to be understood at once is small.
func checkSizes(tr *tree) []string {
	var bad []string
	for _, s := range tr.sources {
		if s.test {
			continue
		}
		if n := bytes.Count(s.text, []byte("\n")); n > maxFileLines {
			bad = append(bad, fmt.Sprintf("%s: %d lines, at most %d", s.path, n, maxFileLines))
		}
		for _, d := range s.ast.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			n := tr.fset.Position(f.End()).Line - tr.fset.Position(f.Pos()).Line + 1
			if n > maxFuncLines {
				bad = append(bad, fmt.Sprintf("%s: %s has %d lines, at most %d",
					tr.at(f.Pos()), f.Name.Name, n, maxFuncLines))
			}
		}
	}
	return bad
}

// calls calls f for each call of a selector, x.name(...), in a file.
func calls(s *source, f func(x *ast.Ident, name string, c *ast.CallExpr)) {
	ast.Inspect(s.ast, func(n ast.Node) bool {
		c, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		if sel, ok := c.Fun.(*ast.SelectorExpr); ok {
			if x, ok := sel.X.(*ast.Ident); ok {
				f(x, sel.Sel.Name, c)
			}
		}
		return true
	})
}

// checkSleep holds that nothing waits by sleeping: it waits for what it needs.
func checkSleep(tr *tree) []string {
	var bad []string
	for _, s := range tr.sources {
		if s.test || sleepers[s.path] != "" || sleepers[s.dir()] != "" {
			continue
		}
		clock := importName(s, "time")
		calls(s, func(x *ast.Ident, name string, c *ast.CallExpr) {
			if x.Name == clock && name == "Sleep" {
				bad = append(bad, tr.at(c.Pos())+": time.Sleep")
			}
		})
	}
	return bad
}

// importName returns the name by which a file knows a package of the standard
// library, "" if it does not.
func importName(s *source, pkg string) string {
	i := slices.Index(s.imports(), pkg)
	switch {
	case i < 0:
		return ""
	case s.ast.Imports[i].Name != nil:
		return s.ast.Imports[i].Name.Name
	}
	return path.Base(pkg)
}
