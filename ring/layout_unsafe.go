package ring

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/bits"
	"structs"
	"sync/atomic"
	"unsafe"

	"github.com/sluice-ipc/sluice/internal/mem"
)

// A ring is a control block followed by its data:
//
//	offset  size  written by  field
//	     0     8  creator     magic "SLRING\r\n"
//	     8     4  creator     layout version
//	    12     4  creator     size of the control block
//	    16     8  creator     capacity: bytes of data, a power of two
//	    24     4  creator     byte order mark 0x01020304
//	    28     4  creator     CRC-32C of bytes 0 to 27
//	   128     8  reader      head: everything before it has been released
//	   256     4  both        data: eventcount on which the reader sleeps
//	   384     4  both        space: eventcount on which the writer sleeps
//	   512     8  both        writer: who writes (see role)
//	   520     8  both        reader: who reads
//	   528     8  writer      number of the last message sent in pieces
//	   536     4  both        strong: 1 when publishing must be a full fence
//	   640     …  –           zero
//	  1024     …  writer      data
//
// Positions count bytes for ever and are taken modulo the capacity on use.
// A frame begins at a multiple of eight with its header word:
//
//	bits  0-28  length of the payload in bytes
//	bits 29-30  kind: 0 whole message, 1 padding, 2 piece of a message
//	bit  31     set, so that no header is zero
//	bits 32-63  the frame's position divided by eight, truncated
//
// followed by the payload, padded to a multiple of eight. A header word of zero
// means that nothing has been written there yet. The word at the position where
// the writer goes on is always zero: before a frame is published, the word
// behind it is cleared. A frame never wraps; what does not fit before the end
// of the data is skipped by a padding frame.
//
// A piece begins with two words of its own: the length of the whole message,
// and its number shifted left by two with FIRST and LAST in the low bits.
const (
	magic          = 0x0a0d474e49524c53
	layoutVersion  = 1
	orderMark      = 0x01020304
	controlSize    = 1024
	headerSize     = 8
	pieceSize      = 16 // words before the data of a piece
	minCapacity    = 4 << 10
	maxCapacity    = 1 << 30
	defaultSize    = 1 << 20
	pieceFirst     = 1
	pieceLast      = 2
	kindWhole      = 0
	kindPad        = 1
	kindPiece      = 2
	validBit       = 1 << 31
	lengthMask     = 1<<29 - 1
	maxPieceOnWire = 128 << 10 // larger pieces gain nothing and start later
)

// creator is what the creator writes once.
type creator struct {
	_ structs.HostLayout

	magic    uint64
	version  uint32
	size     uint32
	capacity uint64
	order    uint32
	crc      uint32
}

type control struct {
	_ structs.HostLayout

	creator
	_ [mem.FalseShare - 32]byte

	head atomic.Uint64
	_    [mem.FalseShare - 8]byte

	data atomic.Uint32
	_    [mem.FalseShare - 4]byte

	space atomic.Uint32
	_     [mem.FalseShare - 4]byte

	writer  atomic.Uint64
	reader  atomic.Uint64
	message atomic.Uint64
	strong  atomic.Uint32
	_       [mem.FalseShare - 28]byte

	_ [controlSize - 5*mem.FalseShare]byte
}

// The layout is a file format: these lines stop the build if it drifts.
var (
	_ [28]struct{}   = [unsafe.Offsetof(creator{}.crc)]struct{}{}
	_ [32]struct{}   = [unsafe.Sizeof(creator{})]struct{}{}
	_ [128]struct{}  = [unsafe.Offsetof(control{}.head)]struct{}{}
	_ [256]struct{}  = [unsafe.Offsetof(control{}.data)]struct{}{}
	_ [384]struct{}  = [unsafe.Offsetof(control{}.space)]struct{}{}
	_ [512]struct{}  = [unsafe.Offsetof(control{}.writer)]struct{}{}
	_ [520]struct{}  = [unsafe.Offsetof(control{}.reader)]struct{}{}
	_ [528]struct{}  = [unsafe.Offsetof(control{}.message)]struct{}{}
	_ [536]struct{}  = [unsafe.Offsetof(control{}.strong)]struct{}{}
	_ [1024]struct{} = [unsafe.Sizeof(control{})]struct{}{}
)

// header returns the header word of a frame at position p.
func header(p uint64, kind uint64, n int) uint64 {
	return p>>3<<32 | validBit | kind<<29 | uint64(n)
}

// frameLen is how far the frame of a payload of n bytes reaches.
func frameLen(n int) uint64 { return headerSize + uint64(n+7)&^7 }

// maxFrame is the largest payload of one frame in a ring of that capacity: so
// much that padding, frame and the next header word always fit an empty ring.
func maxFrame(capacity int) int { return capacity/2 - headerSize }

// capacityFor rounds a size up to what a ring can have.
func capacityFor(size int) (int, error) {
	switch {
	case size == 0:
		return defaultSize, nil
	case size < 0 || size > maxCapacity:
		return 0, fmt.Errorf("ring: size %d is not between 1 and %d", size, maxCapacity)
	case size <= minCapacity:
		return minCapacity, nil
	}
	return 1 << bits.Len(uint(size-1)), nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(b []byte) uint32 {
	return crc32.Checksum(b[:unsafe.Offsetof(creator{}.crc)], castagnoli)
}

// initialise lays out an empty ring of the given capacity over b, beginning at
// position start.
func initialise(b []byte, capacity int, start uint64) {
	clear(b[:controlSize])
	c := mem.At[control](b, 0)
	c.magic, c.version, c.size = magic, layoutVersion, controlSize
	c.capacity, c.order = uint64(capacity), orderMark
	c.crc = checksum(b)
	c.head.Store(start)
	mem.WordsOf(b[controlSize : controlSize+capacity]).At(start).Store(0)
}

// examine checks what the creator wrote and returns the capacity. The fields
// are copied out first: the memory may change under us.
func examine(name string, b []byte) (int, error) {
	if len(b) < controlSize+minCapacity {
		return 0, &FormatError{name, "size", uint64(len(b)), controlSize + minCapacity}
	}
	if !mem.Aligned(b, 8) {
		return 0, &FormatError{name, "alignment of the address", 1, 8}
	}
	var own [32]byte
	copy(own[:], b)
	f := creator{
		magic:    binary.NativeEndian.Uint64(own[0:]),
		version:  binary.NativeEndian.Uint32(own[8:]),
		size:     binary.NativeEndian.Uint32(own[12:]),
		capacity: binary.NativeEndian.Uint64(own[16:]),
		order:    binary.NativeEndian.Uint32(own[24:]),
		crc:      binary.NativeEndian.Uint32(own[28:]),
	}
	for _, field := range []struct {
		name      string
		got, want uint64
	}{
		{"magic", f.magic, magic},
		{"byte order", uint64(f.order), orderMark},
		{"checksum", uint64(f.crc), uint64(checksum(own[:]))},
		{"layout version", uint64(f.version), layoutVersion},
		{"control size", uint64(f.size), controlSize},
	} {
		if field.got != field.want {
			return 0, &FormatError{name, field.name, field.got, field.want}
		}
	}
	n := f.capacity
	if n < minCapacity || n > maxCapacity || n&(n-1) != 0 || n > uint64(len(b)-controlSize) {
		return 0, &FormatError{name, "capacity", n, uint64(len(b) - controlSize)}
	}
	return int(n), nil
}
