package main

import (
	"context"
	"sync/atomic"

	"github.com/sluice-ipc/sluice/value"
)

var (
	loadOps       = newOps("value-load", 8, openLoadOps)
	atomicLoadOps = newOps("atomic-load", 8, openAtomicLoadOps)
	addOps        = newOps("value-add", 8, openAddOps)
	atomicAddOps  = newOps("atomic-add", 8, openAtomicAddOps)

	recordLoadOps   = newOps("record-load", recordSize, openRecordLoadOps)
	recordUpdateOps = newOps("record-update", recordSize, openRecordUpdateOps)
)

const recordSize = 256

type recordOf [recordSize / 8]uint64

// sink keeps results in use.
var sink int64

// A load takes less time than a loop around it, so there are eight in each.

func openLoadOps() (*opsEnd, error) {
	v, err := value.Anonymous[int64]("bench", 1, nil)
	if err != nil {
		return nil, err
	}
	return &opsEnd{done: v.Close, loop: func(n int) error {
		var sum int64
		for i := 0; i < n; i += 8 {
			sum += v.Load() + v.Load() + v.Load() + v.Load()
			sum += v.Load() + v.Load() + v.Load() + v.Load()
		}
		sink = sum
		return nil
	}}, nil
}

func openAtomicLoadOps() (*opsEnd, error) {
	v := new(atomic.Int64)
	v.Store(1)
	return &opsEnd{loop: func(n int) error {
		var sum int64
		for i := 0; i < n; i += 8 {
			sum += v.Load() + v.Load() + v.Load() + v.Load()
			sum += v.Load() + v.Load() + v.Load() + v.Load()
		}
		sink = sum
		return nil
	}}, nil
}

func openAddOps() (*opsEnd, error) {
	v, err := value.Anonymous[int64]("bench", 0, nil)
	if err != nil {
		return nil, err
	}
	return &opsEnd{done: v.Close, loop: func(n int) error {
		for range n {
			v.Add(1)
		}
		return nil
	}}, nil
}

func openAtomicAddOps() (*opsEnd, error) {
	v := new(atomic.Int64)
	return &opsEnd{loop: func(n int) error {
		for range n {
			v.Add(1)
		}
		sink = v.Load()
		return nil
	}}, nil
}

func openRecordLoadOps() (*opsEnd, error) {
	r, err := value.AnonymousRecord("bench", recordOf{1}, nil)
	if err != nil {
		return nil, err
	}
	return &opsEnd{done: r.Close, loop: func(n int) error {
		for range n {
			v := r.Load()
			sink = int64(v[0])
		}
		return nil
	}}, nil
}

func openRecordUpdateOps() (*opsEnd, error) {
	r, err := value.AnonymousRecord("bench", recordOf{}, nil)
	if err != nil {
		return nil, err
	}
	ctx := context.Background()
	return &opsEnd{done: r.Close, loop: func(n int) error {
		for range n {
			_, err := r.Update(ctx, func(v recordOf) recordOf {
				v[0]++
				return v
			})
			if err != nil {
				return err
			}
		}
		return nil
	}}, nil
}
