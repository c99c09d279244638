//go:build !sluice_hooks

package hook_test

import (
	"testing"

	"github.com/sluice-ipc/sluice/internal/hook"
)

func TestNothingHappensWithoutTheTag(t *testing.T) {
	if hook.Enabled {
		t.Error("Enabled without the build tag")
	}
	hook.Set(func(string) { t.Error("the function was called") })
	hook.At("a")
	if s := hook.Steps(); s != nil {
		t.Errorf("Steps() = %q, want none", s)
	}
	if n := hook.Count("a"); n != 0 {
		t.Errorf("Count = %d, want 0", n)
	}
	if n := testing.AllocsPerRun(10, func() { hook.At("a") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
