package conn

import (
	"context"
	"errors"
	"os"
	"sync"
	"time"

	"github.com/sluice-ipc/sluice/internal/sys"
)

// past is a deadline that has passed.
var past = time.Unix(1, 0)

// Poller gives something that can be waited for a descriptor of its own, for
// those who have an event loop: it is readable, as poll and epoll see it, once
// the Waitable is ready or has failed, and stays so until [Poller.Reset].
//
// Until then nobody waits on it. Afterwards the Poller does, so use up what is
// ready first: a TryRecv beside it can say ErrBusy, as beside any other goroutine
// that receives, and the end cannot be passed on.
type Poller struct {
	w      Waitable
	event  *os.File // an eventfd
	cancel context.CancelFunc
	reset  chan struct{}
	over   chan struct{}
	once   sync.Once
}

// NewPoller begins to wait for w. It costs a goroutine and a descriptor.
func NewPoller(w Waitable) (*Poller, error) {
	fd, err := sys.Eventfd()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	p := &Poller{w: w, event: os.NewFile(uintptr(fd), "eventfd"), cancel: cancel,
		reset: make(chan struct{}, 1), over: make(chan struct{})}
	go p.run(ctx)
	return p, nil
}

// File returns the descriptor to wait for. It is the Poller's, and must not be
// read or written.
func (p *Poller) File() *os.File { return p.event }

// Reset is called after what was ready has been used, or some of it: the
// descriptor is readable again at once if there is more.
func (p *Poller) Reset() {
	sys.DrainEventfd(p.event)
	select {
	case p.reset <- struct{}{}:
	default:
	}
}

// Close gives the descriptor back. The Waitable is not touched.
func (p *Poller) Close() error {
	var err error
	p.once.Do(func() {
		p.cancel()
		<-p.over
		err = p.event.Close()
	})
	return err
}

func (p *Poller) run(ctx context.Context) {
	defer close(p.over)
	for {
		ready, err := p.w.Poll(ctx)
		if ctx.Err() != nil {
			return
		}
		if errors.Is(err, ErrBusy) {
			continue
		}
		if ready || err != nil {
			sys.RaiseEventfd(p.event)
		}
		select {
		case <-p.reset:
		case <-ctx.Done():
			return
		}
	}
}
