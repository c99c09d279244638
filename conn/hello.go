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

// The reasons for which a handshake is refused, as a refusal says them.
var refusals = map[byte]error{
	1: ErrAuth,
	2: ErrProtocol,
	3: ErrNotAllowed,
	4: ErrBusy,
}

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
		return h, fmt.Errorf("%w: the first packet is no hello", ErrProtocol)
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

// send sends a packet. The file stays the caller's.
func (s socket) send(b []byte, f *os.File) error {
	var oob []byte
	if f != nil {
		c, err := f.SyscallConn()
		if err != nil {
			return err
		}
		err2 := c.Control(func(fd uintptr) {
			_, _, err = s.c.WriteMsgUnix(b, sys.Rights(int(fd)), nil)
		})
		return errors.Join(err, err2)
	}
	_, _, err := s.c.WriteMsgUnix(b, oob, nil)
	return err
}

// receive receives a packet into buf, and the first file that came with it.
func (s socket) receive(buf []byte) (b []byte, f *os.File, err error) {
	oob := make([]byte, sys.RightsSpace)
	n, oobn, flags, _, err := s.c.ReadMsgUnix(buf, oob)
	for i, fd := range sys.ParseRights(oob[:oobn]) {
		if i == 0 && err == nil {
			f = os.NewFile(uintptr(fd), "received")
		} else {
			sys.Close(fd)
		}
	}
	if err == nil && flags&sys.Truncated != 0 {
		err = fmt.Errorf("%w: a packet is longer than %d bytes", ErrProtocol, len(buf))
	}
	if err == nil {
		return buf[:n], f, nil
	}
	if f != nil {
		f.Close()
	}
	return nil, nil, err
}

// expect receives a packet of that kind, with a file or without, and returns
// what follows the first byte. A refusal is returned as its error.
func (s socket) expect(kind byte, buf []byte, file bool) ([]byte, *os.File, error) {
	b, f, err := s.receive(buf)
	switch {
	case err != nil:
		return nil, nil, err
	case len(b) > 1 && b[0] == packetRefusal:
		err = parseRefusal(b)
	case len(b) == 0 || b[0] != kind:
		err = fmt.Errorf("%w: a packet is not the one that was expected (%q)", ErrProtocol, kind)
	case (f != nil) != file:
		err = fmt.Errorf("%w: a file is missing, or not wanted", ErrProtocol)
	default:
		return b[1:], f, nil
	}
	if f != nil {
		f.Close()
	}
	return nil, nil, err
}

// refuse tells the other side why.
func (s socket) refuse(why error) {
	for code, err := range refusals {
		if errors.Is(why, err) {
			s.send(append([]byte{packetRefusal, code}, err.Error()...), nil)
			return
		}
	}
	text := why.Error()
	s.send(append([]byte{packetRefusal, 0}, text[:min(len(text), maxReasonLen)]...), nil)
}

func parseRefusal(b []byte) error {
	if err := refusals[b[1]]; err != nil {
		return fmt.Errorf("%w, says the other side", err)
	}
	return fmt.Errorf("%w: %q", ErrRefused, b[2:])
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
