package value

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/sluice-ipc/sluice/internal/hook"
	"github.com/sluice-ipc/sluice/internal/mem"
	"github.com/sluice-ipc/sluice/internal/place"
	"github.com/sluice-ipc/sluice/internal/race"
	"github.com/sluice-ipc/sluice/internal/sys"
	"github.com/sluice-ipc/sluice/shm"
)

// A record and a blackboard lie as
//
//	offset  size  field
//	     0     8  tag
//	     8     8  fingerprint of the type
//	    16     8  record: which lock it has; blackboard: who is its writer
//	    24     8  seq
//	    32     8  hungry: who asks writers to pause, 0: nobody
//	    40     4  event: where those sleep who wait for another version
//	   128   128  record: its own lock, used or not
//	  then        copies, each at a multiple of 128
//
// seq counts half steps. 2k: copy k mod n holds the value of version k, and n is
// the number of copies. 2k+1: so it does, and copy k+1 mod n is being written. The
// value is therefore whole at any time, whoever dies, and a successor of a dead
// writer finds nothing to repair: it writes the same copy again.
const (
	typeWord   = 8
	writerWord = lockWord
	seqWord    = 24
	hungryWord = 32
	eventWord  = 40
	headSize   = mem.FalseShare

	maxCopies = 4
)

// cells is this process's handle on the copies of a value and their sequence. It
// knows nothing of types.
type cells struct {
	seq    *atomic.Uint64
	hungry *atomic.Uint64
	copies [maxCopies][]atomic.Uint64
	n      uint64 // copies, a power of two
	fair   int    // tries of a reader before it asks writers to pause
	grace  time.Duration
	me     uint64
	key    uint64 // for package race
	watch  watch
}

// nonce makes the requests of this process's readers differ.
var nonce atomic.Uint64

// A shape says where the copies of a value lie, and when a reader loses patience.
type shape struct {
	first int // byte of the object where the copies begin
	n     int // copies, a power of two
	fair  int // tries of a reader before it asks writers to pause
}

// size returns how many bytes an object of that shape takes whose value has size
// bytes.
func (h shape) size(size int) int64 {
	return int64(h.first) + int64(h.n)*place.Round(int64(size))
}

// copy returns the words of the i-th copy.
func (h shape) copy(data []byte, i, size int) []atomic.Uint64 {
	return mem.Shared(data, h.first+i*int(place.Round(int64(size))), size)
}

// newCells returns the cells of the object at p, whose type it claims.
//
// Preconditions: the caller holds a Retain.
func newCells(p *place.Spot, h shape, plain *mem.Plain) (*cells, error) {
	if _, err := p.Claim(typeWord, "type "+plain.Name, plain.Fingerprint); err != nil {
		return nil, err
	}
	c := &cells{
		seq:    mem.Uint64(p.Data, seqWord),
		hungry: mem.Uint64(p.Data, hungryWord),
		n:      uint64(h.n), fair: h.fair, grace: graceFor(plain.Size),
		me:    uint64(p.Seg.ID()),
		key:   p.Key(),
		watch: newWatch(mem.Uint32(p.Data, eventWord), p.Seg),
	}
	for i := range h.n {
		c.copies[i] = h.copy(p.Data, i, plain.Size)
	}
	return c, nil
}

// version returns which version is the latest.
func (c *cells) version() uint64 { return c.seq.Load() >> 1 }

// latest copies the value to dst and returns its version, for who excludes all
// writers.
func (c *cells) latest(dst []byte) uint64 {
	k := c.version()
	mem.LoadWords(dst, c.copies[k&(c.n-1)])
	return k
}

// try copies the latest value to dst and says whether it is whole: it is as long
// as nobody has begun to write over that copy, which is when version k+n-1 is out
// and the mark for k+n has been made.
func (c *cells) try(dst []byte) (version uint64, whole bool) {
	s := c.seq.Load() //sync:cell-seq acquire: the copy of that version
	race.Acquire(c.key)
	k := s >> 1
	hook.At("value.read.copy")
	mem.LoadWords(dst, c.copies[k&(c.n-1)]) //sync:cell-mark acquire: a word of a later version comes with its mark
	hook.At("value.read.again")
	return k, c.seq.Load()-2*k <= 2*c.n-2
}

