package archtest

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strings"
)

var (
	// A note stands behind the access: "sync:" and a name, which end it is,
	// and what crosses there.
	note = regexp.MustCompile(`^//sync:([a-z0-9][a-z0-9.-]*) (release|acquire): \S`)
	// noteLike is what must be a note, and is a mistake if it is none.
	noteLike = regexp.MustCompile(`^//\s*sync:`)
)

const orderingPage = "docs/ordering.md"

// ends collects where a name is released and acquired.
type ends map[string][]string

// checkSync holds that every ordering edge is named at both its ends, and, once
// there is a page on them, that page and code name the same ones.
func checkSync(tr *tree) []string {
	edges, bad := notes(tr)
	for _, name := range slices.Sorted(maps.Keys(edges)) {
		for end, other := range map[string]string{
			"release": "acquire", "acquire": "release",
		} {
			if at := edges[name][end]; at == nil {
				bad = append(bad, fmt.Sprintf("%s: sync:%s has no %s anywhere",
					edges[name][other][0], name, end))
			}
		}
	}
	return append(bad, checkOrderingPage(tr, edges)...)
}

// notes returns the edges that non-test files name, and what looks like a note
// and is none.
func notes(tr *tree) (edges map[string]ends, bad []string) {
	edges = map[string]ends{}
	for _, s := range tr.sources {
		if s.test {
			continue
		}
		for _, group := range s.ast.Comments {
			for _, c := range group.List {
				m := note.FindStringSubmatch(c.Text)
				if m == nil && noteLike.MatchString(c.Text) {
					bad = append(bad, fmt.Sprintf("%s: %q is not of the form "+
						"//sync:name release|acquire: words", tr.at(c.Pos()), c.Text))
				}
				if m == nil {
					continue
				}
				if edges[m[1]] == nil {
					edges[m[1]] = ends{}
				}
				edges[m[1]][m[2]] = append(edges[m[1]][m[2]], tr.at(c.Pos()))
			}
		}
	}
	return edges, bad
}

// checkOrderingPage compares the page's rows with the code's edges.
func checkOrderingPage(tr *tree, edges map[string]ends) []string {
	page, err := fs.ReadFile(tr.fsys, orderingPage)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // not written yet
	}
	if err != nil {
		return []string{err.Error()}
	}
	var bad []string
	rows := map[string]bool{}
	for _, name := range firstCells(page) {
		rows[name] = true
		if edges[name] == nil {
			bad = append(bad, fmt.Sprintf("%s: %s is nowhere in the code", orderingPage, name))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(edges)) {
		if !rows[name] {
			bad = append(bad, fmt.Sprintf("%s: no row for sync:%s", orderingPage, name))
		}
	}
	return bad
}

// firstCells returns the names in the first column of the page's tables, without
// their headings: the lines in front of a line of dashes.
func firstCells(page []byte) []string {
	var names []string
	lines := bufio.NewScanner(bytes.NewReader(page))
	for lines.Scan() {
		line := lines.Text()
		if strings.HasPrefix(line, "|--") || strings.HasPrefix(line, "| --") ||
			strings.HasPrefix(line, "|:--") {
			names = names[:max(0, len(names)-1)]
			continue
		}
		cell, _, ok := strings.Cut(strings.TrimPrefix(line, "|"), "|")
		if !ok || !strings.HasPrefix(line, "|") {
			continue
		}
		// A heading is taken as well, and dropped at the dashes.
		name := strings.Trim(strings.TrimSpace(cell), "`")
		names = append(names, strings.TrimPrefix(name, "sync:"))
	}
	return names
}
