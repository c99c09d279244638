package ring

import (
	"encoding/binary"
	"structs"
	"sync/atomic"
	"unsafe"

	"github.com/sluice-ipc/sluice/internal/cpu"
	"github.com/sluice-ipc/sluice/internal/mem"
)

// A queue is a control block followed by tables:
//
//	offset  size  written by  field
//	     0     8  creator     magic "SLQUEUE\n"
//	     8     4  creator     layout version
//	    12     4  creator     size of the control block
//	    16     4  creator     capacity: words of the ring
//	    20     4  creator     chunks
//	    24     4  creator     bytes of payload in a chunk
//	    28     4  creator     slots: most participants
//	    32     4  creator     lanes of each participant, at least 2
//	    36     4  creator     hold: messages that one may hold, each
//	    40     4  creator     flags: 1 joinable, 2 discard what the dead held,
//	                          4 stamped
//	    44     4  creator     byte order mark 0x01020304
//	    48     4  creator     zero
//	    52     4  creator     CRC-32C of bytes 0 to 51
//	   128     4  everybody   epoch: changes when a chunk may have become an orphan
//	   132     4  everybody   closing: 1 after CloseSend
//	   136     4  everybody   strong: 1 when publishing must be a full fence
//	   256     4  everybody   items: eventcount on which consumers sleep
//	   384     4  everybody   space: eventcount on which producers sleep
//	   388     4  everybody   pool: eventcount of producers that need many chunks
//	   392     4  everybody   drain: eventcount of Flush
//	   396     4  everybody   idle: eventcount of Join
//	   400     8  everybody   zero: position behind the last message when no
//	                          task was unfinished, while somebody waited for that
//	   408     8  creator     position of the first message
//	   512    64  everybody   counters, see queueCounters
//	   640     …  –           zero
//	  1024     …              lanes: 128 bytes for each lane of each slot
//	     …     …              ring: 8 bytes for each word
//	     …     …              entries: 16 bytes for each chunk
//	     …     …              stamps, if flags say so: 8 bytes for each chunk,
//	                          when its message was put, ns of CLOCK_MONOTONIC
//	     …     …              chunks, each rounded up to 64 bytes
//
// Each table begins at a multiple of 128. A lane is
//
//	0     8  owner       taking: what it is about to take, see announce
//	8     8  owner       done: tasks that were finished through it
//	16    4  owner       of the last lane: calls of the slot that wait for messages
//	20    4  owner       of the last lane: calls of the slot that wait for room
//
// and an entry is the chunk's state word and its meta word.
const (
	queueMagic    = 0x0a45554555514c53
	queueVersion  = 1
	queueControls = 1024
	laneSize      = mem.FalseShare
	entrySize     = 16
	chunkAlign    = mem.CacheLine
)

// The flags of a queue.
const (
	flagJoinable = 1 << iota
	flagDiscard
	flagStamped
	flagsKnown = flagJoinable | flagDiscard | flagStamped
)

type queueCreator struct {
	_ structs.HostLayout

	magic     uint64
	version   uint32
	size      uint32
	capacity  uint32
	chunks    uint32
	chunkSize uint32
	slots     uint32
	lanes     uint32
	hold      uint32
	flags     uint32
	order     uint32
	_         uint32
	crc       uint32
}

// queueCounters are not exact across a death between an event and its count.
type queueCounters struct {
	_ structs.HostLayout

	high        atomic.Uint64 // largest depth seen
	dropped     atomic.Uint64 // messages dropped because the queue was full
	discarded   atomic.Uint64 // orphans dropped: by option, or a dead letter without a handler
	redelivered atomic.Uint64 // orphans delivered again
	recovered   atomic.Uint64 // chunks taken back from the dead
	deadLetters atomic.Uint64 // messages given to a dead-letter handler
	requeued    atomic.Uint64
	_           uint64
}

type queueControl struct {
	_ structs.HostLayout

	queueCreator
	_ [mem.FalseShare - 56]byte

	epoch   atomic.Uint32
	closing atomic.Uint32
	strong  atomic.Uint32
	_       [mem.FalseShare - 12]byte

	items atomic.Uint32
	_     [mem.FalseShare - 4]byte

	space atomic.Uint32
	pool  atomic.Uint32
	drain atomic.Uint32
	idle  atomic.Uint32
	zero  atomic.Uint64
	start atomic.Uint64
	_     [mem.FalseShare - 32]byte

	count queueCounters
	_     [mem.FalseShare - 64]byte

	_ [queueControls - 5*mem.FalseShare]byte
}

