package ring

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"reflect"

	"github.com/sluice-ipc/sluice/internal/codec"
	"github.com/sluice-ipc/sluice/internal/mem"
	"github.com/sluice-ipc/sluice/shm"
)

// Queue is this process's handle on a queue of messages of type T, which any
// number of processes put into and get from. It is safe for use by many
// goroutines.
//
// Messages come out in the order in which Put published them, each to one
// consumer. A Put that has returned is visible to all processes, and a Get that
// says the queue is empty says so of an instant during the call.
//
// T may be plain: numbers, bools, and arrays and structs of them, without
// pointers; its values travel as their bytes, and a bool that comes out is true
// or false whatever a peer has written. A []byte or string travels as it is, and
// everything else through the codec of the options.
//
// A process may be killed or stopped at any instant, in the middle of any call:
// the others go on. When one has died, a message that it had not yet put is not
// sent; one that it held, or had taken and not yet been given, is delivered to
// another consumer. So a message is delivered once, and again only if a holder
// died or put it back.
type Queue[T any] struct {
	q      *queue
	plain  *mem.Plain // nil unless T is plain
	form   form
	direct bool // T is plain, and nothing is asked for that takes a closer look
	quick  bool // the quick way is open to it
}

// A form is how a T travels.
type form uint8

const (
	formPlain form = iota
	formBytes
	formString
	formObject
)

// What stands in the segment in place of the fingerprint of a plain type.
const (
	bytesPrint  = 0x73657479622d7173
	objectPrint = 0x7463656a626f7173
)

// formOf finds out how a T travels.
func formOf[T any]() (form, *mem.Plain) {
	var v T
	switch any(v).(type) {
	case []byte:
		return formBytes, nil
	case string:
		return formString, nil
	}
	if p, err := mem.PlainOf[T](); err == nil {
		return formPlain, p
	}
	return formObject, nil
}

// CreateQueue makes a queue in a new segment of that name, as shm.Create does.
func CreateQueue[T any](name string, o *QueueOptions) (*Queue[T], error) {
	return openQueue[T](o, func(so *shm.Options) (*shm.Segment, error) { return shm.Create(name, so) })
}

// OpenQueue attaches to the queue in the segment of that name, as shm.Open does.
// It must have been made for the same T, or one of the same layout; any type
// that travels through a codec will do for another, as far as the codec can
// convert them. A joinable queue is opened with OpenJoinableQueue.
func OpenQueue[T any](name string, o *QueueOptions) (*Queue[T], error) {
	return openQueue[T](o, func(so *shm.Options) (*shm.Segment, error) { return shm.Open(name, so) })
}

// OpenOrCreateQueue attaches to the queue of that name, or makes it.
func OpenOrCreateQueue[T any](name string, o *QueueOptions) (*Queue[T], error) {
	return openQueue[T](o, func(so *shm.Options) (*shm.Segment, error) { return shm.OpenOrCreate(name, so) })
}

// AnonymousQueue makes a queue that has no name, to be passed to children or
// sent to other processes. The label appears in errors.
func AnonymousQueue[T any](label string, o *QueueOptions) (*Queue[T], error) {
	return openQueue[T](o, func(so *shm.Options) (*shm.Segment, error) { return shm.Anonymous(label, so) })
}

// InheritedQueue attaches to the queue that the parent passed to this process
// under that name with shm.Pass.
func InheritedQueue[T any](name string, o *QueueOptions) (*Queue[T], error) {
	return openQueue[T](o, func(so *shm.Options) (*shm.Segment, error) {
		s, _, err := shm.Inherited(name, so)
		return s, err
	})
}

// QueueFromFile attaches to the queue whose segment f is open on: one that came
// over a Unix socket, or the Segment().File() of another handle. f stays the
// caller's.
func QueueFromFile[T any](f *os.File, o *QueueOptions) (*Queue[T], error) {
	return openQueue[T](o, func(so *shm.Options) (*shm.Segment, error) { return shm.FromFile(f, so) })
}

