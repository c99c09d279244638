//go:build linux

package value_test

import (
	"testing"

	"github.com/sluice-ipc/sluice/internal/shmtest"
)

// kills are the parts of TestKillEveryInstruction; files add theirs in init.
var kills = map[string]func(t *testing.T){}

// A process killed at any instruction of any call leaves a value that is whole,
// the old or the new one, and nobody hangs. Who has to be told of it is, once.
func TestKillEveryInstruction(t *testing.T) {
	for name, f := range kills {
		t.Run(name, f)
	}
}

func atLeast(t *testing.T, want, got int) {
	t.Helper()
	if got < want {
		t.Errorf("%d points, want at least %d", got, want)
	}
}

// thinned reports whether a point is left out: all but one in so many are, and
// more where tests are to be short.
func thinned(p *shmtest.Point, every int) bool {
	if testing.Short() {
		every *= 7
	}
	return p.K > 0 && p.K%every != 0
}
