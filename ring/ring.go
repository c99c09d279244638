package ring

import (
	"errors"
	"hash/maphash"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/sluice-ipc/sluice/internal/mem"
	"github.com/sluice-ipc/sluice/internal/wait"
	"github.com/sluice-ipc/sluice/shm"
)

// Spin says how an end passes the time before it sleeps.
type Spin = wait.Mode

// The ways to wait.
const (
	// SpinAdaptive spins for as long as it has been paying lately, up to
	// 50 µs, and not at all while the machine is oversubscribed.
	SpinAdaptive Spin = wait.Adaptive

	// SpinAlways never sleeps: the lowest latency, for a whole CPU.
	SpinAlways Spin = wait.Always

	// SpinNever sleeps at once.
	SpinNever Spin = wait.Never
)

// DefaultMaxMessage is the largest message unless Options say otherwise.
const DefaultMaxMessage = 1 << 30

// Options tunes a ring. The zero value is ready to use, and so is nil.
type Options struct {
	// Size is the number of bytes that the ring holds, headers included,
	// rounded up to a power of two between 4 KiB and 1 GiB. The default is
	// 1 MiB. An existing ring keeps the size it was made with.
	Size int

	// MaxMessage is the largest message in bytes. Messages above MaxFrame
	// travel in pieces. The default is DefaultMaxMessage.
	MaxMessage int

	// Spin is how this process's ends wait. The default is SpinAdaptive.
	Spin Spin

	// KeepOpen says that a peer which has closed or died will be replaced:
	// a reader then waits instead of returning io.EOF, and a writer fills
	// the ring and waits instead of returning ErrBrokenPipe.
	KeepOpen bool

	// Guard turns a fault on the memory (somebody has truncated the file
	// under us) into a *shm.FaultError, after which the end is unusable.
	// Without it the process dies of SIGBUS. Memory on loan, from Reserve or
	// Peek, is touched by the caller and not covered. A goroutine that is
	// asleep when the page it sleeps on goes finds out within a second or two.
	// Anonymous rings cannot be truncated and need no guard. It costs some ten
	// nanoseconds a call.
	Guard bool

	// Host tells who this participant is and who is gone, for a ring in
	// memory of the caller's own. Nil means that nobody ever dies: an end
	// that a dead process held stays busy. Ignored for segments.
	Host Host

	// Segment says how the segment is made. Size, Kind, Version, Init and
	// Attach are set by this package.
	Segment shm.Options

	start uint64 // first position; tests begin near the wrap
}

// A Host is what a ring needs to know about the processes that share its
// memory. *shm.Segment is one.
type Host interface {
	wait.Host
	ID() shm.ID          // this participant
	Gone(id shm.ID) bool // true only when that participant is over for good
}

func (o *Options) withDefaults() Options {
	var v Options
	if o != nil {
		v = *o
	}
	if v.MaxMessage <= 0 {
		v.MaxMessage = DefaultMaxMessage
	}
	return v
}

// Ring is this process's attachment to a ring. It is safe for use by many
// goroutines. Writer and Reader give its two ends.
type Ring struct {
	name  string
	opts  Options
	host  Host   // nil: nobody dies
	key   uint64 // for the race detector
	seg   *shm.Segment
	owned bool // Close closes seg

	ctl   *control
	light bool   // we may publish without a fence, unless ctl.strong
	limit int    // largest payload of a frame
	bytes []byte // the data
	words mem.Words
	data  *wait.Event // the reader sleeps here
	space *wait.Event // the writer sleeps here

	mu     sync.Mutex // guards what follows
	writer *Writer
	reader *Reader
	closed bool
}

// RegionSize returns the bytes of memory that a ring of the given size needs,
// or an error for a size that no ring can have.
func RegionSize(size int) (int, error) {
	n, err := capacityFor(size)
	return controlSize + n, err
}

// Init lays out an empty ring over b, which nobody may be using. The ring is as
// large as b allows, and no larger than o.Size when that is set. Memory that
// processes share must be aligned to 8 bytes, and should be to 128.
func Init(b []byte, o *Options) error {
	v := o.withDefaults()
	n := len(b) - controlSize
	if n < minCapacity || !mem.Aligned(b, 8) {
		return &FormatError{"memory", "size", uint64(len(b)), controlSize + minCapacity}
	}
	fit := minCapacity
	for fit*2 <= n && fit*2 <= maxCapacity {
		fit *= 2
	}
	if v.Size != 0 {
		want, err := capacityFor(v.Size)
		if err != nil {
			return err
		}
		if want > fit {
			return &FormatError{"memory", "size", uint64(len(b)), uint64(controlSize + want)}
		}
		fit = want
	}
	initialise(b, fit, v.start)
	return nil
}

// Attach uses the ring that Init has laid out over b. It checks the layout and
// returns a *FormatError for anything else. b must stay valid until both ends
// are closed and nothing is on loan.
func Attach(b []byte, o *Options) (*Ring, error) {
	return attach("memory", b, o)
}

func attach(name string, b []byte, o *Options) (*Ring, error) {
	capacity, err := examine(name, b)
	if err != nil {
		return nil, err
	}
	r := &Ring{name: name, opts: o.withDefaults()}
	r.ctl = mem.At[control](b, 0)
	r.bytes = b[controlSize : controlSize+capacity : controlSize+capacity]
	r.words = mem.WordsOf(r.bytes)
	r.limit = maxFrame(capacity)
	r.bind(r.opts.Host)
	if r.light = wait.Light(); !r.light && mem.PlainRelease {
		// We cannot pass fences for the others before we sleep. A peer
		// that has looked already is long past its store by then.
		r.ctl.strong.Store(1)
	}
	return r, nil
}

