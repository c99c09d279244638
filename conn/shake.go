package conn

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"time"

	"github.com/sluice-ipc/sluice/internal/hook"
	"github.com/sluice-ipc/sluice/shm"
)

// A handshake is one that is under way. why and done are guarded by the
// listener's mu. Its goroutine alone closes the socket, which can take time: what a
// stranger has sent and nobody has read is closed with it.
type handshake struct {
	c    *net.UnixConn
	who  Credentials
	err  error         // why it is not known who that is
	gone chan struct{} // closed when it is given up
	why  error         // it was given up for
	done bool          // nothing is missing but the welcome
}

// giveUp ends a handshake that another goroutine makes. The caller holds mu.
func (h *handshake) giveUp(why error) {
	h.why = why
	close(h.gone)
	if !h.done { // else it waits for gone, or is beyond that
		h.c.SetDeadline(past)
	}
}

// run accepts sockets and has the handshakes made elsewhere.
func (l *Listener) run() {
	for {
		select {
		case l.busy <- struct{}{}:
		case <-l.closed:
			return
		}
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
			<-l.busy
			l.lack()
			continue
		}
		hook.At("conn.listen.accepted")
		h := l.begin(c)
		l.all.Go(func() {
			defer func() { <-l.busy }()
			l.shake(h)
		})
	}
}

// lack waits a little when there are too many descriptors, or there is no memory:
// others may give theirs back, and it is no reason to end. Of those who are shaking
// hands one has to.
func (l *Listener) lack() {
	l.mu.Lock()
	if i := l.surplus(0); i >= 0 {
		l.drop(i)
	}
	l.mu.Unlock()
	select {
	case <-time.After(10 * time.Millisecond):
	case <-l.closed:
	}
}

// begin notes a handshake. Where there are too many it gives one up, which may be
// the new one.
func (l *Listener) begin(c *net.UnixConn) *handshake {
	h := &handshake{c: c, gone: make(chan struct{})}
	h.who, h.err = socket{c}.credentials()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over {
		h.giveUp(errListenerCloses)
		return h
	}
	if len(l.pending) >= l.o.Handshakes {
		i := l.surplus(h.who.PID)
		if i < 0 {
			h.giveUp(errTooMany)
			return h
		}
		l.drop(i)
	}
	l.pending = append(l.pending, h)
	return h
}

// drop gives up the i-th handshake. The caller holds mu.
func (l *Listener) drop(i int) {
	l.pending[i].giveUp(errTooMany)
	l.pending = slices.Delete(l.pending, i, i+1)
}

// surplus returns which handshake to give up for one more of process pid: the
// oldest of the process that has the most, so that one process does not keep out
// the others. It is -1 if that is the new one: none can be given up, since they
// all wait for Accept, or pid itself has more than who would have to go. The
// caller holds mu.
func (l *Listener) surplus(pid int) int {
	count := map[int]int{pid: 1} // by process
	for _, h := range l.pending {
		count[h.who.PID]++
	}
	worst := -1
	for i, h := range l.pending {
		if !h.done && (worst < 0 || count[h.who.PID] > count[l.pending[worst].who.PID]) {
			worst = i
		}
	}
	if worst >= 0 && count[pid] > count[l.pending[worst].who.PID] {
		return -1
	}
	return worst
}

// greeting gives a handshake its deadline, unless it was given up.
func (l *Listener) greeting(h *handshake) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if h.why == nil {
		h.c.SetDeadline(time.Now().Add(l.o.HandshakeTimeout))
	}
	return h.why
}

// met notes that a handshake lacks nothing but the welcome, and reports whether
// it has not been given up.
func (l *Listener) met(h *handshake) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	h.done = true
	return h.why == nil
}

// end notes that a handshake is over, and returns why it was given up, if it was.
func (l *Listener) end(h *handshake) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if i := slices.Index(l.pending, h); i >= 0 {
		l.pending = slices.Delete(l.pending, i, i+1)
	}
	return h.why
}

