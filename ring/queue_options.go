package ring

import (
	"fmt"
	"io/fs"

	"github.com/sluice-ipc/sluice/internal/codec"
	"github.com/sluice-ipc/sluice/shm"
)

// WhenFull says what Put does with a message for which there is no room.
type WhenFull uint8

const (
	// Block waits for room.
	Block WhenFull = iota

	// Fail returns ErrFull.
	Fail

	// DropNewest drops the message and returns nil. Stats counts it.
	DropNewest

	// DropOldest drops the oldest message of the queue instead, whoever put
	// it, and Stats counts that one. When it is being taken just then,
	// nothing need be dropped.
	DropOldest
)

// WhenDied says what becomes of a message whose holder died.
type WhenDied uint8

const (
	// Redeliver gives it to another consumer, before the messages that are
	// in the queue, and says how often it has been delivered before.
	Redeliver WhenDied = iota

	// Discard drops it. Stats counts it.
	Discard
)

// QueueOptions tunes a queue. The zero value is ready to use, and so is nil.
type QueueOptions struct {
	// Capacity is the most messages that are in the queue at a time, 1024
	// if 0, at most 1048576. Messages that somebody holds are not in the
	// queue.
	Capacity int

	// ChunkSize is how many bytes of a message lie together; longer ones
	// are spread over several chunks. The default is the size of T if it is
	// plain, and 1024 bytes otherwise. Each chunk takes a multiple of 64
	// bytes, and 16 more.
	ChunkSize int

	// Bytes is how many bytes of messages fit into the queue, counted in
	// whole chunks, when nobody holds any; no message may be longer. The
	// default is Capacity chunks, and 4 MiB at least if T is not plain.
	Bytes int

	// Hold is how many loans and taken messages a participant may have at a
	// time, 16 if 0, at most 1024. For each of them the queue has a chunk
	// more than Bytes says, so that what others hold never keeps anybody
	// from putting a message of one chunk.
	Hold int

	// Lanes is how many goroutines of a participant can be in the middle of
	// an operation at a time, 4 if 0, at most 15. More of them take turns.
	Lanes int

	// WhenDied is for all participants, as the creator says. The fields
	// above too are the creator's; what others say is ignored.
	WhenDied WhenDied

	// WhenFull is for what is put through this handle.
	WhenFull WhenFull

	// MaxDeliveries is how often a message may be delivered to consumers
	// that die of it, or put it back with Requeue; 0 is without limit. What
	// has been delivered so often goes to DeadLetter when a consumer of this
	// handle comes by it, or is dropped and counted if there is none.
	MaxDeliveries int

	// DeadLetter is called, by the goroutine that gets messages, with each
	// message that has been delivered MaxDeliveries times. The bytes are
	// those of the message, for the length of the call. When the process dies
	// in the middle of it, the message is another's dead letter.
	DeadLetter func(b []byte, deliveries int)

	// Spin is how calls on this handle wait. The default is SpinAdaptive.
	Spin Spin

	// EndAlone makes Get return io.EOF, without CloseSend, when the queue is
	// empty and this handle is its only participant.
	EndAlone bool

	// Codec encodes and decodes messages that are neither plain nor []byte
	// nor string. The default is CBOR. All participants need the same.
	Codec codec.Codec

	// Segment says how the segment is made. Size, Kind, Version, Fingerprint,
	// ElemType, Init and Attach are set by this package.
	Segment shm.Options

	joinable bool
	start    uint64 // first position; tests begin near the wrap
}

const (
	defCapacity  = 1024
	defChunkSize = 1024
	defBytes     = 4 << 20
	defHold      = 16
	defLanes     = 4
	defSlots     = 64
)

// withDefaults fills in the defaults for messages of size bytes, 0 if that
// differs.
func (o *QueueOptions) withDefaults(size int) QueueOptions {
	var v QueueOptions
	if o != nil {
		v = *o
	}
	def := func(p *int, d int) {
		if *p == 0 {
			*p = d
		}
	}
	def(&v.Capacity, defCapacity)
	def(&v.Hold, defHold)
	def(&v.Lanes, defLanes)
	def(&v.Segment.MaxParticipants, defSlots)
	bytes := 0
	if size == 0 {
		size, bytes = defChunkSize, defBytes
	}
	def(&v.ChunkSize, max(size, 1))
	if v.ChunkSize > 0 && v.Capacity > 0 && v.Capacity <= maxItems && v.ChunkSize <= maxChunkSize {
		def(&v.Bytes, max(bytes, v.Capacity*v.ChunkSize))
	}
	if v.Codec == nil {
		v.Codec = codec.CBOR
	}
	return v
}

// geometry returns what a new queue with these options looks like.
func (o *QueueOptions) geometry() (*geometry, error) {
	g := &geometry{
		capacity: o.Capacity, chunkSize: o.ChunkSize, lanes: o.Lanes + 1, // and the desk
		hold: o.Hold, slots: o.Segment.MaxParticipants,
	}
	for _, f := range []struct {
		name   string
		n, max int
	}{
		{"capacity", g.capacity, maxItems}, {"chunk size", g.chunkSize, maxChunkSize},
		{"bytes", o.Bytes, 1 << 40}, {"hold", g.hold, maxHold},
		{"lanes", g.lanes, maxLanes}, {"max participants", g.slots, maxSlots},
	} {
		if f.n < 1 || f.n > f.max {
			return nil, fmt.Errorf("ring: queue's %s %d is not between 1 and %d: %w", f.name, f.n, f.max, fs.ErrInvalid)
		}
	}
	body := max(g.capacity, (o.Bytes+g.chunkSize-1)/g.chunkSize)
	g.chunks = body + g.spare()
	if g.chunks > maxChunks {
		return nil, fmt.Errorf("ring: queue needs %d chunks of %d bytes, more than %d: %w", g.chunks, g.chunkSize, maxChunks, fs.ErrInvalid)
	}
	if o.joinable {
		g.flags |= flagJoinable
	}
	if o.WhenDied == Discard {
		g.flags |= flagDiscard
	}
	return g, nil
}

// spare is how many chunks there are beside those for messages in the queue:
// what each participant may hold, and what its lanes are working on: each may
// have one in hand and one aside, and one of them a batch.
func (g *geometry) spare() int { return g.slots * (g.hold + 2*g.lanes + g.batch()) }

// maxMessage is the longest message in bytes.
func (g *geometry) maxMessage() int { return (g.chunks - g.spare()) * g.chunkSize }
