//go:build linux

package soak_test

import (
	"fmt"
	"os"
	"sync/atomic"
	"syscall"

	"github.com/sluice-ipc/sluice/internal/mem"
)

// A ledger is the memory that survives the processes: what each producer did,
// and what each consumer got. Producers and consumers are counted here by slot
// and goroutine; who replaces a dead process goes on with its slot's accounts.
type ledger struct {
	file *os.File
	data []byte
}

const (
	crew   = 4 // processes of each kind
	crowd  = 3 // most goroutines of each
	hands  = crew * crowd
	ours   = hands   // the account of the test itself, which gets what is left
	puts   = 1 << 19 // most messages of a producer in an epoch
	gots   = 1 << 22 // most deliveries of a consumer in an epoch
	header = 4096    // an account's counters
	putLen = header + puts*8
	gotLen = header + gots*16
	total  = hands*putLen + (hands+1)*gotLen
)

// newLedger makes an empty ledger that has no name. Pages that nobody touches
// cost nothing.
func newLedger() (*ledger, error) {
	f, err := os.CreateTemp("/dev/shm", "soak-ledger-")
	if err != nil {
		return nil, err
	}
	os.Remove(f.Name())
	if err := f.Truncate(total); err != nil {
		return nil, err
	}
	return openLedger(f)
}

func openLedger(f *os.File) (*ledger, error) {
	b, err := syscall.Mmap(int(f.Fd()), 0, total, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map the ledger: %w", err)
	}
	return &ledger{f, b}, nil
}

func (l *ledger) close() {
	syscall.Munmap(l.data)
	l.file.Close()
}

// A tally is the head of an account. Its owner writes it.
type tally struct {
	count atomic.Uint64 // entries; the last may not be counted yet
	doing atomic.Uint64 // a verb
	hand  atomic.Uint64 // messages that a Get may have let go of
}

// end is not 0 when a consumer has been told that the queue has ended.
func (l *ledger) end() *atomic.Uint64 { return &l.inbox(ours).doing }

// What a process is doing.
const (
	starting = iota
	idle
	putting
	lending
	committing
	aborting
	taking
	reading
	getting
	releasing
	requeuing
	leaving
)

var verbs = [...]string{"starting", "idle", "putting", "lending", "committing",
	"aborting", "taking", "reading", "getting", "releasing", "requeuing", "leaving"}

// An outbox is the account of a producer. Entry n is about its message n.
type outbox struct {
	*tally
	entry []atomic.Uint64
}

// An entry of an outbox says what became of the message, and its size.
const (
	begun  = 1 << 32
	sent   = 2 << 32
	failed = 3 << 32 // it was not put, and must never arrive
	sizeOf = 1<<32 - 1
)

func (l *ledger) outbox(i int) outbox {
	off := i * putLen
	return outbox{mem.At[tally](l.data, off), mem.Slice[atomic.Uint64](l.data, off+header, puts)}
}

// next returns the number of the next message, after a predecessor too.
func (o outbox) next() int {
	n := int(o.count.Load())
	for n < puts && o.entry[n].Load() != 0 {
		n++
	}
	return n
}

func (o outbox) begin(n, size int) {
	o.entry[n].Store(begun | uint64(size))
	o.count.Store(uint64(n + 1))
}

func (o outbox) end(n int, how uint64) { o.entry[n].Store(how | o.entry[n].Load()&sizeOf) }

// An inbox is the account of a consumer: its deliveries, in order.
type inbox struct {
	*tally
	entry []delivery
}

// A delivery is one message that a consumer got: what it was, and then what
// became of it.
type delivery struct {
	message atomic.Uint64 // 0 in an entry that is not complete
	fate    atomic.Uint64
}

// What became of a delivery.
const (
	had      = 1 // it was delivered
	putBack  = 2 // Requeue was called
	ending   = 3 // Release was called
	finished = 4 // it has returned, or a Get has
)

func (l *ledger) inbox(i int) inbox {
	off := hands*putLen + i*gotLen
	return inbox{mem.At[tally](l.data, off), mem.Slice[delivery](l.data, off+header, gots)}
}

func (b inbox) next() int {
	n := int(b.count.Load())
	for n < gots && b.entry[n].message.Load() != 0 {
		n++
	}
	return n
}

// add writes down a delivery and returns its number.
func (b inbox) add(m message, incarnation, deliveries int, fate uint64) int {
	n := int(b.count.Load())
	if n == gots {
		fail("the ledger is full: %d deliveries", n)
	}
	b.entry[n].fate.Store(fate | uint64(deliveries)<<8 | uint64(incarnation)<<24 | uint64(m.size)<<40)
	b.entry[n].message.Store(m.word())
	b.count.Store(uint64(n + 1))
	return n
}

func (b inbox) become(n int, fate uint64) {
	p := &b.entry[n].fate
	p.Store(p.Load()&^0xff | fate)
}

// read returns what an entry says.
func (d *delivery) read() (m message, incarnation, deliveries int, fate uint64) {
	f := d.fate.Load()
	m = messageOf(d.message.Load())
	m.size = int(f >> 40)
	return m, int(f >> 24 & 0xffff), int(f >> 8 & 0xffff), f & 0xff
}
