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

// A handshake is one that is under way. All but c, who and gone is
// guarded by the listener's mu.
type handshake struct {
	c    *net.UnixConn
	who  Credentials
	gone chan struct{} // closed when it is given up
	why  error         // it was given up for
	done bool          // nothing is missing but the welcome
}

// giveUp ends a handshake that somebody else has begun.
func (h *handshake) giveUp(why error) {
	h.why = why
	close(h.gone)
	socket{h.c}.refuse(why)
	h.c.Close()
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
		hook.At("conn.listen.accepted")
		if h := l.begin(c); h != nil {
			l.all.Go(func() { l.shake(h) })
		}
	}
}

// begin notes a handshake. Where there are too many it gives one up; where none
// lacks anything but somebody who accepts, it refuses the new one. It returns nil
// if it did, or the listener is closed.
func (l *Listener) begin(c *net.UnixConn) *handshake {
	h := &handshake{c: c, gone: make(chan struct{})}
	h.who, _ = socket{c}.credentials()
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.over:
		h.giveUp(errListenerCloses)
		return nil
	case len(l.pending) < l.o.Handshakes:
		l.pending = append(l.pending, h)
		return h
	}
	i := l.surplus()
	if i < 0 {
		h.giveUp(errTooMany)
		l.all.Go(func() { l.o.Failed(h.who, errTooMany) })
		return nil
	}
	l.pending[i].giveUp(errTooMany)
	l.pending = append(slices.Delete(l.pending, i, i+1), h)
	return h
}

// surplus returns which handshake to give up: the oldest of the process that has
// the most under way, so that one process does not keep out the others. It is -1
// if they all wait for Accept. The caller holds mu.
func (l *Listener) surplus() int {
	count := map[int]int{} // by process
	for _, h := range l.pending {
		if !h.done {
			count[h.who.PID]++
		}
	}
	worst := -1
	for i, h := range l.pending {
		if !h.done && (worst < 0 || count[h.who.PID] > count[l.pending[worst].who.PID]) {
			worst = i
		}
	}
	return worst
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
	h.c.SetDeadline(time.Now().Add(l.o.HandshakeTimeout))
	who := h.who
	e, err := l.meet(socket{h.c}, who)
	if err != nil {
		if errors.Is(err, os.ErrDeadlineExceeded) {
			err = fmt.Errorf("%w: the handshake takes longer than %v", os.ErrDeadlineExceeded, l.o.HandshakeTimeout)
		}
		if why := l.end(h); why != nil {
			err = why // closed under us
		} else {
			socket{h.c}.refuse(err)
			h.c.Close()
		}
		l.o.Failed(who, err)
		return
	}
	// Waiting for Accept may take any time. From here on closing the connection
	// closes the socket.
	h.c.SetDeadline(time.Time{})
	b := newSideband(socket{h.c}, who, e)
	e.side.Store(b)
	c := newConn(e)
	if !l.met(h) || !l.deliver(h, c) {
		c.Close()
		l.o.Failed(who, l.end(h))
		return
	}
	// Accept finds it before the dialer is welcome, and returns it afterwards.
	l.announce()
	hook.At("conn.listen.ready")
	l.end(h)                        // first: who is welcome keeps nobody else out any more
	b.s.send([]byte{packetWelcome}) // if it has gone, reading will tell
	hook.At("conn.listen.welcome")
	close(b.settled)
}

// deliver waits for room in ready, until the handshake is given up.
func (l *Listener) deliver(h *handshake, c *Conn) bool {
	select {
	case l.ready <- c:
		return true
	case <-h.gone:
		return false
	}
}

// meet is the listener's part of a handshake, up to the welcome.
func (l *Listener) meet(s socket, who Credentials) (*end, error) {
	if who == (Credentials{}) { // nobody is that, not even root
		return nil, fmt.Errorf("%w: the kernel does not say who it is", ErrNotAllowed)
	}
	if err := l.o.Allow(who); err != nil {
		if !errors.Is(err, ErrNotAllowed) {
			err = fmt.Errorf("%w: %w", ErrNotAllowed, err)
		}
		return nil, err
	}
	buf := make([]byte, maxPacket)
	if err := l.greet(s, buf); err != nil {
		return nil, err
	}
	desc, f, err := s.expect(packetOffer, buf, true)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	hook.At("conn.listen.offer")
	e, err := importEnd(f, string(desc), l.o.MaxSize, bothWays, &l.o.Conn)
	hook.At("conn.listen.import")
	return e, err
}

// greet exchanges the hellos, and the proofs if there is a key.
func (l *Listener) greet(s socket, buf []byte) error {
	b, f, err := s.receive(buf)
	if err != nil {
		return err
	}
	if f != nil {
		f.Close()
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

// importEnd adopts an end of a pipe that a stranger has sent, if it does what
// want says.
func importEnd(f *os.File, desc string, most int64, want direction, v *Options) (*end, error) {
	if err := checkMemory(f, most); err != nil {
		return nil, err
	}
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
