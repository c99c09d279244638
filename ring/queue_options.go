package ring

import (
	"context"
	"fmt"
	"io/fs"
	"math"

	"github.com/sluice-ipc/sluice/internal/codec"
	"github.com/sluice-ipc/sluice/internal/mem"
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
	// nothing need be dropped. What was put back, or left by the dead, does
	// not count towards Capacity and stays, but goes first where it is memory
	// that is missing. A message of many chunks may need several to go, and
	// when others hold so much that it still does not fit, or the context is
	// done before it does, they are gone in vain. A call that does not wait
	// drops some 64 more than Capacity at most.
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

	// Bytes is how many bytes of messages fit into the queue at least,
	// counted in whole chunks, when nobody holds any; no message may be
	// longer, see MaxMessage. It is never less than Capacity chunks, which is
	// the default, and 4 MiB at least if T is not plain.
	Bytes int

	// Hold is how many loans and taken messages a participant may have at a
	// time, 16 if 0, at most 1024. For each of them the queue has a chunk
	// more than Bytes says, so that those that others hold, if of one chunk
	// each, never keep anybody from putting a message of one chunk. Messages
	// that were put back while the queue was full make use of them too.
	Hold int

	// Lanes is how many goroutines of a participant can be in the middle of
	// an operation at a time, 4 if 0, at most 15. More of them take turns.
	Lanes int

	// WhenDied says what becomes of a message whose holder died. Redeliver is
	// the default. What is put back with Requeue is always redelivered.
	WhenDied WhenDied

	// Stamp makes each Put note the time, which costs it some 30 ns, so that
	// Stats can tell the age of the oldest message.
	//
	// This field and those above it are the creator's. What others say there
	// must make sense, and is ignored.
	Stamp bool

	// WhenFull is for what is put through this handle.
	WhenFull WhenFull

	// MaxDeliveries is how often a message may be delivered to consumers
	// that die of it, or put it back with Requeue; 0 is without limit, and
	// more than 1023 cannot be counted. What has been delivered so often goes
	// to DeadLetter when a consumer of this handle comes by it, or is dropped
	// and counted if there is none.
	MaxDeliveries int

	// DeadLetter is called, by the goroutine that gets messages, with each
	// message that has been delivered MaxDeliveries times. b is a copy of
	// the message, and the handler's to keep; ctx is that of the Get, and
	// done if that was a TryGet. An error puts the message back, and Get
	// returns it: as the oldest it comes first again, so a handler that can
	// never succeed keeps its consumers from all other messages. It counts as
	// held while the handler runs. When the process dies in the middle of the call, the
	// message is another's dead letter. The method Bury of another queue is
	// such a handler.
	DeadLetter func(ctx context.Context, b []byte, deliveries int) error

	// Spin is how calls on this handle wait. The default is SpinAdaptive.
	Spin Spin

	// EndAlone makes Get return io.EOF, without CloseSend, when the queue is
	// empty and this handle is its only participant. A Get that waits learns
	// that the last of the others has left within some 50 ms.
	EndAlone bool

	// Guard turns a fault on the queue's memory (somebody has truncated the
	// file under us) into a *shm.FaultError, after which all that can be done
	// with the handle is to close it. Without it the process dies of SIGBUS.
	// Memory on loan or of a Message is touched by the caller and not
	// covered. Anonymous queues cannot be truncated and need no guard. It
	// costs some ten nanoseconds a call.
	Guard bool

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

	maxBytes = min(1<<40, math.MaxInt) // of all chunks
)

// withDefaults fills in the defaults for messages of a type that is plain or, if
// plain is nil, not.
func (o *QueueOptions) withDefaults(plain *mem.Plain) QueueOptions {
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
	size, bytes := defChunkSize, defBytes
	if plain != nil {
		size, bytes = max(plain.Size, 1), 1
	}
	def(&v.ChunkSize, size)
	def(&v.Bytes, bytes) // what this is short of Capacity chunks is added
	if v.Codec == nil {
		v.Codec = codec.CBOR
	}
	return v
}

// check returns an error that names the field which makes no sense.
func (o *QueueOptions) check() error {
	for _, f := range []struct {
		name         string
		n, min, most int
	}{
		{"Capacity", o.Capacity, 1, maxItems}, {"ChunkSize", o.ChunkSize, 1, maxChunkSize},
		{"Bytes", o.Bytes, 1, maxBytes}, {"Hold", o.Hold, 1, maxHold},
		{"Lanes", o.Lanes, 1, maxLanes - 1},
		{"Segment.MaxParticipants", o.Segment.MaxParticipants, 1, maxSlots},
		{"WhenDied", int(o.WhenDied), 0, int(Discard)},
		{"WhenFull", int(o.WhenFull), 0, int(DropOldest)},
		{"MaxDeliveries", o.MaxDeliveries, 0, maxTries},
		{"Spin", int(o.Spin), 0, int(SpinNever)},
	} {
		if f.n < f.min || f.n > f.most {
			return fmt.Errorf("ring: QueueOptions.%s is %d, not from %d to %d: %w", f.name, f.n, f.min, f.most, fs.ErrInvalid)
		}
	}
	return nil
}

// geometry returns what a new queue with these options looks like.
func (o *QueueOptions) geometry() (*geometry, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	g := &geometry{
		capacity: o.Capacity, chunkSize: o.ChunkSize, lanes: o.Lanes + 1, // and the desk
		hold: o.Hold, slots: o.Segment.MaxParticipants,
	}
	body := int64(max(g.capacity, (o.Bytes-1)/g.chunkSize+1))
	if n := body + int64(g.spare()); n > maxChunks || n*int64(alignUp(g.chunkSize, chunkAlign)) > maxBytes {
		return nil, fmt.Errorf("ring: QueueOptions: %d chunks of %d bytes are too many, with Bytes %d, Capacity %d and Hold %d for each of %d participants: %w",
			n, g.chunkSize, o.Bytes, g.capacity, g.hold, g.slots, fs.ErrInvalid)
	}
	g.chunks = int(body) + g.spare()
	if o.joinable {
		g.flags |= flagJoinable
	}
	if o.WhenDied == Discard {
		g.flags |= flagDiscard
	}
	if o.Stamp {
		g.flags |= flagStamped
	}
	return g, nil
}

// spare is how many chunks there are beside those for messages in the queue:
// what each participant may hold, and what its lanes are working on, one of them a
// batch.
func (g *geometry) spare() int { return g.slots * (g.hold + g.lanes + g.batch()) }

// body is how many chunks there are for messages in the queue. They come first.
func (g *geometry) body() int { return g.chunks - g.spare() }

// maxMessage is the longest message in bytes, of which the meta word of a chunk
// has 32 bits.
func (g *geometry) maxMessage() int {
	return int(min(int64(g.body())*int64(g.chunkSize), math.MaxUint32, math.MaxInt))
}
