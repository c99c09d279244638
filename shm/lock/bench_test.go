package lock_test

import (
	"context"
	"sync"
	"testing"

	"github.com/sluice-ipc/sluice/shm/lock"
)

// An uncontended lock and unlock, beside sync.Mutex.
func BenchmarkMutex(b *testing.B) {
	b.Run("sync", func(b *testing.B) {
		var m sync.Mutex
		for b.Loop() {
			m.Lock()
			m.Unlock()
		}
	})
	b.Run("shared", func(b *testing.B) {
		m, err := lock.Anonymous[lock.Mutex]("bench", nil)
		if err != nil {
			b.Fatal(err)
		}
		defer m.Close()
		b.ReportAllocs()
		ctx := context.Background()
		for b.Loop() {
			m.Lock(ctx)
			m.Unlock()
		}
	})
}
