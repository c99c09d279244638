//go:build linux

package ring_test

import (
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/sluice-ipc/sluice/internal/shmtest"
	"github.com/sluice-ipc/sluice/ring"
	"github.com/sluice-ipc/sluice/shm"
)

func init() { roles["scribbler"] = scribbler }

// smallQueue is one whose memory a fuzzer can reach all of.
var smallQueue = ring.QueueOptions{Capacity: 4, ChunkSize: 16, Bytes: 256, Hold: 2, Lanes: 2, Spin: ring.SpinNever,
	MaxDeliveries: 5, Segment: shm.Options{MaxParticipants: 2}}

// tolerable reports whether an error is one that hostile memory may cause.
func tolerable(err error) bool {
	var decode *ring.DecodeError
	for _, e := range []error{ring.ErrCorrupt, ring.ErrEmpty, ring.ErrFull, ring.ErrClosed, ring.ErrTooManyHeld,
		ring.ErrTooManyDone, io.EOF} {
		if errors.Is(err, e) {
			return true
		}
	}
	return err == nil || errors.As(err, &decode)
}

// A victim uses a queue whose memory others write.
type victim[T any] struct {
	q     ring.JoinableQueue[T]
	held  []ring.Message
	loans []ring.Loan
	n     int // bytes of a message
	vs    []T
}

// act does something with the queue; op says what.
func (v *victim[T]) act(op byte) (err error) {
	switch op % 16 {
	case 0, 1:
		return v.q.TryPut(v.vs[0])
	case 2:
		_, err = v.q.TryGet()
	case 3:
		_, err = v.q.TryPutBatch(v.vs)
	case 4:
		_, err = v.q.TryGetBatch(v.vs)
	case 5, 6:
		var m ring.Message
		if m, err = v.q.TryTake(); err == nil {
			v.held = append(v.held, m)
			for _, b := range m.Bytes() { // every byte must be there
				_ = b
			}
			if _, err := v.q.Value(m); !tolerable(err) {
				return err
			}
			_, err = m.Append(nil)
		}
	case 7:
		if len(v.held) > 0 {
			err = v.held[0].Release()
			v.held = v.held[1:]
		}
	case 8:
		if len(v.held) > 0 {
			err = v.held[0].Requeue()
			v.held = v.held[1:]
		}
	case 9:
		var o ring.Loan
		if o, err = v.q.TryLoan(v.n); err == nil {
			v.loans = append(v.loans, o)
			for p := range o.Pieces() {
				clear(p)
			}
		}
	case 10:
		if len(v.loans) > 0 {
			if err = v.loans[0].TryCommit(); err == nil {
				v.loans = v.loans[1:]
			}
		}
	case 11:
		if len(v.loans) > 0 {
			err = v.loans[0].Abort()
			v.loans = v.loans[1:]
		}
	case 12:
		v.q.Len()
		v.q.Full()
		v.q.Stats()
	case 13:
		err = v.q.TaskDone()
	case 14:
		if err = v.q.Flush(ended()); errors.Is(err, ended().Err()) {
			err = nil
		}
	case 15:
		if err = v.q.Put(ended(), v.vs[0]); err == nil {
			_, err = v.q.Get(ended())
		}
	}
	return err
}

// end gives everything back.
func (v *victim[T]) end() {
	for _, m := range v.held {
		m.Release()
	}
	for _, o := range v.loans {
		o.Abort()
	}
	v.q.Close()
}

// suffer writes words into the queue's memory and uses it in between.
func suffer[T any](t *testing.T, v *victim[T], writes, ops []byte) {
	defer v.end()
	data := v.q.Segment().Data()
	for i := 0; i < len(ops); i++ {
		if len(writes) >= 12 {
			at := int(binary.NativeEndian.Uint32(writes)) % (len(data) - 8) &^ 7
			copy(data[at:at+8], writes[4:12])
			writes = writes[12:]
		}
		if ops[i] >= 250 {
			ring.OwnQueueStates(v.q.Queue)
			for range 2 {
				ring.RepairQueue(v.q.Queue, v.q.Segment().ID())
			}
			continue
		}
		if err := v.act(ops[i]); !tolerable(err) {
			t.Fatalf("operation %d: %v", ops[i]%16, err)
		}
	}
	v.q.Unfinished()
}

// write12 is a write as FuzzQueueMemory takes it.
func write12(at int, word uint64) []byte {
	return binary.NativeEndian.AppendUint64(binary.NativeEndian.AppendUint32(nil, uint32(at)), word)
}

