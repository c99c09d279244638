package ring_test

import (
	"testing"

	"github.com/sluice-ipc/sluice/ring"
)

// BenchmarkOneGoroutine is what the calls themselves cost, without a peer.
func BenchmarkOneGoroutine(b *testing.B) {
	for name, spin := range spins {
		if name != "always" {
			continue
		}
		mem := make([]byte, ring.ControlSize+1<<20)
		w, rd := pair(b, mem, mem, &ring.Options{Spin: spin})
		msg, buf := make([]byte, 64), make([]byte, 64)
		b.Run("reserve-commit-peek-release", func(b *testing.B) {
			for b.Loop() {
				p, _ := w.Reserve(bg, 64)
				copy(p, msg)
				w.Commit(64)
				rd.Peek(bg)
				rd.Release()
			}
		})
		b.Run("write-read", func(b *testing.B) {
			for b.Loop() {
				w.Write(bg, msg)
				rd.Read(bg, buf)
			}
		})
		b.Run("batch-32", func(b *testing.B) {
			for b.Loop() {
				bt, _ := w.Batch(bg)
				for range 32 {
					p, _ := bt.Reserve(bg, 64)
					copy(p, msg)
					bt.Stage(64)
				}
				bt.Commit()
				rd.Peek(bg)
				for range 31 {
					rd.More()
				}
				rd.Release()
			}
		})
	}
}