// openQueue runs get with options under which the segment is laid out as a queue
// of T and repaired as one.
func openQueue[T any](o *QueueOptions, get func(*shm.Options) (*shm.Segment, error)) (*Queue[T], error) {
	form, plain := formOf[T]()
	v := o.withDefaults(plain)
	g, err := v.geometry()
	if err != nil {
		return nil, err
	}
	if plain != nil && g.maxMessage() < plain.Size {
		return nil, tooLargeFor("a queue of "+plain.Name, plain.Size, g.maxMessage())
	}
	var q *queue
	so := v.Segment
	so.Kind, so.Version = shm.KindQueue, queueVersion
	so.Fingerprint, so.ElemType = fingerprint[T](form, plain)
	so.Size = int64(g.size())
	so.Init = func(b []byte) error {
		initQueue(b, g, v.start)
		return nil
	}
	so.Attach = func(s *shm.Segment) (_ shm.Repairer, err error) {
		if q, err = attachQueue(s.Name(), s.Data(), &v); err != nil {
			return nil, err
		}
		if s.Slots() != q.geo.slots { // before Repair looks at slots that are not there
			return nil, &FormatError{q.name, "slots", uint64(q.geo.slots), uint64(s.Slots())}
		}
		q.bind(s)
		return q, nil
	}
	seg, err := get(&so)
	if err != nil {
		return nil, err
	}
	if q.joinable() != v.joinable {
		return nil, joinErrors(&FormatError{q.name, "joinable", uint64(q.geo.flags & flagJoinable), uint64(g.flags & flagJoinable)}, seg.Close())
	}
	q.seg = seg
	q.enter()
	quick := form == formPlain && plain.Size <= q.chunkSize && !q.joinable() && !q.opts.Guard
	return &Queue[T]{q, plain, form, plain != nil && !v.Guard, quick}, nil
}

func fingerprint[T any](f form, p *mem.Plain) (uint64, string) {
	switch f {
	case formPlain:
		return p.Fingerprint, p.Name
	case formObject:
		return objectPrint, "object (" + reflect.TypeFor[T]().String() + ")"
	}
	return bytesPrint, "[]byte"
}

// Put puts v into the queue, and waits while it is full, unless the options say
// otherwise. When it returns nil the message is visible to every process. An
// error leaves the queue as it was (but see DropOldest): ErrTooLarge at once for a
// message that can never fit, ErrClosed after Close or CloseSend, the codec's error,
// ErrFull together with the context's error, or *CorruptError. A context that is
// done already gets one attempt.
func (q *Queue[T]) Put(ctx context.Context, v T) error {
	if q.direct {
		if q.quickPut(&v) {
			return nil
		}
		return q.q.send(ctx, mem.BytesOf(&v), true)
	}
	return q.encode(ctx, &v, true)
}

// TryPut is Put without waiting for room: it returns ErrFull when there is none.
func (q *Queue[T]) TryPut(v T) error {
	if q.direct {
		if q.quickPut(&v) {
			return nil
		}
		return q.q.send(context.Background(), mem.BytesOf(&v), false)
	}
	return q.encode(context.Background(), &v, false)
}

// encode sends *v as it travels.
func (q *Queue[T]) encode(ctx context.Context, v *T, block bool) error {
	switch q.form {
	case formPlain:
		return q.transmit(ctx, mem.BytesOf(v), block)
	case formBytes:
		return q.transmit(ctx, *any(v).(*[]byte), block)
	}
	buf := codec.GetBuffer()
	defer buf.Free()
	if q.form == formString {
		buf.B = append(buf.B, *any(v).(*string)...)
		return q.transmit(ctx, buf.B, block)
	}
	b, err := q.q.opts.Codec.MarshalAppend(buf.B, *v)
	if err != nil {
		return q.q.wrap("put into", fmt.Errorf("encode %T: %w", *v, err))
	}
	buf.B = b
	return q.transmit(ctx, b, block)
}

// transmit is send, under guard if need be.
func (q *Queue[T]) transmit(ctx context.Context, b []byte, block bool) error {
	if q.q.opts.Guard {
		return q.q.guard(func() error { return q.q.send(ctx, b, block) })
	}
	return q.q.send(ctx, b, block)
}

// Get takes the next message, and waits while there is none. It returns io.EOF
// when CloseSend has been called and everything has been taken, ErrClosed after
// Close, ErrEmpty together with the context's error, *DecodeError, with which
// the message is gone, or *CorruptError.
//
// A context that is done already gets one attempt.
//
// In a joinable queue the message remains this handle's to finish with TaskDone,
// unless Get returned an error; it returns ErrTooManyHeld when there are too many
// of those. So does a Get of any queue that comes by a message for
// QueueOptions.DeadLetter while this handle holds as many as it may. The handler's
// error is returned too.
func (q *Queue[T]) Get(ctx context.Context) (v T, err error) {
	if q.q.opts.Guard {
		return q.guardedGet(ctx, true)
	}
	return q.get(ctx, true)
}

