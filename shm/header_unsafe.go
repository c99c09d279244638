package shm

import (
	"structs"
	"sync/atomic"
	"unsafe"

	"github.com/sluice-ipc/sluice/internal/mem"
)

// A segment is laid out as
//
//	offset   size  written by    field
//	0x0000      8  creator       magic "SLUICE\r\n"
//	0x0008      4  creator       byte order: 0x01020304 as the machine stores it
//	0x000c    2+2  creator       major, minor version of this layout
//	0x0010      4  creator       length of the immutable part: 512
//	0x0014      4  creator       page size of the creator
//	0x0018    4+4  creator       features: incompatible, compatible
//	0x0020    4+4  creator       kind, version of the kind
//	0x0028      8  creator       fingerprint of the element type, 0: none
//	0x0030      8  creator       length of the file
//	0x0038    8+8  creator       data area: offset, length
//	0x0048      8  creator       offset of the participants table
//	0x0050      4  creator       entries of that table
//	0x0054      4  –             zero
//	0x0058      8  creator       time of creation, ns since 1970
//	0x0060     16  creator       uuid
//	0x0070     16  creator       boot id
//	0x0080     64  creator       name of the element type, ends with NUL
//	0x00c0     64  creator       label, ends with NUL
//	0x0100    252  –             zero
//	0x01fc      4  creator       CRC-32C of all before it
//	0x0200      …  –             zero, to the end of the page
//	0x1000      4  replacer      lifecycle: OPEN 0, RETIRED 1
//	0x1080      4  participants  deaths: changes after a death and its repair
//	0x1100      4  participants  roster: changes when somebody comes or goes
//	0x1180  128×n  its owner     participants table
//	  data         everybody     data area, at a multiple of 4096
//
// Nothing of the first page ever changes, and nothing in it is believed twice:
// it is read once, into memory of our own, and checked there.
type header struct {
	_ structs.HostLayout

	magic       [8]byte
	order       uint32
	major       uint16
	minor       uint16
	length      uint32
	pageSize    uint32
	incompat    uint32
	compat      uint32
	kind        uint32
	version     uint32
	fingerprint uint64
	fileLen     uint64
	dataOff     uint64
	dataLen     uint64
	tableOff    uint64
	entries     uint32
	_           uint32
	created     int64
	uuid        [16]byte
	bootID      [16]byte
	elemType    [maxText + 1]byte
	label       [maxText + 1]byte
	_           [252]byte
	crc         uint32
}

// control is the part of a segment that changes and belongs to nobody: each
// word on a unit of its own.
type control struct {
	_ structs.HostLayout

	// lifecycle turns from OPEN to RETIRED once, by whoever replaces the
	// segment, with nobody in it.
	lifecycle atomic.Uint32
	_         [mem.FalseShare - 4]byte

	// deaths is incremented after each proof of death, and again when the
	// repair is done.
	deaths atomic.Uint32
	_      [mem.FalseShare - 4]byte

	// roster is incremented after each join, leave, move and death.
	roster atomic.Uint32
	_      [mem.FalseShare - 4]byte
}

// slot is one entry of the participants table. All but word are written by
// the participant while it holds the slot's lock, for others to show and to
// know which process to watch; nothing of it is a proof of anything.
type slot struct {
	_ structs.HostLayout

	// word says who has the slot; only CAS changes it.
	//
	//	bits 0..7    state: FREE 0, ACTIVE 1, DEAD 2
	//	bits 8..31   zero
	//	bits 32..63  incarnation, never 0 once used
	//
	//	FREE n   → ACTIVE n+1  a joiner that holds the lock
	//	ACTIVE n → FREE n      its owner leaves
	//	ACTIVE n → DEAD n      anybody who found the lock free
	//	DEAD n   → FREE n      a repairer that found nothing left
	word atomic.Uint64

	pid    atomic.Uint32 // 0: on its way to a child
	_      uint32
	pidNS  atomic.Uint64 // PID namespace
	start  atomic.Uint64 // start time of the process, clock ticks since boot
	joined atomic.Int64  // ns since 1970
	label  [maxText + 1]byte
	_      [24]byte
}

// What lifecycle says.
const (
	lifeOpen    = 0
	lifeRetired = 1
)

const (
	headerLen  = 512
	controlOff = 0x1000
	controlLen = 3 * mem.FalseShare
	tableOff   = controlOff + controlLen
	slotLen    = 128
	dataAlign  = 4096
	maxDataOff = tableOff + maxParticipants*slotLen + dataAlign
)

// The layout is a file format: these lines stop the build if it drifts.
var (
	_ [0x008]struct{} = [unsafe.Offsetof(header{}.order)]struct{}{}
	_ [0x00c]struct{} = [unsafe.Offsetof(header{}.major)]struct{}{}
	_ [0x010]struct{} = [unsafe.Offsetof(header{}.length)]struct{}{}
	_ [0x018]struct{} = [unsafe.Offsetof(header{}.incompat)]struct{}{}
	_ [0x020]struct{} = [unsafe.Offsetof(header{}.kind)]struct{}{}
	_ [0x028]struct{} = [unsafe.Offsetof(header{}.fingerprint)]struct{}{}
	_ [0x030]struct{} = [unsafe.Offsetof(header{}.fileLen)]struct{}{}
	_ [0x038]struct{} = [unsafe.Offsetof(header{}.dataOff)]struct{}{}
	_ [0x048]struct{} = [unsafe.Offsetof(header{}.tableOff)]struct{}{}
	_ [0x050]struct{} = [unsafe.Offsetof(header{}.entries)]struct{}{}
	_ [0x058]struct{} = [unsafe.Offsetof(header{}.created)]struct{}{}
	_ [0x060]struct{} = [unsafe.Offsetof(header{}.uuid)]struct{}{}
	_ [0x070]struct{} = [unsafe.Offsetof(header{}.bootID)]struct{}{}
	_ [0x080]struct{} = [unsafe.Offsetof(header{}.elemType)]struct{}{}
	_ [0x0c0]struct{} = [unsafe.Offsetof(header{}.label)]struct{}{}
	_ [0x1fc]struct{} = [unsafe.Offsetof(header{}.crc)]struct{}{}
	_ [0x200]struct{} = [unsafe.Sizeof(header{})]struct{}{}

	_ [0x000]struct{} = [unsafe.Offsetof(control{}.lifecycle)]struct{}{}
	_ [0x080]struct{} = [unsafe.Offsetof(control{}.deaths)]struct{}{}
	_ [0x100]struct{} = [unsafe.Offsetof(control{}.roster)]struct{}{}
	_ [0x180]struct{} = [unsafe.Sizeof(control{})]struct{}{}

	_ [0x00]struct{} = [unsafe.Offsetof(slot{}.word)]struct{}{}
	_ [0x08]struct{} = [unsafe.Offsetof(slot{}.pid)]struct{}{}
	_ [0x10]struct{} = [unsafe.Offsetof(slot{}.pidNS)]struct{}{}
	_ [0x18]struct{} = [unsafe.Offsetof(slot{}.start)]struct{}{}
	_ [0x20]struct{} = [unsafe.Offsetof(slot{}.joined)]struct{}{}
	_ [0x28]struct{} = [unsafe.Offsetof(slot{}.label)]struct{}{}
	_ [0x80]struct{} = [unsafe.Sizeof(slot{})]struct{}{}
)

// addr returns where b begins, to compare it with the address of a fault.
func addr(b []byte) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(b))) }
