package value_test

import (
	"path/filepath"
	"testing"

	"github.com/sluice-ipc/sluice/internal/shmtest"
)

// docs/python.md says something about every row, and names tests that exist.
func TestEveryRowHasItsTest(t *testing.T) {
	shmtest.RowsHaveTests(t, filepath.Join("..", "docs", "python.md"),
		map[string]int{"V": 27, "A": 30})
}
