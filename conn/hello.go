package conn

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/sluice-ipc/sluice/internal/sys"
	"github.com/sluice-ipc/sluice/shm"
)

// Strangers meet at a Unix socket of packets. Each packet begins with a byte
// that says what it is:
//
//	dialer               listener
//	'H' hello        →
//	                 ←   'H' hello, or 'R' refusal
//	'M' proof        →                            if there is a key
//	                 ←   'M' proof, or 'R'
//	'O' offer + file →
//	                 ←   'W' welcome, or 'R'
//	'F' handle + file ↔  any time later
//
// A hello is the magic, the protocol's version, flags and a nonce. A proof is an
// HMAC-SHA-256 over both hellos, under the shared key, labelled with the side.
// An offer is the other end of a pipe that the dialer made, as shm.Export
// describes it: its lock is in the socket until the listener has it, so that it
// is never nobody's, and what the dialer sent is received although it may have
// gone by then.
const (
	packetHello   = 'H'
	packetProof   = 'M'
	packetOffer   = 'O'
	packetWelcome = 'W'
	packetRefusal = 'R'
	packetHandle  = 'F'

	helloMagic   = "SLUICE\r\n"
	protocol     = 1
	flagKey      = 1
	nonceSize    = 32
	helloSize    = 1 + len(helloMagic) + 4 + 4 + nonceSize
	maxPacket    = 1 + shm.MaxDescription + 256
	maxReasonLen = 200
)

// The reasons for which a handshake is refused, as a refusal says them. An error
// may be several: the first counts.
var refusals = []struct {
	code byte
	err  error
}{
	{3, ErrNotAllowed},
	{1, ErrAuth},
	{2, ErrProtocol},
	{4, errTooMany},
	{5, errListenerCloses},
}

var (
	errTooMany        error = &sentinel{"conn: too many handshakes under way", ErrBusy}
	errListenerCloses error = &sentinel{"conn: the listener closes", ErrHungUp}

	// errFileLost is for whoever was sent a file and had no descriptor left.
	errFileLost error = &sentinel{"conn: a file was lost, as too many are open here", errTooManyFiles}
)

// A hello is the first packet of either side.
type hello [helloSize]byte

func newHello(key []byte) (h hello) {
	h[0] = packetHello
	n := 1 + copy(h[1:], helloMagic)
	binary.LittleEndian.PutUint32(h[n:], protocol)
	if key != nil {
		binary.LittleEndian.PutUint32(h[n+4:], flagKey)
	}
	rand.Read(h[n+8:])
	return h
}

// parseHello checks the other side's hello against whether there is a key here.
func parseHello(b []byte, key []byte) (h hello, err error) {
	if len(b) != helloSize || string(b[:1+len(helloMagic)]) != string(packetHello)+helloMagic {
		return h, fmt.Errorf("%w: a packet is not the one that was expected (%q)", ErrProtocol, packetHello)
	}
	copy(h[:], b)
	n := 1 + len(helloMagic)
	if v := binary.LittleEndian.Uint32(h[n:]); v != protocol {
		return h, fmt.Errorf("%w: version %d, want %d", ErrProtocol, v, protocol)
	}
	switch f := binary.LittleEndian.Uint32(h[n+4:]); {
	case f&^flagKey != 0:
		return h, fmt.Errorf("%w: unknown flags %#x", ErrProtocol, f)
	case (f == flagKey) != (key != nil):
		return h, fmt.Errorf("%w: one side has a key, and the other has none", ErrAuth)
	}
	return h, nil
}

// The two sides of a proof.
const (
	sideDialer   = "sluice dialer"
	sideListener = "sluice listener"
)

// proof shows that the side has the key.
func proof(key []byte, side string, dialer, listener *hello) []byte {
	m := hmac.New(sha256.New, key)
	m.Write([]byte(side))
	m.Write(dialer[:])
	m.Write(listener[:])
	return m.Sum([]byte{packetProof})
}

// verify checks a proof, in a time that does not depend on it.
func verify(b, key []byte, side string, dialer, listener *hello) error {
	if !hmac.Equal(b, proof(key, side, dialer, listener)[1:]) {
		return ErrAuth
	}
	return nil
}

// checkKey refuses a key that is there and empty.
func checkKey(key []byte) error {
	if key != nil && len(key) == 0 {
		return fmt.Errorf("conn: %w: the key is empty", ErrAuth)
	}
	return nil
}

// A socket sends and receives packets, with at most one file each.
type socket struct{ c *net.UnixConn }

