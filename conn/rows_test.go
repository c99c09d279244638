package conn_test

import (
	"path/filepath"
	"testing"

	"github.com/sluice-ipc/sluice/internal/shmtest"
)

// docs/python.md says something about every row, and names tests that exist.
func TestEveryRowHasItsTest(t *testing.T) {
	shmtest.RowsHaveTests(t, filepath.Join("..", "docs", "python.md"),
		map[string]int{"P": 51, "G": 9, "W": 12, "L": 24})
}
