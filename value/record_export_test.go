package value

import (
	"runtime"

	"github.com/sluice-ipc/sluice/internal/mem"
	"github.com/sluice-ipc/sluice/internal/wait"
)

// LoadCounted is [Record.LoadVersion] and says how many tries it took.
func LoadCounted[T any](r *Record[T]) (v T, version uint64, tries int) {
	b := mem.BytesOf(&v)
	version, tries = r.c.read(b)
	r.plain.Settle(b)
	runtime.KeepAlive(r)
	return v, version, tries
}

// BoardCounted is [Blackboard.Load] and says how many tries it took.
func BoardCounted[T any](b *Blackboard[T]) (v T, version uint64, tries int) {
	raw := mem.BytesOf(&v)
	version, tries = b.c.read(raw)
	b.plain.Settle(raw)
	runtime.KeepAlive(b)
	return v, version, tries
}

// Impatient makes a handle ask writers to pause after that many tries.
func Impatient[T any](r *Record[T], tries int) { r.c.fair = tries }

// ImpatientBoard is Impatient for a blackboard.
func ImpatientBoard[T any](b *Blackboard[T], tries int) { b.c.fair = tries }

// Ask makes one try for which the writers are asked to pause.
func Ask[T any](r *Record[T]) (v T, whole bool) {
	b := mem.BytesOf(&v)
	_, whole = r.c.ask(b)
	r.plain.Settle(b)
	return v, whole
}

// NeverSpin makes waiters of a handle sleep at once.
func NeverSpin[T any](r *Record[T]) { r.c.watch.spin = wait.NewSpinner(wait.Never) }

// Hand gives up the lock of a record whose last owner died, as calls do that are
// told of it.
func Hand[T any](r *Record[T]) error { return r.g.hand() }

// Wake wakes those who wait for another version.
func Wake[T any](r *Record[T]) { r.c.wake() }

// NeverWhole makes a handle take every copy for one that is being written.
func NeverWhole[T any](r *Record[T]) {
	r.c.n = 1
	r.c.seq.Store(1)
}

// Words of the header, for tests that spoil them.
const (
	TypeWord   = typeWord
	LockWord   = lockWord
	SeqWord    = seqWord
	HungryWord = hungryWord
	EventWord  = eventWord
	HeadSize   = headSize
	LastTry    = lastTry
)