// read copies the latest value to dst, whole, and returns its version and how many
// tries it took. A writer
// that is dead or stopped does not hold it up. Writers that are faster than it can
// overtake it; each time that happens they have finished something, and after a
// few times they pause for it.
func (c *cells) read(dst []byte) (version uint64, tries int) {
	version, whole := c.try(dst)
	for tries = 1; !whole; tries++ {
		if tries < c.fair {
			version, whole = c.try(dst)
			continue
		}
		version, whole = c.ask(dst)
		whole = whole || tries > c.fair+lastTry
	}
	return version, tries
}

// lastTry is how often a reader asks. Who keeps to the rules grants it one of the
// first few requests, so behind so many there is somebody who writes nonsense into
// the sequence all the time. Such a one can spoil the value anyway, but must not
// be able to keep us here for ever.
const lastTry = 1 << 12

// ask is try after having asked the writers to begin nothing new for a while.
//
// Of those who heed it, at most one is past its look at the word. With that one's
// version out, the copy still stands.
func (c *cells) ask(dst []byte) (version uint64, whole bool) {
	token := nonce.Add(1)<<shortID | c.me
	hook.At("value.read.ask")
	mine := c.hungry.CompareAndSwap(0, token) //sync:cell-hungry release: a reader asks writers to pause
	if !mine {
		sys.Yield() // another reader's request is as good
	}
	version, whole = c.try(dst)
	if mine {
		c.hungry.CompareAndSwap(token, 0)
	}
	return version, whole
}

// shortID is how many bits a shm.ID has.
const shortID = 41

// graceFor is how long a writer pauses for a reader: long enough to copy the value
// many times, or for the reader to get a processor that the writer yields.
func graceFor(size int) time.Duration {
	return time.Millisecond + time.Duration(size)*10*time.Nanosecond
}

// giveWay lets a reader copy the value that the writers have been keeping from it.
// A request is heeded once, by one writer, so that a reader that died or was
// stopped behind it costs no more.
func (c *cells) giveWay() {
	h := c.hungry.Load() //sync:cell-hungry acquire: a reader asks writers to pause
	if h == 0 {
		return
	}
	hook.At("value.write.pause")
	for since := time.Now(); c.hungry.Load() == h && time.Since(since) < c.grace; {
		sys.Yield()
	}
	c.hungry.CompareAndSwap(h, 0)
}

// write makes src the next version. It must be followed by wake.
//
// Preconditions: nobody else writes. One who was to, and died, may have left the
// copy half written.
func (c *cells) write(src []byte) {
	c.giveWay()
	next := c.version() + 1
	hook.At("value.write.mark")
	// The mark must be seen before any word of the copy. It is stored with
	// release ordering, and so is each of those words: on arm64 STLR behind
	// STLR, on amd64 MOV behind MOV, out of line.
	mem.StoreRelease(c.seq, 2*next-1)
	hook.At("value.write.copy")
	mem.StoreWords(c.copies[next&(c.n-1)], src) //sync:cell-mark release: the mark
	hook.At("value.write.publish")
	race.Release(c.key)
	c.seq.Store(2 * next) //sync:cell-seq release: the copy
}

// wake wakes those who wait for another version.
func (c *cells) wake() { c.watch.wake() }

// wait waits until the version is no longer old, and returns what it is then.
func (c *cells) wait(ctx context.Context, old uint64) (uint64, error) {
	if err := c.watch.seg.Retain(); err != nil {
		return c.version(), err
	}
	defer c.watch.seg.Release()
	k, err := c.version(), error(nil)
	if k == old {
		err = c.watch.wait(ctx, &change{c.seq, old, c.watch.seg})
		k = c.version()
	}
	race.Acquire(c.key)
	return k, err
}

// A change is the condition of who waits until the version is another one.
type change struct {
	seq *atomic.Uint64
	old uint64
	seg *shm.Segment
}

// Ready reports whether it is.
func (c *change) Ready() bool { return c.seq.Load()>>1 != c.old || !c.seg.Usable() }
