package conn

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/sluice-ipc/sluice/internal/sys"
)

// A Waitable is something that can be waited for: a connection or a Listener of
// this package, a queue of package ring, an event of package shm/lock, a process
// of package shm/proc, a [Descriptor], and whatever else has these methods.
type Waitable interface {
	// Poll waits until it is ready, and consumes nothing. It returns false
	// and no error when the context's deadline passes first, and an error
	// when the context is cancelled, or there is nothing to wait for.
	Poll(ctx context.Context) (bool, error)

	// TryPoll is Poll without waiting.
	TryPoll() (bool, error)
}

// ErrNothingToWait means that Wait was called with nothing to wait for.
var ErrNothingToWait = errors.New("conn: nothing to wait for")

// Wait waits until at least one of ws is ready, and returns those that are, in
// the order in which they were given. What is ready stays so until it is used:
// a connection until the message, or io.EOF, has been received.
//
// An end that only sends cannot be waited for. The same one may be given twice.
// While Wait waits, other goroutines that receive from the same connections wait
// as well. An event that is set and cleared at once may be missed: what is ready
// must stay so until it is seen, or be waited for by itself.
//
// When ctx is done first, the error is both ErrEmpty and the context's. An error
// of one of ws, such as [ErrClosed], ends the wait; those that are ready are
// returned with it.
func Wait(ctx context.Context, ws ...Waitable) (ready []Waitable, err error) {
	if len(ws) == 0 {
		return nil, ErrNothingToWait
	}
	for { // once more if another goroutine was faster
		ready, err = TryWait(ws...)
		if len(ready) > 0 || err != nil {
			return ready, err
		}
		err := waitAny(ctx, ws)
		if errors.Is(err, errNoneReady) {
			return nil, err
		}
		if err != nil && !errors.Is(err, ErrBusy) {
			ready, _ = TryWait(ws...)
			return ready, err
		}
	}
}

// errNoneReady is what Wait says when its context is done first.
var errNoneReady error = &sentinel{"conn: nothing is ready", ErrEmpty}

// TryWait returns those of ws that are ready now. None is no error.
func TryWait(ws ...Waitable) (ready []Waitable, err error) {
	for _, w := range ws {
		ok, err2 := w.TryPoll()
		if ok {
			ready = append(ready, w)
		}
		if err2 != nil && !errors.Is(err2, ErrBusy) && !errors.Is(err2, ErrEmpty) {
			err = errors.Join(err, err2)
		}
	}
	return ready, err
}

// waitAny waits until one of ws was ready, or failed. Each waits in its own
// manner, in a goroutine; it costs no thread, see package wait.
func waitAny(ctx context.Context, ws []Waitable) error {
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	var all sync.WaitGroup
	var once sync.Once
	var first error
	won := false
	for _, w := range ws {
		all.Go(func() {
			ok, err := w.Poll(inner)
			if (!ok && err == nil) || inner.Err() != nil && !ok {
				return // it was told to stop
			}
			once.Do(func() { won, first = true, err })
			cancel()
		})
	}
	all.Wait()
	if !won {
		late := ctx.Err()
		if late == nil {
			late = context.DeadlineExceeded // the context's own timer is a little late
		}
		return fmt.Errorf("%w: %w", errNoneReady, late)
	}
	return first
}

// Descriptor makes a Waitable of a file: it is ready when reading from it would
// not block. The file stays the caller's, who does not close it while it is waited
// for: that would not end the wait.
func Descriptor(f *os.File) Waitable { return descriptor{f} }

type descriptor struct{ f *os.File }

func (d descriptor) TryPoll() (ready bool, err error) {
	err = d.control(func(fd int) error { ready, err = sys.Readable(fd); return err })
	return ready, err
}

func (d descriptor) Poll(ctx context.Context) (bool, error) {
	var e *os.File
	always := false
	err := d.control(func(fd int) error {
		ep, ok, err := sys.Epoll(fd)
		if err == nil && !ok {
			always = true // a file that never blocks
		} else if err == nil {
			e = os.NewFile(uintptr(ep), "epoll")
		}
		return err
	})
	if err != nil || always {
		return always, err
	}
	defer e.Close()
	return awaitReadable(ctx, e)
}

func (d descriptor) control(f func(fd int) error) error {
	var err error
	c, err2 := d.f.SyscallConn()
	if err2 == nil {
		err2 = c.Control(func(fd uintptr) { err = f(int(fd)) })
	}
	if err2 != nil {
		err = os.ErrClosed // what else they say is not exported
	}
	if err != nil {
		return fmt.Errorf("conn: wait for %s: %w", d.f.Name(), err)
	}
	return nil
}

// awaitReadable waits until a file that is ours, and pollable, can be read.
func awaitReadable(ctx context.Context, e *os.File) (bool, error) {
	c, err := e.SyscallConn()
	if err != nil {
		return false, err
	}
	stop := context.AfterFunc(ctx, func() { e.SetReadDeadline(past) })
	defer stop()
	ready := false
	err2 := c.Read(func(fd uintptr) bool {
		ready, err = sys.Readable(int(fd))
		return ready || err != nil
	})
	switch {
	case err != nil || ready:
		return ready, err
	case ctx.Err() == context.DeadlineExceeded:
		return false, nil
	case ctx.Err() != nil:
		return false, ctx.Err()
	}
	return false, err2
}
