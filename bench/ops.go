package main

import (
	"context"
	"os"
	"sync"

	"github.com/sluice-ipc/sluice/shm/lock"
)

// What one process does that nobody disturbs: the least that a lock or a value
// costs, beside what Go has for goroutines. The size is that of the value.

// opsEnd repeats one operation.
type opsEnd struct {
	unable
	loop func(n int) error // about n times, within 8
	done func() error      // gives everything back; may be nil
}

func (e *opsEnd) send(n int) error { return e.loop(n) }

func (e *opsEnd) close() error {
	if e.done == nil {
		return nil
	}
	return e.done()
}

// newOps is an implementation of an operation that open prepares.
func newOps(name string, size int, open func() (*opsEnd, error)) *impl {
	return &impl{
		name:    name,
		benches: []string{benchOps},
		waits:   []string{waitSpin},
		solo:    true,
		only:    []int{size},
		open:    func(spec, int, []*os.File) (endpoint, error) { return open() },
	}
}

var (
	mutexOps     = newOps("mutex", 0, openMutexOps)
	syncMutexOps = newOps("sync-mutex", 0, func() (*opsEnd, error) { return lockerOps(new(sync.Mutex)), nil })

	rlockOps     = newOps("rwmutex-read", 0, openRLockOps)
	syncRLockOps = newOps("sync-rwmutex-read", 0, openSyncRLockOps)
	semaphoreOps = newOps("semaphore", 0, openSemaphoreOps)
)

func openMutexOps() (*opsEnd, error) {
	m, err := lock.Anonymous[lock.Mutex]("bench", nil)
	if err != nil {
		return nil, err
	}
	ctx := context.Background()
	return &opsEnd{done: m.Close, loop: func(n int) error {
		for range n {
			if err := m.Lock(ctx); err != nil {
				return err
			}
			if err := m.Unlock(); err != nil {
				return err
			}
		}
		return nil
	}}, nil
}

func lockerOps(m *sync.Mutex) *opsEnd {
	return &opsEnd{loop: func(n int) error {
		for range n {
			m.Lock()
			m.Unlock()
		}
		return nil
	}}
}

func openRLockOps() (*opsEnd, error) {
	m, err := lock.Anonymous[lock.RWMutex]("bench", nil)
	if err != nil {
		return nil, err
	}
	ctx := context.Background()
	return &opsEnd{done: m.Close, loop: func(n int) error {
		for range n {
			if err := m.RLock(ctx); err != nil {
				return err
			}
			if err := m.RUnlock(); err != nil {
				return err
			}
		}
		return nil
	}}, nil
}

func openSyncRLockOps() (*opsEnd, error) {
	m := new(sync.RWMutex)
	return &opsEnd{loop: func(n int) error {
		for range n {
			m.RLock()
			m.RUnlock()
		}
		return nil
	}}, nil
}

func openSemaphoreOps() (*opsEnd, error) {
	s, err := lock.Anonymous[lock.Semaphore]("bench", &lock.Options{Permits: 4})
	if err != nil {
		return nil, err
	}
	ctx := context.Background()
	return &opsEnd{done: s.Close, loop: func(n int) error {
		for range n {
			if err := s.Acquire(ctx); err != nil {
				return err
			}
			if err := s.Release(); err != nil {
				return err
			}
		}
		return nil
	}}, nil
}
