package ring

import (
	"hash/maphash"
	"sync"
	"sync/atomic"

	"github.com/sluice-ipc/sluice/internal/hook"
	"github.com/sluice-ipc/sluice/internal/mem"
	"github.com/sluice-ipc/sluice/internal/race"
	"github.com/sluice-ipc/sluice/internal/wait"
	"github.com/sluice-ipc/sluice/shm"
)

// queue is one participant's attachment to a queue: everything about it that
// does not depend on the type of the messages.
//
// Messages lie in chunks, and the ring holds the numbers of chunks. A message is
// complete before its chunk's number is put into the ring with one
// compare-and-swap, and taken out of it with another; there is no head and no
// tail that would be shared. Nobody waits for anybody in between, so that who is
// stopped or killed holds up no other. The protocol is that of docs/queue.md,
// and package internal/model checks it.
type queue struct {
	name string
	opts QueueOptions
	peer peers
	key  uint64 // for the race detector
	seg  *shm.Segment
	geo  geometry

	ctl    *queueControl
	light  bool // we may publish without a fence, unless ctl.strong
	size   ringSize
	words  []atomic.Uint64
	table  []laneWords     // of all slots
	stamps []atomic.Uint64 // see QueueOptions.Stamp
	chunks pool

	chunkSize  int
	maxMessage int
	me         uint64 // our bits as an owner
	lanes      []lane
	spinner    wait.Spinner // what those that wait begin with
	held       holdings
	tag        atomic.Uint64 // of the last chain

	// The desk is a lane for what is given back outside of any call: held
	// messages and tasks. It serves one at a time.
	deskMu sync.Mutex
	desk   lane

	items *wait.Event // consumers sleep here
	space *wait.Event // producers sleep here
	pool  *wait.Event // producers that need many chunks sleep here
	drain *wait.Event // Flush sleeps here
	idle  *wait.Event // Join sleeps here

	closed   atomic.Bool  // this handle
	refs     atomic.Int64 // lanes and holdings that still need the memory
	closeMu  sync.Mutex
	closeErr error
}

// peers is what a queue needs to know about those who share its memory.
type peers interface {
	wait.Host
	ID() shm.ID
	Slot(i int) (shm.State, shm.ID)
	AnyDead() bool
	CheckPeers()
	Heed()
}

// attachQueue uses the queue that lies in b. bind must follow.
func attachQueue(name string, b []byte, o *QueueOptions) (*queue, error) {
	g, err := examineQueue(name, b)
	if err != nil {
		return nil, err
	}
	q := &queue{name: name, opts: *o, geo: *g, size: sizeOfRing(g.capacity), chunkSize: g.chunkSize, maxMessage: g.maxMessage()}
	q.ctl = mem.At[queueControl](b, 0)
	q.words = mem.Slice[atomic.Uint64](b, g.ringOff(), g.capacity)
	q.table = mem.Slice[laneWords](b, g.lanesOff(), g.slots*g.lanes)
	q.chunks = poolOf(b, g)
	if g.flags&flagStamped != 0 {
		q.stamps = mem.Slice[atomic.Uint64](b, g.stampsOff(), g.chunks)
	}
	q.key = maphash.Comparable(raceSeed, &b[0])
	if q.light = wait.Light(); !q.light && mem.PlainRelease {
		q.ctl.strong.Store(1) // as for a ring: see attach
	}
	return q, nil
}

// bind makes h the queue's oracle. Wake-ups work from here on.
func (q *queue) bind(h peers) {
	q.peer = h
	q.items = wait.NewEvent(&q.ctl.items, h)
	q.space = wait.NewEvent(&q.ctl.space, h)
	q.pool = wait.NewEvent(&q.ctl.pool, h)
	q.drain = wait.NewEvent(&q.ctl.drain, h)
	q.idle = wait.NewEvent(&q.ctl.idle, h)
}

// enter begins the use of the queue as the participant that bind's oracle names.
func (q *queue) enter() {
	id := q.peer.ID()
	q.me = ownerOf(id)
	q.held.init(q.geo.hold)
	q.spinner = *wait.NewSpinner(q.opts.Spin)
	q.lanes = make([]lane, q.geo.lanes-1)
	q.refs.Store(int64(len(q.lanes)))
	for i := range q.lanes {
		q.lanes[i].init(q, id.Slot(), i)
	}
	q.desk.init(q, id.Slot(), len(q.lanes))
}

// Join implements shm.Joiner: who joins in a slot finds its lanes announcing
// nothing. Nobody else may clear an announcement: a repairer that slept could
// wipe the same one of the slot's next owner.
func (q *queue) Join(slot int) {
	if slot < q.geo.slots {
		for i := range q.geo.lanes {
			q.laneOf(slot, i).taking.Store(0)
		}
		waits := q.waitsOf(slot)
		waits.getting.Store(0)
		waits.putting.Store(0)
	}
}

func (q *queue) laneOf(slot, lane int) *laneWords { return &q.table[slot*q.geo.lanes+lane] }

// waitsOf returns where a slot says how many of its calls wait.
func (q *queue) waitsOf(slot int) *laneWords { return q.laneOf(slot, q.geo.lanes-1) }

// store publishes v, before a look at whether somebody sleeps who waits for it.
func (q *queue) store(p *atomic.Uint64, v uint64) {
	if q.light && q.ctl.strong.Load() == 0 {
		mem.StoreRelease(p, v) // the sleeper passes a fence for us
		return
	}
	p.Store(v)
}

// bump tells consumers that a chunk has become an orphan, and everybody who
// sleeps that something has changed.
func (q *queue) bump() {
	hook.At("queue.epoch")
	q.ctl.epoch.Add(1) //sync:queue-epoch release: a chunk's state says ORPHAN
	q.wakeAll()
}

func (q *queue) wakeAll() {
	q.items.WakeAll()
	q.space.WakeAll()
	q.pool.WakeAll()
	q.drain.WakeAll()
	q.idle.WakeAll()
}

func (q *queue) word(i uint32) *atomic.Uint64 { return &q.words[i] }

func (q *queue) state(c uint32) *atomic.Uint64 { return &q.chunks.entries[c].state }
func (q *queue) meta(c uint32) *atomic.Uint64  { return &q.chunks.entries[c].meta }

// bytesOf returns n bytes of chunk c's memory.
func (q *queue) bytesOf(c uint32, n int) []byte { return q.chunks.bytes(c, n) }

func (q *queue) published() { race.Release(q.key) }
func (q *queue) taken()     { race.Acquire(q.key) }

func (q *queue) joinable() bool { return q.geo.flags&flagJoinable != 0 }
