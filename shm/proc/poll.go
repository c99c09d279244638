package proc

import (
	"context"
	"fmt"
)

// Poll waits until the child has ended, in the form in which conn.Wait waits for
// several things: false and no error when the context's deadline passes.
func (p *Process) Poll(ctx context.Context) (bool, error) {
	if !p.isStarted() {
		return false, fmt.Errorf("%w: %s", ErrNotStarted, p.name)
	}
	select {
	case <-p.done:
		return true, nil
	default:
	}
	select {
	case <-p.done:
		return true, nil
	case <-ctx.Done():
		if ctx.Err() == context.DeadlineExceeded {
			return false, nil
		}
		return false, fmt.Errorf("proc: wait for %s: %w", p.name, ctx.Err())
	}
}

// TryPoll is Poll without waiting.
func (p *Process) TryPoll() (bool, error) {
	if !p.isStarted() {
		return false, fmt.Errorf("%w: %s", ErrNotStarted, p.name)
	}
	select {
	case <-p.done:
		return true, nil
	default:
		return false, nil
	}
}
