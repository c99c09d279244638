package conn

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/sluice-ipc/sluice/shm"
)

// ListenOptions tunes a listener. The zero value is ready to use, and so is nil.
type ListenOptions struct {
	// Key is a secret that both sides must have; it is not sent. nil is
	// none, and a dialer with a key is refused then. An empty one is an error.
	Key []byte

	// Allow may refuse a dialer by who it is, as the kernel says, with an
	// error that the dialer is told. The default lets in processes of this
	// user, and of root.
	Allow func(Credentials) error

	// Backlog is how many connections wait for Accept, 128 if 0. Dialers
	// beyond it wait for their welcome.
	Backlog int

	// Handshakes is how many handshakes may be under way, 256 if 0. When
	// there are more, the one that began first is given up.
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
	if v.Handshakes <= 0 {
		v.Handshakes = 256
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

	ready  chan *Conn    // have shaken hands
	closed chan struct{} // closed by Close
	all    sync.WaitGroup

	mu      sync.Mutex
	news    chan struct{} // closed, and replaced, when ready has got one
	pending []*handshake  // under way, the oldest first
	over    bool
}

// A handshake is one that is under way.
type handshake struct {
	c    *net.UnixConn
	gone chan struct{} // closed when it is given up
}

func (h *handshake) giveUp() {
	close(h.gone)
	h.c.Close()
}

// Listen listens at a Unix socket: a path, or "@name" for one in the abstract
// namespace, which has no file and no permissions. With the address "" it is a
// path in a new directory that only this user can enter; see [Listener.Addr].
//
// A path with the socket of a listener that died, or ended without closing it,
// is taken over; a live one is [ErrAddressInUse]. A file that is no socket is
// never touched.
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
		return c, nil
	default:
	}
	select {
	case c := <-l.ready:
		return c, nil
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
		h.giveUp()
	}
	l.pending = nil
	l.mu.Unlock()
	err := errors.Join(l.file.remove(), l.sock.Close())
	l.all.Wait()
	for {
		select {
		case c := <-l.ready:
			err = errors.Join(err, c.Close())
		default:
			return err
		}
	}
}

// run accepts sockets and has the handshakes made elsewhere.
func (l *Listener) run() {
	for {
		c, err := l.sock.AcceptUnix()
		select {
		case <-l.closed:
			if err == nil {
				c.Close()
			}
			return
		default:
		}
		if err != nil {
			// Too many descriptors, or no memory: others may give theirs
			// back, and it is no reason to end.
			select {
			case <-time.After(10 * time.Millisecond):
			case <-l.closed:
			}
			continue
		}
		if h := l.begin(c); h != nil {
			l.all.Go(func() { l.shake(h) })
		}
	}
}

// begin notes a handshake, and gives up the oldest where there are too many. It
// returns nil when the listener is closed.
func (l *Listener) begin(c *net.UnixConn) *handshake {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over {
		c.Close()
		return nil
	}
	if len(l.pending) >= l.o.Handshakes {
		l.pending[0].giveUp()
		l.pending = l.pending[1:]
	}
	h := &handshake{c, make(chan struct{})}
	l.pending = append(l.pending, h)
	return h
}

// end notes that a handshake is over.
func (l *Listener) end(h *handshake) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if i := slices.Index(l.pending, h); i >= 0 {
		l.pending = slices.Delete(l.pending, i, i+1)
	}
}

// shake makes one handshake and puts the connection where Accept finds it.
func (l *Listener) shake(h *handshake) {
	defer l.end(h)
	s := socket{h.c}
	h.c.SetDeadline(time.Now().Add(l.o.HandshakeTimeout))
	e, err := l.meet(s)
	if err != nil {
		s.refuse(err)
		h.c.Close()
		return
	}
	// Accept finds it before the dialer is welcome. From here on closing the
	// connection closes the socket.
	c := newConn(e)
	select {
	case l.ready <- c:
	case <-h.gone:
		c.Close()
		return
	}
	l.announce()
	s.send([]byte{packetWelcome}, nil) // if it has gone, reading will tell
	h.c.SetDeadline(time.Time{})
	e.side.Load().start()
}

// meet is the listener's part of a handshake.
func (l *Listener) meet(s socket) (*end, error) {
	cred, err := s.credentials()
	if err != nil {
		return nil, err
	}
	if err := l.o.Allow(cred); err != nil {
		return nil, err
	}
	buf := make([]byte, maxPacket)
	b, _, err := s.receive(buf)
	if err != nil {
		return nil, err
	}
	theirs, err := parseHello(b, l.o.Key)
	if err != nil {
		return nil, err
	}
	ours := newHello(l.o.Key)
	if err := s.send(ours[:], nil); err != nil {
		return nil, err
	}
	if l.o.Key != nil {
		if err := s.prove(l.o.Key, buf, sideDialer, sideListener, &theirs, &ours); err != nil {
			return nil, err
		}
	}
	desc, f, err := s.expect(packetOffer, buf, true)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	e, err := importEnd(f, string(desc), l.o.MaxSize, &l.o.Conn)
	if err != nil {
		return nil, err
	}
	e.side.Store(newSideband(s, cred, e))
	return e, nil
}

// prove receives the other side's proof and sends ours.
func (s socket) prove(key, buf []byte, them, us string, dialer, listener *hello) error {
	b, _, err := s.expect(packetProof, buf, false)
	if err != nil {
		return err
	}
	if err := verify(b, key, them, dialer, listener); err != nil {
		return err
	}
	return s.send(proof(key, us, dialer, listener), nil)
}

// importEnd adopts an end of a pipe that a stranger has sent.
func importEnd(f *os.File, desc string, most int64, v *Options) (*end, error) {
	if err := checkMemory(f, most); err != nil {
		return nil, err
	}
	var p attachment
	which := -1
	p.want = func(s *shm.Segment) error { return p.belongs(s, bothWays, &which) }
	seg, detail, err := shm.Import(f, desc, v.segment(&p))
	if err != nil {
		return nil, err
	}
	p.seg = seg
	e, err := newEnd(&p, which, parseDetail(detail), v)
	if err != nil {
		return nil, errors.Join(err, p.discard())
	}
	return e, nil
}