// TryGet is Get without waiting. It returns ErrEmpty only if there was no message
// at some instant during the call.
func (q *Queue[T]) TryGet() (v T, err error) {
	if q.q.opts.Guard {
		return q.guardedGet(context.Background(), false)
	}
	return q.get(context.Background(), false)
}

func (q *Queue[T]) get(ctx context.Context, block bool) (v T, err error) {
	if ok, err := q.quickGet(&v); ok || err != nil {
		return v, err
	}
	if q.q.joinable() {
		return q.getTask(ctx, block)
	}
	l, m, err := q.q.recv(ctx, block, nil)
	if err != nil {
		return v, err
	}
	if q.isSimple(m) {
		mem.Load(q.plain, q.q.bytesOf(m.c, m.n), &v)
		q.q.finish(l, m)
		return v, nil
	}
	b, err := q.q.contents(nil, m)
	q.q.finish(l, m)
	if err != nil {
		return v, err
	}
	return q.decode(b)
}

// isSimple reports whether a message that we hold can be copied out at once.
func (q *Queue[T]) isSimple(m taken) bool {
	return q.form == formPlain && m.n == q.plain.Size && m.n <= q.q.chunkSize
}

// decode makes a T of a message's bytes, which are ours: a codec reads them more
// than once, and no peer may change them in between.
func (q *Queue[T]) decode(b []byte) (v T, err error) {
	switch p := any(&v).(type) {
	case *[]byte:
		*p = b
		return v, nil
	case *string:
		*p = string(b)
		return v, nil
	}
	switch {
	case q.form == formObject:
		err = q.q.opts.Codec.Unmarshal(b, &v)
	case len(b) != q.plain.Size:
		err = fmt.Errorf("%d bytes are not a %s", len(b), q.plain.Name)
	default:
		mem.Load(q.plain, b, &v)
	}
	if err != nil {
		return v, &DecodeError{q.q.name, b, err}
	}
	return v, nil
}

// All iterates over the messages as Get returns them, until io.EOF, which ends
// the loop. A message that could not be decoded is a pair with *DecodeError,
// after which the loop goes on; any other error is the last pair.
func (q *Queue[T]) All(ctx context.Context) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for {
			v, err := q.Get(ctx)
			if err == io.EOF || !yield(v, err) {
				return
			}
			if _, decode := err.(*DecodeError); err != nil && !decode {
				return
			}
		}
	}
}

// Take takes the next message without copying it. The errors are those of Get,
// and ErrTooManyHeld. In a joinable queue the message is a task that its Release
// finishes, and TaskDone has nothing to do with it.
func (q *Queue[T]) Take(ctx context.Context) (Message, error) {
	if q.q.opts.Guard {
		return guarded(q.q, func() (Message, error) { return q.q.take(ctx, true) })
	}
	return q.q.take(ctx, true)
}

// TryTake is Take without waiting, with the errors of TryGet and ErrTooManyHeld.
func (q *Queue[T]) TryTake() (Message, error) {
	if q.q.opts.Guard {
		return guarded(q.q, func() (Message, error) { return q.q.take(context.Background(), false) })
	}
	return q.q.take(context.Background(), false)
}

// Loan lends memory of the queue's for a message of n bytes, which must be what
// Put would have made of a T: the bytes of a plain one, the bytes, or what the
// codec writes. It waits while others hold all chunks, and fails with
// ErrTooLarge, ErrTooManyHeld, ErrClosed, or ErrFull together with the context's
// error.
func (q *Queue[T]) Loan(ctx context.Context, n int) (Loan, error) { return q.lend(ctx, n, true) }

// TryLoan is Loan without waiting: it returns ErrFull when there are not enough
// chunks, because of what is in the queue and what is held.
func (q *Queue[T]) TryLoan(n int) (Loan, error) { return q.lend(context.Background(), n, false) }

func (q *Queue[T]) lend(ctx context.Context, n int, block bool) (Loan, error) {
	if q.form == formPlain && n != q.plain.Size {
		return Loan{}, q.q.wrap("lend from", fmt.Errorf("%d bytes are not a %s: %w", n, q.plain.Name, fs.ErrInvalid))
	}
	if q.q.opts.Guard {
		return guarded(q.q, func() (Loan, error) { return q.q.lend(ctx, n, block) })
	}
	return q.q.lend(ctx, n, block)
}
