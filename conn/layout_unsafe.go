package conn

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"structs"
	"sync/atomic"
	"unsafe"

	"github.com/sluice-ipc/sluice/internal/mem"
	"github.com/sluice-ipc/sluice/ring"
	"github.com/sluice-ipc/sluice/shm"
)

// The data of a segment that holds a pipe:
//
//	offset  size  written by  field
//	     0     8  creator     magic "SLPIPE\r\n"
//	     8     4  creator     rings: 2 for a duplex pipe, 1 for a simplex one
//	    12     4  creator     zero
//	    16     8  creator     stride: bytes from one ring to the next
//	    24     4  creator     byte order mark 0x01020304
//	    28     4  creator     CRC-32C of bytes 0 to 27
//	   128     8  creator     participant that is end 0
//	   136     8  creator     participant that is end 1
//	   144     …  –           zero
//	  1024     …              the rings, each as package ring lays it out
//
// Of a duplex pipe, end i writes ring i and reads the other. Of a simplex one,
// end 0 reads and end 1 writes. A participant is an shm.ID; it stays the same
// when an end moves to another process.
const (
	magic         = 0x0a0d455049504c53
	layoutVersion = 1
	orderMark     = 0x01020304
	headerSize    = 1024
)

// creator is what the creator writes once.
type creator struct {
	_ structs.HostLayout

	magic  uint64
	rings  uint32
	_      uint32
	stride uint64
	order  uint32
	crc    uint32
}

type header struct {
	_ structs.HostLayout

	creator
	_ [mem.FalseShare - 32]byte

	ends [2]atomic.Uint64
	_    [headerSize - mem.FalseShare - 16]byte
}

// The layout is a file format: these lines stop the build if it drifts.
var (
	_ [28]struct{}   = [unsafe.Offsetof(creator{}.crc)]struct{}{}
	_ [32]struct{}   = [unsafe.Sizeof(creator{})]struct{}{}
	_ [128]struct{}  = [unsafe.Offsetof(header{}.ends)]struct{}{}
	_ [1024]struct{} = [unsafe.Sizeof(header{})]struct{}{}
)

// A shape is what the header says, checked.
type shape struct {
	rings  int
	stride int
}

// size is the length of the data area.
func (s shape) size() int { return headerSize + s.rings*s.stride }

// region returns the memory of ring i.
func (s shape) region(b []byte, i int) []byte {
	from := headerSize + i*s.stride
	return b[from : from+s.stride : from+s.stride]
}

// headerOf returns the header of a pipe's data area, which examine has seen.
func headerOf(b []byte) *header { return mem.At[header](b, 0) }

// initialise lays out an empty pipe over b.
func (s shape) initialise(b []byte, o *ring.Options) error {
	h := headerOf(b)
	h.magic, h.rings, h.order = magic, uint32(s.rings), orderMark
	h.stride = uint64(s.stride)
	h.crc = checksum(b)
	for i := range s.rings {
		if err := ring.Init(s.region(b, i), o); err != nil {
			return err
		}
	}
	return nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(b []byte) uint32 {
	return crc32.Checksum(b[:unsafe.Offsetof(creator{}.crc)], castagnoli)
}

// examine checks what the creator wrote. The fields are copied out first: the
// memory may change under us.
func examine(name string, b []byte) (s shape, err error) {
	if len(b) < headerSize {
		return s, &shm.FormatError{Segment: name, Field: "pipe size",
			Got: len(b), Want: fmt.Sprintf("at least %d", headerSize)}
	}
	var own [32]byte
	copy(own[:], b)
	rings := binary.NativeEndian.Uint32(own[8:])
	stride := binary.NativeEndian.Uint64(own[16:])
	for _, f := range []struct {
		name      string
		got, want uint64
	}{
		{"pipe magic", binary.NativeEndian.Uint64(own[0:]), magic},
		{"pipe byte order", uint64(binary.NativeEndian.Uint32(own[24:])), orderMark},
		{"pipe checksum", uint64(binary.NativeEndian.Uint32(own[28:])), uint64(checksum(own[:]))},
	} {
		if f.got != f.want {
			return s, &shm.FormatError{Segment: name, Field: f.name, Got: f.got, Want: f.want}
		}
	}
	if rings < 1 || rings > 2 {
		return s, &shm.FormatError{Segment: name, Field: "pipe rings", Got: rings, Want: "1 or 2"}
	}
	most := uint64(len(b)-headerSize) / uint64(rings)
	if stride > most || stride%8 != 0 {
		return s, &shm.FormatError{Segment: name, Field: "pipe stride", Got: stride,
			Want: fmt.Sprintf("a multiple of 8 up to %d", most)}
	}
	return shape{int(rings), int(stride)}, nil
}
