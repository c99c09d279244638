package value

import (
	"fmt"
	"hash/fnv"
	"os"
	"reflect"
	"sync/atomic"

	"github.com/sluice-ipc/sluice/internal/mem"
	"github.com/sluice-ipc/sluice/internal/place"
	"github.com/sluice-ipc/sluice/shm"
	"github.com/sluice-ipc/sluice/shm/lock"
)

// version is that of the layout of everything in this package.
const version = 1

// Options tunes an object of this package. The zero value is ready to use, and
// so is nil.
type Options struct {
	// Lock is what the locking calls of an array or record take, instead of a
	// lock of its own, so that several objects can be changed together: see
	// [Array.Apply]. All who share the object give the same one. A Value and
	// a Blackboard have no lock and ignore it.
	//
	// The handle stays the caller's, who closes it after the object's.
	Lock *lock.Mutex

	// Segment says how a segment is made or attached to. Size, Kind, Version,
	// Fingerprint, ElemType, Init and Attach are set by this package. It
	// means nothing to objects placed in a segment of the caller's.
	Segment shm.Options
}

func (o *Options) orZero() *Options {
	if o == nil {
		return new(Options)
	}
	return o
}

// What every object begins with. The tag says what it is, see kind.tag.
const (
	tagWord  = 0
	lockWord = 16 // of objects with a lock, see claimLock
)

// The letters of the kinds.
const (
	letterValue      = 'v'
	letterArray      = 'a'
	letterRecord     = 'r'
	letterBlackboard = 'b'
)

var letters = map[byte]string{
	letterValue: "Value", letterArray: "Array", letterRecord: "Record", letterBlackboard: "Blackboard",
}

// A kind says what an object is and how it lies in memory.
type kind struct {
	letter byte
	plain  *mem.Plain
	code   byte // of a number's type: i, u or f; else 0

	// size returns how many bytes the object takes. It is asked again after
	// check, which may have learnt it.
	size func() int64
	// init fills a new object in a segment of its own, which is zero but for
	// the tag. It may be nil.
	init func(b []byte)
	// check refuses an object in a segment of its own, tag and type are
	// right, before anybody joins. It may be nil.
	check func(name string, b []byte) error
}

// kindOf returns a kind without functions, or says why a T cannot be shared.
func kindOf[T any](letter byte) (*kind, error) {
	p, err := mem.PlainOf[T]()
	if err != nil {
		return nil, fmt.Errorf("value: %w", err)
	}
	k := &kind{letter: letter, plain: p}
	switch reflect.TypeFor[T]().Kind() {
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		k.code = 'i'
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		k.code = 'u'
	case reflect.Float32, reflect.Float64:
		k.code = 'f'
	}
	return k, nil
}

// String names the kind: Array[int32].
func (k *kind) String() string { return letters[k.letter] + "[" + k.plain.Name + "]" }

// magic is the lower half of each tag: "SLV" and the version.
const magic = 'S' | 'L'<<8 | 'V'<<16 | version<<24

// tag is what the first word of the object says: the magic, the kind's letter,
// and what numbers it holds, by their code and size.
func (k *kind) tag() uint64 {
	t := magic | uint64(k.letter)<<32
	if k.code != 0 {
		t |= uint64(k.code)<<40 | uint64(k.plain.Size)<<48
	}
	return t
}

// describe says what a tag in shared memory means.
func describe(tag uint64) string {
	name, known := letters[byte(tag>>32)]
	if uint32(tag) != magic || !known {
		return fmt.Sprintf("something else (%#x)", tag)
	}
	code, known := map[byte]string{'i': "int", 'u': "uint", 'f': "float"}[byte(tag>>40)]
	if !known {
		return name
	}
	return fmt.Sprintf("%s[%s%d]", name, code, 8*(tag>>48))
}

// fingerprint is that of the kind in the header of a segment of its own.
func (k *kind) fingerprint() uint64 {
	h := fnv.New64a()
	fmt.Fprintf(h, "%c %x", k.letter, k.plain.Fingerprint)
	return max(h.Sum64(), 1)
}

