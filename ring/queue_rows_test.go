package ring_test

import (
	"path/filepath"
	"testing"

	"github.com/sluice-ipc/sluice/internal/shmtest"
)

// docs/python.md says something about every row of the queues, and names tests
// that exist.
func TestEveryQueueRowHasItsTest(t *testing.T) {
	shmtest.RowsHaveTests(t, filepath.Join("..", "docs", "python.md"),
		map[string]int{"Q": 48, "J": 13, "S": 12})
}
