package main

import (
	"os"
	"time"

	"github.com/sluice-ipc/sluice/value"
)

// valueCountImpl adds 1 to a value, without a lock.
var valueCountImpl = &impl{
	name:    "value-count",
	benches: []string{benchCount},
	waits:   []string{waitAdaptive},
	only:    []int{8},
	share: func(spec) (*shared, error) {
		return shareOne(value.Anonymous[uint64]("bench", 0, nil))
	},
	open: func(spec, int, []*os.File) (endpoint, error) {
		v, err := value.Inherited[uint64](handleName(0), nil)
		if err != nil {
			return nil, err
		}
		return &valueCount{v: v}, nil
	},
}

type valueCount struct {
	unable
	v *value.Value[uint64]
}

func (e *valueCount) count(d time.Duration) ([]int, uint64, error) {
	return countFor(d, func() (last uint64, err error) {
		for range turnsBetween {
			last = e.v.Add(1)
		}
		return last, nil
	})
}

func (e *valueCount) close() error { return e.v.Close() }
