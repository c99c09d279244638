//go:build !amd64 || race

package mem

import "sync/atomic"

// StoreRelease stores v with release ordering: whoever sees v sees everything
// that was stored before. Here it is the Store method: on arm64 one STLR, which
// is ordered before later atomic loads as well.
func StoreRelease(p *atomic.Uint64, v uint64) { p.Store(v) }

// StoreRelease32 is StoreRelease for a 32-bit word.
func StoreRelease32(p *atomic.Uint32, v uint32) { p.Store(v) }
