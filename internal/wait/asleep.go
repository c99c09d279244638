package wait

import "sync/atomic"

// Asleep reports whether somebody may sleep on the word of an event. It is what
// [Event.WakeAll] looks at first, for callers to inline: after they have published
// with an atomic that is a fence.
func Asleep(word *atomic.Uint32) bool {
	return word.Load()&waiters != 0 //sync:asleep acquire: a flag set before our publishing is seen
}
