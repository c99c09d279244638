package shmtest

import "testing"

// A Recording is an operation's way, for tests that want some of its points: to
// have a second child stand in the middle while EveryPoint goes through the
// points of a first, say.
type Recording struct{ trace []place }

// Record runs body, which is one for EveryPoint, a few times and returns the
// shortest way that its child took. It skips and fails as EveryPoint does.
func Record(t *testing.T, name string, body func(t testing.TB, p *Point)) *Recording {
	t.Helper()
	RequireStepping(t)
	return &Recording{record(t, name, body)}
}

// Len returns how many instructions the operation has, those of the harness
// included.
func (r *Recording) Len() int { return len(r.trace) }

// Point returns the point before instruction k, for one child. A child that
// does not come by it this time gets to the operation's return.
func (r *Recording) Point(k int) *Point { return newPoint(r.trace, k) }

// Met reports whether a child ended or stands at the point. One that did not come
// by it, which the next attempt's may, has gone on to the operation's return.
func (p *Point) Met() bool { return p.met }
