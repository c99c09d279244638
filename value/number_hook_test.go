//go:build sluice_hooks && linux

package value_test

import (
	"testing"

	"github.com/sluice-ipc/sluice/internal/hook"
	"github.com/sluice-ipc/sluice/value"
)

// Whoever looks for sleepers has changed the number before: who went to sleep
// behind that look has seen the change.
func TestChangesComeBeforeTheLook(t *testing.T) {
	v, w := pairOf(t, int32(0))
	f, g := pairOf(t, 0.0)
	n := int32(0)
	defer hook.Set(nil)
	for what, change := range map[string]func(){
		"Store": func() { v.Store(n) }, "Swap": func() { v.Swap(n) }, "Add": func() { v.Add(1) },
		"CompareAndSwap": func() { v.CompareAndSwap(n-1, n) }, "Or": func() { value.Or(v, n) },
		"Update": func() { v.Update(func(int32) int32 { return n }) }, "And": func() { value.And(v, n) },
		"Add of floats": func() { f.Add(1) },
	} {
		n++
		v.Store(n - 1)
		switch what {
		case "Or":
			v.Store(0)
		case "And":
			v.Store(-1)
		}
		f.Store(float64(n - 1))
		looks := 0
		hook.Set(func(step string) {
			if step != "value.look" {
				return
			}
			if looks++; w.Load() != n && g.Load() != float64(n) {
				t.Errorf("%s looks for sleepers while the number is %v, %v", what, w.Load(), g.Load())
			}
		})
		change()
		hook.Set(nil)
		if looks != 1 {
			t.Errorf("%s looks %d times", what, looks)
		}
	}
}

// What somebody else does between an addition's look and its change is not lost.
func TestAdditionsLoseNothing(t *testing.T) {
	f, g := pairOf(t, 0.5)
	between := 0
	defer hook.Set(nil)
	hook.Set(func(step string) {
		if step == "value.swap" && between == 0 {
			between++
			g.Store(100)
		}
	})
	if n := f.Add(1); n != 101 || g.Load() != 101 || between != 1 {
		t.Errorf("100 and 1 are %v, or %v; a look in between: %d", n, g, between)
	}
}
