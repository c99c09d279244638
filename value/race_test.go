//go:build linux

package value_test

import (
	"testing"

	"github.com/sluice-ipc/sluice/value"
)

// What one goroutine hands to another by way of a number is ordered by it, also in
// the eyes of the race detector.
func TestNumbersOrderOtherMemory(t *testing.T) {
	v := must(value.Anonymous("flag", 0, nil))
	defer v.Close()
	a := must(value.AnonymousArray[uint8]("flags", 9, nil))
	defer a.Close()
	x, y := 0, 0
	done := make(chan bool)
	go func() {
		must(v.Wait(bg, 0))
		y = x + 1
		a.Set(5, 1)
		close(done)
	}()
	x = 1
	v.Store(1)
	for a.At(5) == 0 {
	}
	if y != 2 {
		t.Errorf("y is %d", y)
	}
	<-done
}
