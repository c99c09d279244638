package proc_test

import (
	"path/filepath"
	"testing"

	"github.com/sluice-ipc/sluice/internal/shmtest"
)

// docs/python.md says something about every row of processes, and names tests
// that exist.
func TestEveryProcessRowHasItsTest(t *testing.T) {
	shmtest.RowsHaveTests(t, filepath.Join("..", "..", "docs", "python.md"), map[string]int{"R": 21})
}
