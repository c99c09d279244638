package conn_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// docs/python.md says something about every row, and names tests that exist.
func TestEveryRowHasItsTest(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join("..", "docs", "python.md"))
	if err != nil {
		t.Fatal(err)
	}
	var source strings.Builder
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		source.Write(b)
	}
	rows := map[string]string{}
	for line := range strings.Lines(string(doc)) {
		if cells := strings.Split(line, "|"); len(cells) > 3 {
			rows[strings.TrimSpace(cells[1])] = cells[len(cells)-2]
		}
	}
	for letter, last := range map[string]int{"P": 51, "G": 9} {
		for i := 1; i <= last; i++ {
			row := fmt.Sprint(letter, i)
			tests := regexp.MustCompile(`(Test|Fuzz)\w+`).FindAllString(rows[row], -1)
			if tests == nil && strings.TrimSpace(rows[row]) != "–" {
				t.Errorf("%s: says %q", row, rows[row])
			}
			for _, name := range tests {
				if !strings.Contains(source.String(), "func "+name+"(") {
					t.Errorf("%s: there is no %s", row, name)
				}
			}
		}
	}
}
