package lock

import (
	"context"
	"errors"
)

// Poll is Wait in the form in which conn.Wait waits for several things: false
// and no error when the context's deadline passes. (conn.Wait itself looks again
// what is ready, so that it may miss a Set that a Clear follows at once.)
func (e *Event) Poll(ctx context.Context) (bool, error) {
	err := e.Wait(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		return false, nil
	}
	return err == nil, err
}

// TryPoll is Poll without waiting: IsSet, or the error of a closed handle.
func (e *Event) TryPoll() (bool, error) {
	if err := e.spot.Seg.Retain(); err != nil {
		return false, wrap("look at", e.spot.Name(), err)
	}
	defer e.spot.Seg.Release()
	return e.IsSet(), nil
}
