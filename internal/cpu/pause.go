//go:build amd64 || arm64

package cpu

// Pause executes the processor's spin-loop hint n times: PAUSE on amd64, ISB
// on arm64 (YIELD does nothing on nearly all arm64 cores).
//
// Assembly cannot be preempted, so n must keep one call at or below about a
// microsecond; PerMicrosecond is that n.
//
//go:noescape
func Pause(n uint32)
