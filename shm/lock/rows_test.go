package lock_test

import (
	"path/filepath"
	"testing"

	"github.com/sluice-ipc/sluice/internal/shmtest"
)

// docs/python.md says something about every row, and names tests that exist.
func TestEveryRowHasItsTest(t *testing.T) {
	shmtest.RowsHaveTests(t, filepath.Join("..", "..", "docs", "python.md"),
		map[string]int{"K": 22, "C": 13, "E": 8, "B": 13})
}