// send sends a packet.
func (s socket) send(b []byte) error {
	_, _, err := s.c.WriteMsgUnix(b, nil, nil)
	return hungUp(err)
}

// sendNow sends a packet with a file, if the socket has room for it. The file
// stays the caller's.
func (s socket) sendNow(b []byte, f *os.File) error {
	file, err := f.SyscallConn()
	if err != nil {
		return err
	}
	sock, err := s.c.SyscallConn()
	if err != nil {
		return err
	}
	err2 := file.Control(func(fd uintptr) {
		err3 := sock.Control(func(to uintptr) { err = sys.SendNow(int(to), b, sys.Rights(int(fd))) })
		err = errors.Join(err, err3)
	})
	if err2 != nil {
		return os.ErrClosed // there is nothing else that can be wrong with f
	}
	return hungUp(err)
}

// hungUp returns ErrHungUp for what says so.
func hungUp(err error) error {
	if err != nil && hangsUp(err) {
		return ErrHungUp
	}
	return err
}

// receive receives a packet into buf, and the file that came with it. What
// cannot be a packet of ours is ErrProtocol, and the next one can be received.
func (s socket) receive(buf []byte) (b []byte, f foreign, err error) {
	b, f, err = s.receiveOnce(buf)
	if err != nil && isReset(err) {
		// The kernel tells this first, although something may have been sent
		// before: that we are refused, and why.
		b, f, err = s.receiveOnce(buf)
	}
	return b, f, hungUp(err)
}

func (s socket) receiveOnce(buf []byte) (b []byte, f foreign, err error) {
	oob := make([]byte, sys.RightsSpace)
	n, oobn, flags, _, err := s.c.ReadMsgUnix(buf, oob)
	fds := sys.ParseRights(oob[:max(oobn, 0)])
	switch {
	case err != nil:
	case flags&sys.Truncated != 0:
		err = fmt.Errorf("%w: a packet is longer than %d bytes", ErrProtocol, len(buf))
	case len(fds) > 1 || len(fds) == 1 && flags&sys.RightsTruncated != 0:
		err = fmt.Errorf("%w: a packet has several files", ErrProtocol)
	case flags&sys.RightsTruncated != 0:
		err = errFileLost
	case len(fds) == 1:
		return buf[:n], foreignFile(fds[0]), nil
	default:
		return buf[:n], noFile, nil
	}
	for _, fd := range fds {
		foreignFile(fd).drop()
	}
	return nil, noFile, err
}

// expect receives a packet of that kind, with a file or without, and returns
// what follows the first byte. A refusal is returned as its error.
func (s socket) expect(kind byte, buf []byte, file bool) ([]byte, foreign, error) {
	b, f, err := s.receive(buf)
	switch {
	case err != nil:
		return nil, noFile, err
	case len(b) > 1 && b[0] == packetRefusal:
		err = parseRefusal(b)
	case len(b) == 0 || b[0] != kind:
		err = fmt.Errorf("%w: a packet is not the one that was expected (%q)", ErrProtocol, kind)
	case (f != noFile) != file:
		err = fmt.Errorf("%w: a file is missing, or not wanted", ErrProtocol)
	default:
		return b[1:], f, nil
	}
	f.drop()
	return nil, noFile, err
}

// refuse tells the other side why.
func (s socket) refuse(why error) {
	s.c.SetWriteDeadline(time.Now().Add(time.Second)) // there is always room
	s.send(refusal(why))
}

func refusal(why error) []byte {
	text := why.Error()
	b := append([]byte{packetRefusal, 0}, text[:min(len(text), maxReasonLen)]...)
	for _, r := range refusals {
		if errors.Is(why, r.err) {
			b[1] = r.code
			break
		}
	}
	return b
}

// parseRefusal returns the error that a refusal stands for. The text is the
// other side's, and quoted.
func parseRefusal(b []byte) error {
	kind := ErrRefused
	for _, r := range refusals {
		if r.code == b[1] {
			kind = r.err
		}
	}
	return fmt.Errorf("%w, says the other side: %q", kind, b[2:min(len(b), 2+maxReasonLen)])
}

// credentials returns who is at the other end.
func (s socket) credentials() (c Credentials, err error) {
	rc, err := s.c.SyscallConn()
	if err != nil {
		return c, err
	}
	err2 := rc.Control(func(fd uintptr) { c.PID, c.UID, c.GID, err = sys.PeerCred(int(fd)) })
	return c, errors.Join(err, err2)
}

// Credentials are who was at the other end of a connection when it was made, as
// the kernel saw it.
type Credentials struct{ PID, UID, GID int }