// An attach makes a handle of type H one on the tagged object at p. It may claim
// further words.
type attach[H any] func(h *H, p place.Spot) error

// open makes an object in a segment of its own, or attaches to one.
func open[H any](k *kind, o *Options, get place.Get, f attach[H]) (*H, error) {
	spec := &place.Spec{
		Kind: shm.KindValue, Version: version,
		Fingerprint: k.fingerprint(), ElemType: k.String(),
		Size: func(int) int64 { return k.size() },
		Init: func(b []byte) {
			mem.Uint64(b, tagWord).Store(k.tag())
			if k.init != nil {
				k.init(b)
			}
		},
		Check: k.check,
	}
	p, err := place.Open(spec, o.Segment, get)
	if err != nil {
		return nil, err
	}
	h, err := use(k, p, f)
	if err != nil {
		p.Close()
		return nil, err
	}
	return h, nil
}

// openAt returns a handle on the object at byte off of the caller's segment.
func openAt[H any](k *kind, s *shm.Segment, off int64, f attach[H]) (*H, error) {
	p, err := place.At(s, off, k.size())
	if err != nil {
		return nil, wrap("place", k.String(), err)
	}
	return use(k, p, f)
}

// use returns a handle on the object at p. The memory stays for as long as the
// handle is reachable.
func use[H any](k *kind, p place.Spot, f attach[H]) (*H, error) {
	if err := p.Seg.Retain(); err != nil {
		return nil, wrap("open", p.Name(), err)
	}
	defer p.Seg.Release()
	h := new(H)
	if err := k.claim(&p); err != nil {
		return nil, err
	}
	if err := f(h, p); err != nil {
		return nil, err
	}
	place.Hold(h, &p)
	return h, nil
}

// claim tags the object, unless it is another kind's.
func (k *kind) claim(p *place.Spot) error {
	w := mem.At[atomic.Uint64](p.Data, tagWord)
	w.CompareAndSwap(0, k.tag())
	if got := w.Load(); got != k.tag() {
		return &shm.FormatError{Segment: p.Name(), Field: "kind of object", Got: describe(got), Want: k.String()}
	}
	return nil
}

// ownLock is what the lock word of an object with a lock of its own says.
// Another number, never 0, is that of the lock it shares.
const ownLock = 1

// claimLock says in the object at p which lock it has, unless somebody has said
// otherwise.
func claimLock(p *place.Spot, m *lock.Mutex) error {
	want := uint64(ownLock)
	if m != nil {
		h, err := m.Handover()
		if err != nil {
			return err
		}
		id := h.Segment.UUID()
		sum := fnv.New64a()
		sum.Write(id[:])
		sum.Write([]byte(h.Detail))
		want = max(sum.Sum64(), ownLock+1)
	}
	w := mem.At[atomic.Uint64](p.Data, lockWord)
	w.CompareAndSwap(0, want)
	if got := w.Load(); got != want {
		return &shm.FormatError{Segment: p.Name(), Field: "lock", Got: lockName(got, want), Want: lockName(want, got)}
	}
	return nil
}

// lockName says what a lock word means, beside another one.
func lockName(word, other uint64) string {
	switch {
	case word == ownLock:
		return "one of its own"
	case other == ownLock:
		return "one shared with other objects, see Options.Lock"
	}
	return fmt.Sprintf("the shared one with number %#x", word)
}

// The ways to a segment, see place.Get.

func created(name string) place.Get {
	return func(so *shm.Options) (*shm.Segment, error) { return shm.Create(name, so) }
}

func opened(name string) place.Get {
	return func(so *shm.Options) (*shm.Segment, error) { return shm.Open(name, so) }
}

func openedOrCreated(name string) place.Get {
	return func(so *shm.Options) (*shm.Segment, error) { return shm.OpenOrCreate(name, so) }
}

func anonymous(label string) place.Get {
	return func(so *shm.Options) (*shm.Segment, error) { return shm.Anonymous(label, so) }
}

func fromFile(f *os.File) place.Get {
	return func(so *shm.Options) (*shm.Segment, error) { return shm.FromFile(f, so) }
}
