package main

import (
	"errors"
	"fmt"
	"runtime"
	"sync"

	"github.com/sluice-ipc/sluice/internal/mem"
)

// fan is fan-in between goroutines, whose messages are values: what producers
// would write into buffers of their own, some consumer might still read.
func (c *chanEnd) fan(who crew, each int) (tally, error) {
	switch c.size {
	case 64:
		return fanValues[[8]uint64](c, who, each)
	case 1 << 10:
		return fanValues[[128]uint64](c, who, each)
	}
	return tally{}, fmt.Errorf("messages of %d bytes: %w", c.size, errors.ErrUnsupported)
}

func fanValues[T any](c *chanEnd, who crew, each int) (all tally, err error) {
	values := make(chan T, fanDepth)
	var sending, receiving sync.WaitGroup
	for k := range who.producers {
		sending.Go(func() { produceValues(c, values, k, each) })
	}
	tallies, errs := make([]tally, who.consumers), make([]error, who.consumers)
	for k := range who.consumers {
		receiving.Go(func() { errs[k] = consumeValues(c, values, &tallies[k]) })
	}
	sending.Wait()
	close(values)
	receiving.Wait()
	for _, t := range tallies {
		all.count += t.count
		all.sum += t.sum
	}
	return all, firstError(errs...)
}

func produceValues[T any](c *chanEnd, to chan<- T, who, n int) {
	var v T
	p := newPayload(c.size)
	b := mem.BytesOf(&v)
	copy(b, p.src)
	for i := 1; i <= n; i++ {
		number(b, numberOf(who, i))
		if !c.spin {
			to <- v
			continue
		}
		for sent := false; !sent; {
			select {
			case to <- v:
				sent = true
			default:
				runtime.Gosched()
			}
		}
	}
}

// consumeValues takes all, whatever they are, so that nobody waits for ever.
func consumeValues[T any](c *chanEnd, from <-chan T, t *tally) (failed error) {
	var v T
	b := mem.BytesOf(&v)
	for {
		var more bool
		if !c.spin {
			v, more = <-from
		} else {
			for received := false; !received; {
				select {
				case v, more = <-from:
					received = true
				default:
					runtime.Gosched()
				}
			}
		}
		if !more {
			return failed
		}
		if err := c.accept(t, b, numberIn(b)); err != nil && failed == nil {
			failed = err
		}
	}
}