// hostile are writes that hit where it hurts: chunks that do not exist, lengths
// that never were, laps of long ago and of times to come, links in a circle,
// announcements of nonsense.
func hostile(l ring.QueueLayout) map[string][]byte {
	word := func(i int) int { return l.Ring + 8*i }
	state := func(c int) int { return l.Entries + 16*c }
	meta := func(c int) int { return l.Entries + 16*c + 8 }
	join := func(all ...[]byte) (b []byte) {
		for _, w := range all {
			b = append(b, w...)
		}
		return b
	}
	return map[string][]byte{
		"none":            nil,
		"no such chunk":   join(write12(word(0), ring.QueueWord(0, 1, 1<<22-1)), write12(word(1), ring.QueueWord(0, 1, uint32(l.Chunks)))),
		"same chunk":      join(write12(word(0), ring.QueueWord(0, 1, 1)), write12(word(1), ring.QueueWord(0, 1, 1)), write12(state(1), ring.QueueState(2, 0))),
		"state 3":         write12(word(0), ring.QueueWord(0, 3, 0)),
		"sealed":          write12(word(0), ring.QueueWord(0, 2, 0)),
		"sealed and shut": join(write12(word(0), ring.QueueWord(0, 2, 0)), write12(128, 1<<32)),
		"laps ahead":      join(write12(word(0), ring.QueueWord(1<<38, 0, 0)), write12(word(2), ring.QueueWord(7, 1, 0))),
		"laps behind":     join(write12(word(0), ring.QueueWord(1<<38-1, 1, 2)), write12(word(3), ring.QueueWord(1<<39, 1, 2))),
		"no such lap":     write12(word(1), ring.QueueWord(1<<40-1, 1, 3)),
		"long":            join(write12(word(0), ring.QueueWord(0, 1, 0)), write12(state(0), ring.QueueState(2, 0)), write12(meta(0), ring.QueueMeta(1<<32-1, 0, 0))),
		"circle": join(write12(word(0), ring.QueueWord(0, 1, 0)), write12(state(0), ring.QueueState(2, 0)), write12(meta(0), ring.QueueMeta(250, 0, 1)),
			write12(state(1), ring.QueuePart(0)), write12(meta(1), ring.QueueMeta(0, 0, 2)),
			write12(state(2), ring.QueuePart(0)), write12(meta(2), ring.QueueMeta(0, 0, 1))),
		"link to nowhere": join(write12(word(0), ring.QueueWord(0, 1, 0)), write12(state(0), ring.QueueState(2, 0)), write12(meta(0), ring.QueueMeta(250, 0, 1<<22-1))),
		"orphans":         join(write12(state(3), ring.QueueState(4, 1<<39)), write12(state(4), ring.QueueState(4, 1<<40-1)), write12(meta(3), ring.QueueMeta(99, 1023, 1<<22-1)), write12(128, 7)),
		"announcements":   join(write12(l.Lanes, ring.QueueTaking(1<<40-1, 1<<22-1)), write12(l.Lanes+128, ring.QueueTaking(0, 0)), write12(l.Lanes+256, 1<<63)),
		"kinds":           join(write12(state(0), ring.QueueState(6, 0)), write12(state(1), ring.QueueState(7, 1<<40-1)), write12(state(2), ring.QueueState(3, 1<<40-1)), write12(state(3), ring.QueuePart(1<<22-1))),
		"counts":          join(write12(512, 1<<64-1), write12(l.Lanes+8, 1<<63), write12(400, 1<<64-1), write12(408, 1<<64-1), write12(l.Lanes+16, 1<<64-1)),
		"nobody waits":    join(write12(256, 1<<32-1), write12(384, 1<<64-1), write12(392, 1<<64-1)),
	}
}

// script of operations that comes by everything.
var everything = []byte{0, 3, 5, 9, 255, 2, 4, 8, 10, 12, 14, 6, 7, 11, 15, 13, 0, 0, 0, 0, 0, 2, 2, 2, 2, 254, 3, 4, 5, 6, 8, 7, 2, 9, 9, 10, 10, 15, 12, 253, 4, 4}

// Whatever a peer writes into a queue, its users return messages or errors: they
// do not panic, do not touch memory outside, and come to an end.
func FuzzQueueMemory(f *testing.F) {
	q := must(ring.AnonymousQueue[[]byte]("fuzz", &smallQueue))
	for _, writes := range hostile(ring.LayoutOf(q)) {
		f.Add(writes, everything)
	}
	q.Close()
	f.Fuzz(func(t *testing.T, writes, ops []byte) {
		if len(ops) > 300 {
			ops = ops[:300]
		}
		long := make([]byte, 40)
		raw := must(ring.AnonymousJoinableQueue[[]byte]("fuzz", &smallQueue))
		suffer(t, &victim[[]byte]{q: raw, n: 40, vs: [][]byte{long, nil, long[:16], long[:17]}}, writes, ops)
		plain := must(ring.AnonymousQueue[[2]uint64]("fuzz", &smallQueue))
		suffer(t, &victim[[2]uint64]{q: ring.JoinableQueue[[2]uint64]{Queue: plain}, n: 16, vs: make([][2]uint64, 6)}, writes, ops)
	})
}

// The same seeds near the wrap of positions, and for objects.
func TestQueueSurvivesHostileWords(t *testing.T) {
	for name, start := range queueStarts(smallQueue.Capacity) {
		q := must(ring.AnonymousQueue[any]("fuzz", smallQueue.StartAt(start)))
		layout := ring.LayoutOf(q)
		q.Close()
		for what, writes := range hostile(layout) {
			t.Run(name+" "+what, func(t *testing.T) {
				q := must(ring.AnonymousQueue[any]("fuzz", smallQueue.StartAt(start)))
				suffer(t, &victim[any]{q: ring.JoinableQueue[any]{Queue: q}, n: 20, vs: []any{"text", 1, nil}}, writes, everything)
			})
		}
	}
}

