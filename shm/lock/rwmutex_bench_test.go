package lock_test

import (
	"context"
	"sync"
	"testing"

	"github.com/sluice-ipc/sluice/shm/lock"
)

// Uncontended read and write locks, beside sync.RWMutex.
func BenchmarkRWMutex(b *testing.B) {
	var local sync.RWMutex
	m, err := lock.Anonymous[lock.RWMutex]("bench", nil)
	if err != nil {
		b.Fatal(err)
	}
	defer m.Close()
	ctx := context.Background()
	for _, v := range []struct {
		name string
		turn func()
	}{
		{"read/sync", func() { local.RLock(); local.RUnlock() }},
		{"read/shared", func() { m.RLock(ctx); m.RUnlock() }},
		{"write/sync", func() { local.Lock(); local.Unlock() }},
		{"write/shared", func() { m.Lock(ctx); m.Unlock() }},
	} {
		b.Run(v.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				v.turn()
			}
		})
	}
}

// A permit that is free, beside a channel that holds permits, for one who holds
// none and for one who holds many.
func BenchmarkSemaphore(b *testing.B) {
	const permits = 1000
	ctx := context.Background()
	s, err := lock.Anonymous[lock.Semaphore]("bench", &lock.Options{Permits: permits})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	local := make(chan struct{}, permits)
	b.Run("chan", func(b *testing.B) {
		for b.Loop() {
			local <- struct{}{}
			<-local
		}
	})
	shared := func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			s.Acquire(ctx)
			s.Release()
		}
	}
	b.Run("shared", shared)
	for range permits - 1 {
		s.Acquire(ctx)
	}
	b.Run("shared, one left", shared)
	b.Run("signal", func(b *testing.B) {
		for s.Held() > 0 {
			s.Release()
		}
		for b.Loop() {
			s.Consume(ctx)
			s.Release()
		}
	})
}
