package ring

import (
	"encoding/binary"

	"github.com/sluice-ipc/sluice/shm"
)

// QueuePositions is how many positions a queue has before they come again.
func QueuePositions(capacity int) uint64 { return sizeOfRing(capacity).positions() }

// QueueMaxMessage is the longest message of a queue of bytes with such options.
func QueueMaxMessage(o *QueueOptions) int {
	v := o.withDefaults(nil)
	g, err := v.geometry()
	if err != nil {
		panic(err)
	}
	return g.maxMessage()
}

// A QueueLayout says where the parts of a queue lie in its memory.
type QueueLayout struct {
	Lanes, Ring, Entries, Payload, Chunks, Capacity int
}

// LayoutOf returns the layout of a queue.
func LayoutOf[T any](q *Queue[T]) QueueLayout {
	g := &q.q.geo
	return QueueLayout{g.lanesOff(), g.ringOff(), g.entriesOff(), g.chunksOff(), g.chunks, g.capacity}
}

// Words of a queue, as a hostile peer would write them.
func QueueWord(lap, state uint64, chunk uint32) uint64 { return wordOf(lap, state, chunk) }
func QueueState(kind, pos uint64) uint64               { return stateOf(kind, 0, pos) }
func QueuePart(head uint32) uint64                     { return partOf(0, head, 1) }
func QueueMeta(length, tries int, next uint32) uint64  { return metaOf(length, tries, next) }
func QueueTaking(pos uint64, chunk uint32) uint64      { return announce(pos, chunk) }

// SealQueue makes the checksum of a queue's control block right.
func SealQueue(b []byte) {
	const at = 52
	binary.NativeEndian.PutUint32(b[at:], checksum(b[:at]))
}

// OwnQueueStates makes us the owner of every chunk that has one.
func OwnQueueStates[T any](q *Queue[T]) {
	for c := range q.q.geo.chunks {
		if s := q.q.state(uint32(c)).Load(); s != 0 {
			q.q.state(uint32(c)).Store(s&^ownerMask | q.q.me)
		}
	}
}

// RepairQueue repairs what a participant left, dead or not.
func RepairQueue[T any](q *Queue[T], id shm.ID) bool { return q.q.Repair(id) }

// OrphanQueue makes all free chunks orphans, as a hostile peer would: those that
// a long message can have are the last to be adopted.
func OrphanQueue[T any](q *Queue[T]) {
	for c := range q.q.geo.chunks {
		pos := uint64(q.q.geo.chunks - c)
		q.q.state(uint32(c)).CompareAndSwap(0, stateOf(kindOrphan, 0, pos))
	}
	q.q.ctl.epoch.Add(1)
}

// ForgeSlots lays a queue out anew as one for so many slots, in the memory that
// it has. Its participant was putting a message when the last of the slots announced
// that: so who repairs looks there.
func ForgeSlots[T any](q *Queue[T], slots int) {
	b, g := q.q.seg.Data(), q.q.geo
	g.lanes, g.hold, g.slots, g.chunks = 2, 1, slots, 2
	g.chunks += g.spare()
	clear(b)
	initQueue(b, &g, 0)
	forged, err := attachQueue(q.q.name, b, &q.q.opts)
	if err != nil {
		panic(err)
	}
	forged.state(0).Store(stateOf(kindQueued, q.q.me, 0))
	forged.laneOf(slots-1, 0).taking.Store(announce(0, 0))
}