// bind makes h the ring's host. Nobody uses the ring yet.
func (r *Ring) bind(h Host) {
	r.host = h
	var wh wait.Host
	if h != nil {
		wh = h
	}
	r.data = wait.NewSoleEvent(&r.ctl.data, wh)
	r.space = wait.NewSoleEvent(&r.ctl.space, wh)
	r.key = maphash.Comparable(raceSeed, &r.bytes[0])
}

var raceSeed = maphash.MakeSeed()

// Cap returns the ring's capacity in bytes, frame headers included.
func (r *Ring) Cap() int { return len(r.bytes) }

// MaxFrame returns the largest message in bytes that travels as one frame: half the
// capacity less a header. No more can be reserved, nor more than MaxMessage.
func (r *Ring) MaxFrame() int { return r.limit }

// Name returns the name of the ring's segment, as errors show it.
func (r *Ring) Name() string { return r.name }

// Segment returns the segment that holds the ring, nil over caller's memory.
func (r *Ring) Segment() *shm.Segment { return r.seg }

// Writer takes the writing end. It fails with ErrBusy while this or another
// live process holds it. After the death of the last writer the new one goes on
// behind the last message that was committed.
func (r *Ring) Writer() (*Writer, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.usable(r.writer != nil && !r.writer.gate.Over()); err != nil {
		return nil, r.wrap("open writer of", err)
	}
	w, err := newWriter(r)
	if err != nil {
		return nil, r.wrap("open writer of", err)
	}
	r.writer = w
	return w, nil
}

// Reader takes the reading end. It fails with ErrBusy while this or another
// live process holds it. After the death of the last reader the new one begins
// with the first message that was not released.
func (r *Ring) Reader() (*Reader, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.usable(r.reader != nil && !r.reader.gate.Over()); err != nil {
		return nil, r.wrap("open reader of", err)
	}
	rd, err := newReader(r)
	if err != nil {
		return nil, r.wrap("open reader of", err)
	}
	r.reader = rd
	return rd, nil
}

func (r *Ring) usable(taken bool) error {
	switch {
	case r.closed:
		return ErrClosed
	case taken:
		return ErrBusy
	}
	return nil
}

// publish stores v for the peer to see, before a look at whether it sleeps.
func (r *Ring) publish(p *atomic.Uint64, v uint64) {
	if r.light && r.ctl.strong.Load() == 0 {
		mem.StoreRelease(p, v) // the sleeper passes a fence for us
		return
	}
	p.Store(v)
}

// retain keeps the memory in place for one end.
func (r *Ring) retain() error {
	if r.seg == nil {
		return nil
	}
	return r.seg.Retain()
}

// poisoned returns why the segment must not be used any more, if so.
func (r *Ring) poisoned() error {
	if r.seg == nil {
		return nil
	}
	return r.seg.Err()
}

func (r *Ring) release() {
	if r.seg != nil {
		r.seg.Release()
	}
}

// Close closes both ends, wakes the goroutines that are blocked on them, and
// detaches. The memory stays mapped until the last loan has been given back.
// Close may be called twice.
func (r *Ring) Close() error {
	r.mu.Lock()
	w, rd, first := r.writer, r.reader, !r.closed
	r.closed = true
	r.mu.Unlock()
	if w != nil {
		w.Close()
	}
	if rd != nil {
		rd.Close()
	}
	if first && r.owned {
		return r.seg.Close()
	}
	return nil
}

// Detach ends this process's use of the ring without giving up the roles it
// holds, so that the participant can be handed to another process. It fails
// with ErrBusy while a call is under way, memory is on loan, or part of a
// message in pieces has been taken out of the ring: it would be lost.
func (r *Ring) Detach() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return r.wrap("detach from", ErrClosed)
	}
	gates, ok := r.enterAll()
	if ok && r.reader != nil && (r.reader.parts.active || r.reader.parts.ready) {
		ok = false
	}
	if ok {
		roles.Delete(&r.ctl.writer)
		roles.Delete(&r.ctl.reader)
	}
	for _, g := range gates {
		if ok {
			g.Close(func() {}, r.release) // in effect when we leave
		}
		g.Leave()
	}
	if !ok {
		return r.wrap("detach from", ErrBusy)
	}
	r.closed = true
	// Somebody may have come in to see that it is closed, and then it is he
	// who gives the memory up when he leaves. It is not ours to hand over before.
	for _, g := range gates {
		for !g.Over() {
			runtime.Gosched()
		}
	}
	return nil
}

// enterAll enters the gates of the ends that are open, and reports whether it
// could. One that is closed with memory on loan counts as in use.
func (r *Ring) enterAll() (gates []*wait.Gate, ok bool) {
	for _, g := range r.gates() {
		if g.TryEnter() != nil {
			return gates, false
		}
		gates = append(gates, g)
	}
	return gates, true
}

// gates returns the gates of the ends that have not been given up.
func (r *Ring) gates() (gates []*wait.Gate) {
	if r.writer != nil && !r.writer.gate.Over() {
		gates = append(gates, &r.writer.gate)
	}
	if r.reader != nil && !r.reader.gate.Over() {
		gates = append(gates, &r.reader.gate)
	}
	return gates
}

// gateError translates the errors of a gate.
func gateError(err error) error {
	switch {
	case errors.Is(err, wait.ErrGateClosed):
		return ErrClosed
	case errors.Is(err, wait.ErrGateHeld):
		return ErrBusy
	}
	return err
}