// shake makes one handshake and puts the connection where Accept finds it.
func (l *Listener) shake(h *handshake) {
	var e *end
	err := l.greeting(h)
	if err == nil {
		e, err = l.meet(h)
	}
	if err != nil {
		l.refuse(h, err, h.c.Close)
		return
	}
	// Waiting for Accept may take any time, of which met and deliver see the end.
	h.c.SetDeadline(time.Time{})
	b := newSideband(socket{h.c}, h.who, e, false)
	e.side.Store(b)
	c := newConn(e) // closes the socket from here on
	if !l.met(h) || !l.deliver(h, c) {
		l.refuse(h, ErrHungUp, c.Close)
		return
	}
	// Accept finds it before the dialer is welcome, and returns it afterwards.
	l.announce()
	hook.At("conn.listen.ready")
	l.end(h) // first: who is welcome keeps nobody else out any more
	b.welcome.Store(true)
	b.s.send([]byte{packetWelcome}) // if it has gone, reading will tell
	hook.At("conn.listen.welcome")
	close(b.settled)
}

// refuse ends a handshake for that reason, unless it was given up for another.
func (l *Listener) refuse(h *handshake, err error, closing func() error) {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = fmt.Errorf("%w: the handshake takes longer than %v", os.ErrDeadlineExceeded, l.o.HandshakeTimeout)
	}
	if why := l.end(h); why != nil {
		err = why
	}
	socket{h.c}.refuse(err)
	closing()
	l.o.Failed(h.who, err)
}

// deliver waits for room in ready, until the handshake is given up, or its dialer
// has gone or sent something, which it may not before it is welcome.
func (l *Listener) deliver(h *handshake, c *Conn) bool {
	select {
	case l.ready <- c:
		return true
	case <-h.gone:
		return false
	case <-c.handle.e.side.Load().done:
		return false
	}
}

// meet is the listener's part of a handshake, up to the welcome.
func (l *Listener) meet(h *handshake) (*end, error) {
	s := socket{h.c}
	if h.err != nil {
		return nil, fmt.Errorf("%w: the kernel does not say who it is: %w", ErrNotAllowed, h.err)
	}
	if err := l.o.Allow(h.who); err != nil {
		if !errors.Is(err, ErrNotAllowed) {
			err = fmt.Errorf("%w: %w", ErrNotAllowed, err)
		}
		return nil, err
	}
	buf := make([]byte, maxPacket)
	if err := l.greet(s, buf); err != nil {
		return nil, err
	}
	desc, offered, err := s.expect(packetOffer, buf, true)
	if err != nil {
		return nil, err
	}
	f, err := offered.memory(l.o.MaxSize)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	hook.At("conn.listen.offer")
	e, err := importEnd(f, string(desc), bothWays, &l.o.Conn)
	if err == nil && e.open() != bothWays {
		err = errors.Join(fmt.Errorf("%w: one of them is closed already", ErrDirection), e.close())
	}
	hook.At("conn.listen.import")
	return e, err
}

// greet exchanges the hellos, and the proofs if there is a key.
func (l *Listener) greet(s socket, buf []byte) error {
	b, f, err := s.receive(buf)
	if err != nil {
		return err
	}
	if f != noFile {
		f.drop()
		return fmt.Errorf("%w: a file is not wanted", ErrProtocol)
	}
	theirs, err := parseHello(b, l.o.Key)
	if err != nil {
		return err
	}
	ours := newHello(l.o.Key)
	if err := s.send(ours[:]); err != nil {
		return err
	}
	hook.At("conn.listen.hello")
	if l.o.Key == nil {
		return nil
	}
	if b, _, err = s.expect(packetProof, buf, false); err != nil {
		return err
	}
	if err := verify(b, l.o.Key, sideDialer, &theirs, &ours); err != nil {
		return err
	}
	hook.At("conn.listen.proof")
	return s.send(proof(l.o.Key, sideListener, &theirs, &ours))
}

// importEnd adopts an end of a pipe that a stranger has sent in memory that was
// checked, if it does what want says.
func importEnd(f *os.File, desc string, want direction, v *Options) (*end, error) {
	var p attachment
	which := -1
	p.want = func(s *shm.Segment) error { return p.belongs(s, want, &which) }
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
