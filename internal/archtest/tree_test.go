package archtest

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

const module = "github.com/sluice-ipc/sluice"

// A source is one Go file of the module.
type source struct {
	path string // from the top, with slashes
	text []byte
	ast  *ast.File
	test bool
}

// dir returns the file's package as the rules name it: its path from the top,
// "." for the top itself.
func (s *source) dir() string { return path.Dir(s.path) }

// imports returns the paths that the file imports.
func (s *source) imports() []string {
	var all []string
	for _, spec := range s.ast.Imports {
		name, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			panic(err) // the parser has accepted it
		}
		all = append(all, name)
	}
	return all
}

// A tree is the Go source of one module.
type tree struct {
	fset    *token.FileSet
	sources []*source
	fsys    fs.FS
}

// load parses the Go files of a module, without those of modules inside it and
// without test data.
func load(fsys fs.FS) (*tree, error) {
	tr := &tree{fset: token.NewFileSet(), fsys: fsys}
	err := fs.WalkDir(fsys, ".", func(p string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // gone since its directory was read
		}
		if err != nil {
			return err
		}
		if d.IsDir() {
			return skipDir(fsys, p)
		}
		if path.Ext(p) != ".go" {
			return nil
		}
		return tr.add(p)
	})
	return tr, err
}

// skipDir returns fs.SkipDir for a directory that is none of the module's.
func skipDir(fsys fs.FS, p string) error {
	base := path.Base(p)
	if p == "." {
		return nil
	}
	if base == "testdata" || base == "vendor" || strings.ContainsRune("._", rune(base[0])) {
		return fs.SkipDir
	}
	if _, err := fs.Stat(fsys, path.Join(p, "go.mod")); err == nil {
		return fs.SkipDir
	}
	return nil
}

// add parses one file.
func (tr *tree) add(p string) error {
	text, err := fs.ReadFile(tr.fsys, p)
	if err != nil {
		return err
	}
	mode := parser.ParseComments | parser.SkipObjectResolution
	f, err := parser.ParseFile(tr.fset, p, text, mode)
	if err != nil {
		return err
	}
	tr.sources = append(tr.sources, &source{
		path: p, text: text, ast: f, test: strings.HasSuffix(p, "_test.go"),
	})
	return nil
}

// at returns a place in the tree as "file:line".
func (tr *tree) at(pos token.Pos) string {
	p := tr.fset.Position(pos)
	return fmt.Sprintf("%s:%d", p.Filename, p.Line)
}

// packages returns the directories that hold Go files, sorted.
func (tr *tree) packages() []string {
	var dirs []string
	for _, s := range tr.sources {
		dirs = append(dirs, s.dir())
	}
	slices.Sort(dirs)
	return slices.Compact(dirs)
}
