//go:build linux

package lock_test

import (
	"testing"

	"github.com/sluice-ipc/sluice/internal/shmtest"
)

// A killing is a test that kills a child at every instruction of one act.
type killing struct {
	name  string // of the act, and of the subtest
	least int    // so many points there are at least
	body  func(t testing.TB, p *shmtest.Point)
}

// killings are those of the whole package; files add theirs in init.
var killings []killing

// Who dies of locking, waiting or unlocking, at any instruction, is in nobody's
// way, and what it held goes to the next one with ErrOwnerDied.
func TestKillEveryInstruction(t *testing.T) {
	for _, k := range killings {
		t.Run(k.name, func(t *testing.T) {
			if n := shmtest.EveryPoint(t, k.name, k.body); n < k.least {
				t.Errorf("%d points, want at least %d", n, k.least)
			}
		})
	}
}

// thinned reports whether a point is left out because only one in so many is
// looked at. The operation's return is never left out.
func thinned(p *shmtest.Point, every int) bool { return p.K > 0 && p.K%every != 0 }
