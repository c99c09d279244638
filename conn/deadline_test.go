package conn

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// passed reports whether what began as a call at that moment is to fail.
func passed(m *moment) bool {
	synctest.Wait()
	select {
	case <-m.Done():
		return m.Err() == context.DeadlineExceeded
	default:
		return false
	}
}

// A deadline can be moved under those who wait for it, in both directions.
func TestDeadlineMoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d deadline
		now := time.Now()
		m := d.context()
		called := 0
		context.AfterFunc(m, func() { called++ })
		never := context.AfterFunc(m, func() { t.Error("called although it was stopped") })
		if !never() || never() {
			t.Error("stop does not say whether it stopped anything")
		}
		for _, at := range []int{10, 30, 20} { // later, and earlier again
			d.set(now.Add(time.Duration(at) * time.Second))
			if d.context() != m {
				t.Fatal("another moment, and the deadline has not passed")
			}
		}
		time.Sleep(15 * time.Second)
		if passed(m) {
			t.Fatal("passed at a time that it was moved from")
		}
		d.set(time.Time{})
		time.Sleep(30 * time.Second)
		if passed(m) {
			t.Fatal("passed although there is none")
		}
		d.set(time.Now().Add(time.Second))
		time.Sleep(time.Second)
		if !passed(m) || called != 1 {
			t.Fatalf("not passed, or %d calls", called)
		}
		context.AfterFunc(m, func() { called++ })
		synctest.Wait()
		if called != 2 {
			t.Error("no call at once when it has passed")
		}
		d.set(now) // still passed, for those who come now
		if next := d.context(); !passed(next) {
			t.Error("a deadline in the past has not passed")
		}
		d.set(time.Now().Add(time.Second))
		if next := d.context(); passed(next) || !passed(m) {
			t.Error("who was told, was told; who comes now waits")
		}
		time.Sleep(time.Second)
		if !passed(d.context()) {
			t.Error("a deadline that was moved after it had passed does not pass")
		}
		d.end()
	})
}

// A timer that is late to be stopped does not make a moved deadline pass.
func TestDeadlineFiresLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d deadline
		d.set(time.Now().Add(time.Hour))
		d.fire()
		if passed(d.context()) {
			t.Error("passed before its time")
		}
		d.set(time.Time{})
		d.fire()
		if passed(d.context()) {
			t.Error("passed although there is none")
		}
		d.set(time.Now().Add(time.Hour))
		time.Sleep(time.Hour)
		if !passed(d.context()) {
			t.Error("did not pass in time")
		}
	})
}

// After the end there are no timers, and none are made.
func TestDeadlineEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d deadline
		d.set(time.Now().Add(time.Second))
		d.end()
		if d.set(time.Now()) {
			t.Error("a deadline was set after the end")
		}
		time.Sleep(time.Minute)
		if passed(d.context()) {
			t.Error("passed after the end")
		}
	})
}
