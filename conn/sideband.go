package conn

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-ipc/sluice/shm"
)

// sideband is the socket over which two strangers met. It brings the news of the
// other's end, and carries what only a socket can: descriptors. Its goroutine
// ends before the end does, so that it never holds the segment of one that is
// closed or on its way to another process.
type sideband struct {
	s    socket
	cred Credentials
	seg  *shm.Segment

	settled chan struct{} // closed when both sides know that they have met
	welcome atomic.Bool   // the other side may send: it has been told that they have
	files   chan received // what has arrived and nobody has asked for
	turn    chan struct{} // full while somebody sends; has the write deadline
	quit    chan struct{} // closed by close
	done    chan struct{} // closed when the goroutine ends
	once    sync.Once
}

// A received is a file, and what is said of it, or why there is none.
type received struct {
	f    foreign
	desc string // "" for a plain file, else as shm.Export says
	err  error
}

// drop gives back what nobody wants.
func (r received) drop() { r.f.drop() }

// maxFiles is how many files wait to be received; then the sender waits.
const maxFiles = 16

// newSideband begins to read. The end of e must close it. With welcome the other
// side may send something.
func newSideband(s socket, cred Credentials, e *end, welcome bool) *sideband {
	b := &sideband{s: s, cred: cred, seg: e.seg,
		settled: make(chan struct{}), files: make(chan received, maxFiles),
		turn: make(chan struct{}, 1), quit: make(chan struct{}), done: make(chan struct{})}
	b.welcome.Store(welcome)
	go b.run()
	return b
}

func (b *sideband) run() {
	defer close(b.done)
	if b.read() {
		b.gone()
	}
}

// read reads until the socket ends, and reports whether it is the other one who
// has ended it.
func (b *sideband) read() (other bool) {
	defer close(b.files)
	buf := make([]byte, maxPacket)
	for {
		p, f, err := b.s.receive(buf)
		r := received{f: f, err: err}
		switch {
		case err != nil && !errors.Is(err, ErrProtocol) && err != errFileLost:
			return true
		case !b.welcome.Load(): // who waits for its welcome has nothing to say, and would cost descriptors
			r.drop()
			return true
		case err != nil:
		case len(p) == 0 || p[0] != packetHandle:
			r.drop() // nothing that we know
			continue
		case f == noFile:
			r.err = fmt.Errorf("%w: a file is missing", ErrProtocol)
		default:
			r.desc = string(p[1:])
		}
		select {
		case b.files <- r:
		case <-b.quit:
			r.drop()
			return false
		}
	}
}

// gone looks whether the other one has died. Its socket may close a moment
// before its locks do.
func (b *sideband) gone() {
	for wait := time.Millisecond; wait < 100*time.Millisecond; wait *= 4 {
		b.seg.CheckPeers()
		select {
		case <-b.quit:
			return
		case <-time.After(wait):
		}
	}
	b.seg.CheckPeers()
}

// close ends the sideband and gives back what nobody has received.
func (b *sideband) close() {
	b.once.Do(func() {
		close(b.quit)
		b.s.c.Close()
	})
	<-b.done
	for r := range b.files {
		r.drop()
	}
}

// sideband returns the end's socket.
func (e *end) sideband(op string) (*sideband, error) {
	if e.gone() {
		return nil, e.closed(op)
	}
	b := e.side.Load()
	if b == nil {
		return nil, &opError{op, e.name, ErrNoSocket, nil}
	}
	return b, nil
}