// scribbler writes words of all kinds all over a queue until it is killed.
func scribbler(args []string) int {
	q := must(ring.OpenQueue[[]byte](args[0], nil))
	l := ring.LayoutOf(q)
	data := q.Segment().Data()
	var all [][]byte
	for _, writes := range hostile(l) {
		for ; len(writes) >= 12; writes = writes[12:] {
			all = append(all, writes[:12])
		}
	}
	shmtest.Say("ready")
	r := rand.New(rand.NewPCG(1, 2))
	for {
		w := all[r.IntN(len(all))]
		at, word := int(binary.NativeEndian.Uint32(w)), binary.NativeEndian.Uint64(w[4:])
		switch r.IntN(4) {
		case 0: // elsewhere
			at = 128 + 8*r.IntN((l.Payload-128)/8)
		case 1: // and nearly the same
			word ^= 1 << r.IntN(64)
		}
		copy(data[at:at+8], binary.NativeEndian.AppendUint64(nil, word))
	}
}

// A process that writes nonsense all the time hurts data, and nothing else.
func TestQueueSurvivesAScribbler(t *testing.T) {
	ops := 200_000
	if testing.Short() {
		ops = 10_000
	}
	name := queueName(t)
	q := must(ring.CreateQueue[[]byte](name, &smallQueue))
	c := shmtest.Start(t, "scribbler", name)
	c.Expect("ready")
	long := make([]byte, 40)
	v := &victim[[]byte]{q: ring.JoinableQueue[[]byte]{Queue: q}, n: 40, vs: [][]byte{long, nil, long[:16]}}
	r := rand.New(rand.NewPCG(5, 6))
	for range ops {
		op := byte(r.IntN(250))
		if err := v.act(op); !tolerable(err) {
			t.Fatalf("operation %d: %v", op%16, err)
		}
	}
	c.Kill()
	q.Segment().CheckPeers()
	v.end()
}

// FuzzQueueRegion attaches to a control block that says anything.
func FuzzQueueRegion(f *testing.F) {
	f.Add([]byte{}, true)
	f.Add(binary.NativeEndian.AppendUint64(nil, 0x0a45554555514c53), true)
	for at := 8; at < 56; at += 4 {
		for _, v := range []uint32{0, 1, 1 << 22, 1<<32 - 1} {
			q := must(ring.AnonymousQueue[[]byte]("fuzz", &smallQueue))
			b := append([]byte(nil), q.Segment().Data()[:56]...)
			q.Close()
			binary.NativeEndian.PutUint32(b[at:], v)
			f.Add(b, true)
			f.Add(b, false)
		}
	}
	f.Fuzz(func(t *testing.T, head []byte, seal bool) {
		q := must(ring.AnonymousQueue[[]byte]("fuzz", &smallQueue))
		defer q.Close()
		file := must(q.Segment().File())
		defer file.Close()
		data := q.Segment().Data()
		copy(data[:128], head)
		if seal {
			ring.SealQueue(data)
		}
		other, err := ring.QueueFromFile[[]byte](file, nil)
		if err != nil {
			var format *ring.FormatError
			if !errors.As(err, &format) || format.Ring == "" || format.Field == "" {
				t.Fatalf("%v is not a FormatError that names the field", err)
			}
			return
		}
		suffer(t, &victim[[]byte]{q: ring.JoinableQueue[[]byte]{Queue: other}, n: 1, vs: [][]byte{{1}, nil}}, nil, everything)
	})
}

// A message that says it is longer than one can be is corrupt, however many parts
// seem to follow: no memory is given for it.
func TestMessageLongerThanPossible(t *testing.T) {
	for name, f := range map[string]func(q *ring.Queue[[]byte]) error{
		"Get":  func(q *ring.Queue[[]byte]) error { return second(q.TryGet()) },
		"Take": func(q *ring.Queue[[]byte]) error { return second(q.TryTake()) },
	} {
		q := newQueue[[]byte](t, &smallQueue)
		l, data := ring.LayoutOf(q), q.Segment().Data()
		for _, w := range [][]byte{
			write12(l.Ring, ring.QueueWord(0, 1, 0)), write12(l.Entries, ring.QueueState(2, 0)),
			write12(l.Entries+8, ring.QueueMeta(q.MaxMessage()+1, 0, 1)),
			write12(l.Entries+16, ring.QueuePart(0)), write12(l.Entries+24, ring.QueueMeta(0, 0, 1)), // follows itself
		} {
			at := int(binary.NativeEndian.Uint32(w))
			copy(data[at:at+8], w[4:])
		}
		if err := f(q); !errors.Is(err, ring.ErrCorrupt) {
			t.Errorf("%s = %v", name, err)
		}
		if _, err := q.TryGet(); err != ring.ErrEmpty {
			t.Errorf("then %v", err)
		}
	}
}
