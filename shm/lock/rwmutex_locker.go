package lock

import (
	"context"
	"errors"
	"sync"
)

// Locker returns the writer's side as a sync.Locker, as [Mutex.Locker] does.
func (m *RWMutex) Locker(repair func() error) sync.Locker { return &locker{m, repair} }

// RLocker returns the readers' side as a sync.Locker. Where RLock would return
// [ErrInconsistent] or [ErrNotRecoverable], its Lock first locks for writing, as
// that of [RWMutex.Locker] does, repair included. It panics where it cannot lock
// or unlock.
func (m *RWMutex) RLocker(repair func() error) sync.Locker {
	return &readLocker{m, locker{m, repair}}
}

type readLocker struct {
	m     *RWMutex
	write locker
}

func (l *readLocker) Lock() {
	err := l.m.RLock(context.Background())
	for errors.Is(err, ErrInconsistent) || errors.Is(err, ErrNotRecoverable) {
		l.write.Lock()
		l.write.Unlock()
		err = l.m.RLock(context.Background())
	}
	if err != nil {
		panic(err)
	}
}

func (l *readLocker) Unlock() {
	if err := l.m.RUnlock(); err != nil {
		panic(err)
	}
}

func (m *RWMutex) revive() { m.l.revive() }
