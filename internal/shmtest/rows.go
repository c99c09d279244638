package shmtest

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var testName = regexp.MustCompile(`(Test|Fuzz)\w+`)

// RowsHaveTests holds that a page's table has a row for each number of each letter,
// from 1 to the given last one, and that its last cell names tests of the calling
// package that exist, or is a dash.
func RowsHaveTests(t *testing.T, page string, last map[string]int) {
	t.Helper()
	doc, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]string{}
	for line := range strings.Lines(string(doc)) {
		if cells := strings.Split(line, "|"); len(cells) > 3 {
			rows[strings.TrimSpace(cells[1])] = cells[len(cells)-2]
		}
	}
	source := testSource(t)
	for letter, n := range last {
		for i := 1; i <= n; i++ {
			row := fmt.Sprint(letter, i)
			tests := testName.FindAllString(rows[row], -1)
			if tests == nil && strings.TrimSpace(rows[row]) != "–" {
				t.Errorf("%s: says %q", row, rows[row])
			}
			for _, name := range tests {
				if !strings.Contains(source, "func "+name+"(") {
					t.Errorf("%s: there is no %s", row, name)
				}
			}
		}
	}
}

// testSource returns all test files of the directory.
func testSource(t *testing.T) string {
	t.Helper()
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(b)
	}
	return all.String()
}
