package conn

import (
	"os"

	"github.com/sluice-ipc/sluice/ring"
	"github.com/sluice-ipc/sluice/shm"
)

// Examine checks the header of a pipe's data area.
func Examine(b []byte) error {
	_, err := examine("memory", b)
	return err
}

// Memory is the data area of the pipe, as this end has it mapped.
func Memory(c *Conn) []byte { return c.handle.e.seg.Data() }

// Checksum is what the header's checksum must be.
func Checksum(b []byte) uint32 { return checksum(b) }

// What strangers say to each other, for tests that say it wrong.
const (
	MaxPacket   = maxPacket
	HelloSize   = helloSize
	PacketTypes = string(packetHello) + string(packetProof) + string(packetOffer) +
		string(packetWelcome) + string(packetRefusal) + string(packetHandle)
)

// NewHello is a hello of one who has that key, or none.
func NewHello(key []byte) []byte {
	h := newHello(key)
	return h[:]
}

// DialerProof and ListenerProof are what the sides prove the key with.
func DialerProof(key, dialer, listener []byte) []byte {
	return proof(key, sideDialer, (*hello)(dialer), (*hello)(listener))
}

func ListenerProof(key, dialer, listener []byte) []byte {
	return proof(key, sideListener, (*hello)(dialer), (*hello)(listener))
}

// CheckHello, CheckProof and CheckRefusal are what is done with packets.
func CheckHello(b, key []byte) error {
	_, err := parseHello(b, key)
	return err
}

func CheckProof(b, key []byte) error { return verify(b, key, sideDialer, new(hello), new(hello)) }

func CheckRefusal(b []byte) error { return parseRefusal(b) }

// FileOf opens a connection's memory once more.
func FileOf(c *Conn) (*os.File, error) { return c.handle.e.seg.File() }

// CheckMemory is what is done with the file of an end that a stranger sends.
func CheckMemory(f *os.File, most int64) error { return checkMemory(f, most) }

// CrowdedPipe is a segment with a pipe for more participants than any of ours.
func CrowdedPipe() (*shm.Segment, error) {
	stride, err := ring.RegionSize(4096)
	if err != nil {
		return nil, err
	}
	s := shape{2, stride}
	return shm.Anonymous("crowded", &shm.Options{
		Size: int64(s.size()), Kind: shm.KindPipe, Version: layoutVersion, MaxParticipants: maxParticipants + 1,
		Init: func(b []byte) error { return s.initialise(b, new(Options).ring()) },
	})
}

// Waiting returns how many handshakes lack nothing but somebody who accepts.
func Waiting(l *Listener) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, h := range l.pending {
		if h.done {
			n++
		}
	}
	return n
}