type laneWords struct {
	_ structs.HostLayout

	taking  atomic.Uint64
	done    atomic.Uint64
	getting atomic.Uint32
	putting atomic.Uint32
	_       [laneSize - 24]byte
}

type entry struct {
	_ structs.HostLayout

	state atomic.Uint64
	meta  atomic.Uint64
}

// The layout is a file format: these lines stop the build if it drifts.
var (
	_ [52]struct{}   = [unsafe.Offsetof(queueCreator{}.crc)]struct{}{}
	_ [56]struct{}   = [unsafe.Sizeof(queueCreator{})]struct{}{}
	_ [128]struct{}  = [unsafe.Offsetof(queueControl{}.epoch)]struct{}{}
	_ [256]struct{}  = [unsafe.Offsetof(queueControl{}.items)]struct{}{}
	_ [384]struct{}  = [unsafe.Offsetof(queueControl{}.space)]struct{}{}
	_ [388]struct{}  = [unsafe.Offsetof(queueControl{}.pool)]struct{}{}
	_ [392]struct{}  = [unsafe.Offsetof(queueControl{}.drain)]struct{}{}
	_ [396]struct{}  = [unsafe.Offsetof(queueControl{}.idle)]struct{}{}
	_ [400]struct{}  = [unsafe.Offsetof(queueControl{}.zero)]struct{}{}
	_ [512]struct{}  = [unsafe.Offsetof(queueControl{}.count)]struct{}{}
	_ [64]struct{}   = [unsafe.Sizeof(queueCounters{})]struct{}{}
	_ [1024]struct{} = [unsafe.Sizeof(queueControl{})]struct{}{}
	_ [128]struct{}  = [unsafe.Sizeof(laneWords{})]struct{}{}
	_ [16]struct{}   = [unsafe.Sizeof(entry{})]struct{}{}
)

// geometry is where everything lies in a queue.
type geometry struct {
	capacity, chunks, chunkSize, slots, lanes, hold, flags int
}

func alignUp(n, a int) int { return (n + a - 1) &^ (a - 1) }

// stride is the distance between the payloads of two chunks.
func (g *geometry) stride() int { return alignUp(g.chunkSize, chunkAlign) }

func (g *geometry) lanesOff() int { return queueControls }
func (g *geometry) ringOff() int  { return g.lanesOff() + g.slots*g.lanes*laneSize }
func (g *geometry) entriesOff() int {
	return g.ringOff() + alignUp(g.capacity*8, mem.FalseShare)
}
func (g *geometry) stampsOff() int {
	return g.entriesOff() + alignUp(g.chunks*entrySize, mem.FalseShare)
}
func (g *geometry) chunksOff() int {
	if g.flags&flagStamped == 0 {
		return g.stampsOff()
	}
	return g.stampsOff() + alignUp(g.chunks*8, mem.FalseShare)
}
func (g *geometry) size() int { return g.chunksOff() + g.chunks*g.stride() }

// initQueue lays out an empty queue over b, which is zero and large enough. The
// first message gets position start.
func initQueue(b []byte, g *geometry, start uint64) {
	c := mem.At[queueControl](b, 0)
	c.queueCreator = queueCreator{
		magic: queueMagic, version: queueVersion, size: queueControls,
		capacity: uint32(g.capacity), chunks: uint32(g.chunks),
		chunkSize: uint32(g.chunkSize), slots: uint32(g.slots),
		lanes: uint32(g.lanes), hold: uint32(g.hold), flags: uint32(g.flags),
		order: orderMark,
	}
	c.crc = checksum(b[:unsafe.Offsetof(queueCreator{}.crc)])
	n := uint64(g.capacity)
	start %= sizeOfRing(g.capacity).positions()
	c.zero.Store(start)
	c.start.Store(start)
	words := mem.Slice[atomic.Uint64](b, g.ringOff(), g.capacity)
	for i := range words {
		lap := start / n
		if uint64(i) < start%n {
			lap++
		}
		words[i].Store(wordOf(lap%lapsOf(n), wordEmpty, 0))
	}
}

