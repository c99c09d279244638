package conn

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"sync"
	"time"

	"github.com/sluice-ipc/sluice/internal/sys"
)

// ListenOptions tunes a listener. The zero value is ready to use, and so is nil.
type ListenOptions struct {
	// Key is a secret that both sides must have; it is not sent. nil is
	// none, and a dialer with a key is refused then. An empty one is an error.
	Key []byte

	// Allow may refuse a dialer by who it is, as the kernel says, with an
	// error that the dialer is told; it gets ErrNotAllowed. The default lets in
	// processes of this user, and of root. It is called by many goroutines at
	// a time, as is Failed; neither may call Close, which waits for them.
	// When very many of these calls take their time, so do all handshakes.
	Allow func(Credentials) error

	// Failed is told of each handshake that failed: with whom, as far as it
	// came to that, and why. The default tells nobody.
	Failed func(who Credentials, why error)

	// Backlog is how many connections wait for Accept, 128 if 0. Dialers
	// beyond it wait for their welcome.
	Backlog int

	// Handshakes is how many dialers may be shaking hands or waiting for
	// their welcome. The default is 2048, or a quarter of the descriptors that this
	// process may have, if that is less: each takes up to two. When there are more, the oldest handshake of the
	// process that has the most is given up, or the new one if it is of that
	// process or none but it could be; that dialer gets ErrBusy. So it goes, too,
	// when there are no descriptors left.
	Handshakes int

	// HandshakeTimeout is how long a handshake may take, 10 s if 0.
	HandshakeTimeout time.Duration

	// MaxSize is the most bytes of shared memory that a dialer may bring
	// along, 1 GiB if 0. The memory is the dialer's.
	MaxSize int64

	// Mode is the permission of the socket's file, 0600 if 0.
	Mode fs.FileMode

	// Conn tunes the connections here: MaxMessage, Spin, Codec, Prefault,
	// Lock and HugePages count. Their Size is the dialer's.
	Conn Options
}

func (o *ListenOptions) withDefaults() ListenOptions {
	var v ListenOptions
	if o != nil {
		v = *o
	}
	if v.Allow == nil {
		v.Allow = sameUser
	}
	if v.Backlog <= 0 {
		v.Backlog = 128
	}
	if v.Failed == nil {
		v.Failed = func(Credentials, error) {}
	}
	if v.Handshakes <= 0 {
		v.Handshakes = max(min(2048, sys.MaxFiles()/4), 1)
	}
	if v.HandshakeTimeout <= 0 {
		v.HandshakeTimeout = 10 * time.Second
	}
	if v.MaxSize <= 0 {
		v.MaxSize = 1 << 30
	}
	if v.Mode == 0 {
		v.Mode = 0600
	}
	v.Conn = v.Conn.withDefaults()
	return v
}

// sameUser is the default of ListenOptions.Allow.
func sameUser(c Credentials) error {
	if c.UID != os.Geteuid() && c.UID != 0 {
		return fmt.Errorf("user %d: %w", c.UID, ErrNotAllowed)
	}
	return nil
}

// Listener is where strangers connect. It is safe for use by many goroutines.
type Listener struct {
	o    ListenOptions
	sock *net.UnixListener
	addr *net.UnixAddr
	file *boundFile // nil: an abstract address

	ready  chan *Conn    // have shaken hands; see settled
	closed chan struct{} // closed by Close
	busy   chan struct{} // one for each goroutine with a handshake; see run
	all    sync.WaitGroup

	mu      sync.Mutex
	news    chan struct{} // closed, and replaced, when ready has got one
	pending []*handshake  // under way, the oldest first
	over    bool
}

// Listen listens at a Unix socket: a path, or "@name" for one in the abstract
// namespace, which has no file and no permissions. With the address "" it is a
// path in a new directory that only this user can enter; see [Listener.Addr].
//
// A path with the socket of a listener that died, or ended without closing it,
// is taken over; a live one is [ErrAddressInUse], and so is a file that is no
// socket, which is never touched. The directory is locked meanwhile (flock);
// when somebody else keeps it locked for two seconds it is [ErrBusy].
//
// The listener goes on when handshakes fail, and when descriptors run out. A
// process that dies leaves the socket's file, and with the address "" its
// directory.
func Listen(addr string, o *ListenOptions) (*Listener, error) {
	v := o.withDefaults()
	if err := checkKey(v.Key); err != nil {
		return nil, err
	}
	sock, file, err := bind(addr, v.Mode)
	if err != nil {
		return nil, fmt.Errorf("conn: listen at %q: %w", addr, err)
	}
	l := &Listener{
		o: v, sock: sock, file: file, addr: sock.Addr().(*net.UnixAddr),
		ready: make(chan *Conn, v.Backlog), closed: make(chan struct{}),
		busy: make(chan struct{}, 2*v.Handshakes), // some of them given up
		news: make(chan struct{}),
	}
	l.all.Go(l.run)
	return l, nil
}

// Addr returns the address for Dial.
func (l *Listener) Addr() string { return l.addr.Name }

// Accept waits for a connection whose dialer has shaken hands; that goes on all
// the time, and dialers that fail in it are not seen here. It returns
// [ErrListenerClosed] when the listener is closed, also meanwhile, and the
// context's error. A context that is done already gets one attempt.
func (l *Listener) Accept(ctx context.Context) (*Conn, error) {
	select {
	case <-l.closed:
		return nil, l.failed(ErrListenerClosed)
	default:
	}
	select {
	case c := <-l.ready:
		return settled(c), nil
	default:
	}
	select {
	case c := <-l.ready:
		return settled(c), nil
	case <-l.closed:
		return nil, l.failed(ErrListenerClosed)
	case <-ctx.Done():
		return nil, l.failed(ctx.Err())
	}
}

// Poll waits until Accept would not block, and accepts nothing: [Waitable]. It is
// ready once it is closed, too.
func (l *Listener) Poll(ctx context.Context) (bool, error) {
	for {
		l.mu.Lock()
		ready, news := len(l.ready) > 0 || l.over, l.news
		l.mu.Unlock()
		if ready {
			return true, nil
		}
		select {
		case <-news:
		case <-l.closed:
		case <-ctx.Done():
			if ctx.Err() == context.DeadlineExceeded {
				return false, nil
			}
			return false, l.failed(ctx.Err())
		}
	}
}

// TryPoll is Poll without waiting.
func (l *Listener) TryPoll() (bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.ready) > 0 || l.over, nil
}

// announce wakes those in Poll.
func (l *Listener) announce() {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.news)
	l.news = make(chan struct{})
}

// settled waits until the dialer of a connection that is ready has been told: it
// may be closed before the user has it, and not before it is welcome.
func settled(c *Conn) *Conn {
	<-c.handle.e.side.Load().settled
	return c
}

func (l *Listener) failed(err error) error {
	return fmt.Errorf("conn: accept at %q: %w", l.Addr(), err)
}

// Close ends listening, gives up the handshakes under way, closes the
// connections that nobody has accepted, removes the socket's file and wakes those
// who are in Accept. Connections that were accepted are not touched. Calling it
// again does nothing.
func (l *Listener) Close() error {
	l.mu.Lock()
	if l.over {
		l.mu.Unlock()
		return nil
	}
	l.over = true
	close(l.closed)
	for _, h := range l.pending {
		h.giveUp(errListenerCloses)
	}
	l.pending = nil
	l.mu.Unlock()
	err := errors.Join(l.file.remove(), l.sock.Close())
	l.all.Wait()
	for {
		select {
		case c := <-l.ready:
			err = errors.Join(err, settled(c).Close())
		default:
			return err
		}
	}
}
