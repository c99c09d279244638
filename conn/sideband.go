package conn

import (
	"os"
	"sync"
	"time"

	"github.com/sluice-ipc/sluice/shm"
)

// sideband is the socket over which two strangers met. It brings the news of the
// other's end, and carries what only a socket can: descriptors.
type sideband struct {
	s    socket
	cred Credentials
	seg  *shm.Segment

	files chan received // what has arrived and nobody has asked for
	turn  chan struct{} // has the socket's write deadline while it is full
	quit  chan struct{} // closed by close
	once  sync.Once
}

// A received is a file, and what is said of it.
type received struct {
	f    *os.File
	desc string // "" for a plain file, else as shm.Export says
}

// maxFiles is how many files wait to be received; then the sender waits.
const maxFiles = 16

func newSideband(s socket, cred Credentials, e *end) *sideband {
	return &sideband{s: s, cred: cred, seg: e.seg,
		files: make(chan received, maxFiles),
		turn:  make(chan struct{}, 1), quit: make(chan struct{})}
}

// start begins to read. The goroutine ends with the socket.
func (b *sideband) start() { go b.run() }

func (b *sideband) run() {
	defer close(b.files)
	buf := make([]byte, maxPacket)
	for {
		p, f, err := b.s.receive(buf)
		if err != nil {
			b.gone()
			return
		}
		if f == nil || len(p) == 0 || p[0] != packetHandle {
			if f != nil {
				f.Close()
			}
			continue // nothing that we know
		}
		select {
		case b.files <- received{f, string(p[1:])}:
		case <-b.quit:
			f.Close()
			return
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
		go func() {
			for r := range b.files {
				r.f.Close()
			}
		}()
	})
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