// examineQueue checks the control block of a queue and returns its geometry.
// Everything is read once, since a peer may change it meanwhile.
func examineQueue(name string, b []byte) (*geometry, error) {
	bad := func(field string, got, want uint64) error {
		return &FormatError{name, field, got, want}
	}
	if len(b) < queueControls || !mem.Aligned(b, 8) {
		return nil, bad("size", uint64(len(b)), queueControls)
	}
	var raw [unsafe.Sizeof(queueCreator{})]byte
	copy(raw[:], b)
	u32 := func(off uintptr) uint64 {
		return uint64(binary.NativeEndian.Uint32(raw[off:]))
	}
	crc := unsafe.Offsetof(queueCreator{}.crc)
	magic := binary.NativeEndian.Uint64(raw[:])
	order := u32(unsafe.Offsetof(queueCreator{}.order))
	version := u32(unsafe.Offsetof(queueCreator{}.version))
	switch {
	case magic != queueMagic:
		return nil, bad("magic", magic, queueMagic)
	case order != orderMark:
		return nil, bad("byte order", order, orderMark)
	case u32(crc) != uint64(checksum(raw[:crc])):
		return nil, bad("checksum", u32(crc), uint64(checksum(raw[:crc])))
	case version != queueVersion:
		return nil, bad("layout version", version, queueVersion)
	case u32(12) != queueControls:
		return nil, bad("control size", u32(12), queueControls)
	}
	g := &geometry{
		capacity: int(u32(16)), chunks: int(u32(20)), chunkSize: int(u32(24)),
		slots: int(u32(28)), lanes: int(u32(32)), hold: int(u32(36)), flags: int(u32(40)),
	}
	for _, f := range []struct {
		name     string
		got, max int
	}{
		{"capacity", g.capacity, maxItems}, {"chunks", g.chunks, maxChunks},
		{"chunk size", g.chunkSize, maxChunkSize}, {"slots", g.slots, maxSlots},
		{"lanes", g.lanes, maxLanes}, {"hold", g.hold, maxHold},
	} {
		if f.got < 1 || f.got > f.max {
			return nil, bad(f.name, uint64(f.got), uint64(f.max))
		}
	}
	switch {
	case g.lanes < 2:
		return nil, bad("lanes", uint64(g.lanes), 2)
	case g.spare() >= g.chunks:
		return nil, bad("chunks", uint64(g.chunks), uint64(g.spare()+1))
	case g.flags&^flagsKnown != 0:
		return nil, bad("flags", uint64(g.flags), flagsKnown)
	case g.size() > len(b):
		return nil, bad("size", uint64(len(b)), uint64(g.size()))
	}
	return g, nil
}

// A pool is the memory of the chunks.
type pool struct {
	entries []entry
	base    unsafe.Pointer // of the payloads
	stride  uintptr
	size    int // bytes of payload in a chunk
}

func poolOf(b []byte, g *geometry) pool {
	return pool{
		entries: mem.Slice[entry](b, g.entriesOff(), g.chunks),
		base:    unsafe.Pointer(&b[g.chunksOff()]),
		stride:  uintptr(g.stride()), size: g.chunkSize,
	}
}

// bytes returns the payload memory of chunk c, which exists, n bytes of it at
// most what a chunk has.
func (p *pool) bytes(c uint32, n int) []byte {
	return unsafe.Slice((*byte)(unsafe.Add(p.base, uintptr(c)*p.stride)), p.size)[:n:n]
}

// prefetch asks for the lines of chunk c, to be written soon, if there is one.
func (p *pool) prefetch(c uint32) {
	if int(c) < len(p.entries) {
		payload := unsafe.Add(p.base, uintptr(c)*p.stride)
		cpu.PrefetchW(uintptr(payload), uintptr(unsafe.Pointer(&p.entries[c])))
	}
}

// fetch asks for the lines of chunk c, to be taken at once, if there is one.
func (p *pool) fetch(c uint32) {
	if int(c) < len(p.entries) {
		payload := unsafe.Add(p.base, uintptr(c)*p.stride)
		cpu.Prefetch(uintptr(payload), uintptr(unsafe.Pointer(&p.entries[c])))
	}
}

// demoteMax is how many bytes of a payload are worth it.
const demoteMax = 4096

// demote sends the lines of chunk c, which exists, to where a consumer on another
// CPU will look for them: those of a message of n bytes that begins there.
func (p *pool) demote(c uint32, n int) {
	cpu.Demote(uintptr(unsafe.Pointer(&p.entries[c])), 1)
	cpu.Demote(uintptr(unsafe.Add(p.base, uintptr(c)*p.stride)), uintptr(min(n, p.size, demoteMax)))
}

// prefetchWord asks for the line of the ring's word i, to be written soon, if
// there is one.
func (q *queue) prefetchWord(i uint32) {
	if int(i) < len(q.words) {
		p := uintptr(unsafe.Pointer(&q.words[i]))
		cpu.PrefetchW(p, p)
	}
}
