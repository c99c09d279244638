package shm_test

import (
	"path/filepath"
	"testing"

	"github.com/sluice-ipc/sluice/internal/shmtest"
)

// docs/python.md says something about every row of shared memory, and names
// tests that exist.
func TestEveryMemoryRowHasItsTest(t *testing.T) {
	shmtest.RowsHaveTests(t, filepath.Join("..", "docs", "python.md"), map[string]int{"M": 22})
}
